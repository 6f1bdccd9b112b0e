"""The layout of the graph."""

import math
from itertools import combinations

import pytest

from spacy_docre.visual.graph import draw_graph, measure
from spacy_docre.visual.layout import MARGIN, MAX_WIDTH, NAME, RADIUS

STAR = [(0, "part of", i) for i in range(1, 9)]
PARTS = [(0, "a", 1), (2, "a", 3), (3, "a", 4), (7, "a", 8)]
CROWD = [(i, "a", j) for i in range(60) for j in range(i + 1, 60) if (i * 7 + j * 3) % 11 < 2]
CHAIN = [(i, "located in the administrative territorial entity", i + 1) for i in range(12)]
NAMES = [f"Entity number {i} of them all"[: 8 + 5 * (i % 5)] for i in range(60)]


def overlap(one, other):
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def name_boxes(graph):
    """Left, top, right, bottom of each node with its name."""
    boxes = []
    for node in graph.nodes.values():
        (x, y), half = node.place, measure(node.name) / 2
        boxes.append((x - half, y + NAME[0], x + half, y + NAME[1]))
    return boxes


@pytest.mark.parametrize(
    "relations", [[], STAR, PARTS, CROWD, [(0, "a", 0)]], ids=["none", "star", "parts", "crowd", "loop"]
)
def test_nodes_lie_apart_on_the_canvas(relations):
    graph = draw_graph(relations, NAMES)
    assert set(graph.nodes) == {i for head, _, tail in relations for i in (head, tail)}
    for left, top, right, bottom in name_boxes(graph):
        assert 0 <= left < right <= graph.width <= MAX_WIDTH + 2 * MARGIN[0] + 1 and 0 <= top < bottom <= graph.height
    for one, other in combinations(graph.nodes.values(), 2):
        assert math.dist(one.place, other.place) > 2 * RADIUS
    assert graph == draw_graph(relations, NAMES)


@pytest.mark.parametrize("relations", [STAR, PARTS, CROWD, CHAIN], ids=["star", "parts", "crowd", "chain"])
def test_names_do_not_overlap(relations):
    for one, other in combinations(name_boxes(draw_graph(relations, NAMES)), 2):
        assert not overlap(one, other)


@pytest.mark.parametrize("relations", [STAR, PARTS, CHAIN], ids=["star", "parts", "chain"])
def test_captions_do_not_overlap(relations):
    """Labels overlap neither names nor each other if they are shown at once."""
    graph = draw_graph(relations, NAMES)
    assert graph.captioned and not draw_graph(CROWD, NAMES).captioned
    boxes = []
    for edge in graph.edges:
        (x, y), half = edge.place, measure(edge.caption) / 2
        if edge.free:
            boxes.append((x - half, y - 11, x + half, y + 4))
    assert len(boxes) >= len(graph.edges) / 2
    for i, box in enumerate(boxes):
        assert not any(overlap(box, other) for other in boxes[i + 1 :] + name_boxes(graph))
    assert not draw_graph(CHAIN, NAMES).edges[0].caption.endswith("entity")


def test_names_are_cut_short():
    graph = draw_graph([(0, "a", 1)], ["A very long name that goes on and on", "two\nlines"])
    assert [node.name for node in graph.nodes.values()] == ["A very long name that g…", "two lines"]
    assert measure("北京") == measure("abcd")


def test_edges_join_all_relations_of_a_pair():
    graph = draw_graph([(0, "a", 1), (1, "b", 0), (0, "c", 1)], NAMES)
    there, back = graph.edges
    assert (there.head, there.tail, there.relations, there.labels) == (0, 1, (0, 2), ("a", "c"))
    assert (back.head, back.tail, back.relations, back.labels) == (1, 0, (1,), ("b",))
    assert (there.caption, back.caption) == ("a +1", "b")
    assert math.dist(there.place, back.place) > RADIUS, "there and back are two lines"


def test_arrows_point_at_the_tail():
    graph = draw_graph([(0, "a", 1)], NAMES)
    x, y = map(float, graph.edges[0].arrow.split()[1:3])
    assert math.dist((x, y), graph.nodes[1].place) == pytest.approx(RADIUS + 1, abs=0.1)
