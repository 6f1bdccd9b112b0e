"""The layout of the graph."""

import math
from itertools import combinations

import pytest

from spacy_docre.visual.graph import RADIUS, draw_graph

STAR = [(0, "part of", i) for i in range(1, 9)]
PARTS = [(0, "a", 1), (2, "a", 3), (3, "a", 4), (7, "a", 8)]
CROWD = [(i, "a", j) for i in range(60) for j in range(i + 1, 60) if (i * 7 + j * 3) % 11 < 2]


@pytest.mark.parametrize(
    "relations", [[], STAR, PARTS, CROWD, [(0, "a", 0)]], ids=["none", "star", "parts", "crowd", "loop"]
)
def test_nodes_lie_apart_on_the_canvas(relations):
    graph = draw_graph(relations)
    assert set(graph.nodes) == {i for head, _, tail in relations for i in (head, tail)}
    for x, y in graph.nodes.values():
        assert RADIUS < x < graph.width - RADIUS and RADIUS < y < graph.height - RADIUS
    for one, other in combinations(graph.nodes.values(), 2):
        assert math.dist(one, other) > 2 * RADIUS
    assert graph == draw_graph(relations)


def test_edges_join_all_relations_of_a_pair():
    graph = draw_graph([(0, "a", 1), (1, "b", 0), (0, "c", 1)])
    there, back = graph.edges
    assert (there.head, there.tail, there.relations, there.labels) == (0, 1, (0, 2), ("a", "c"))
    assert (back.head, back.tail, back.relations, back.labels) == (1, 0, (1,), ("b",))
    assert math.dist(there.middle, back.middle) > RADIUS, "there and back are two lines"


def test_arrows_point_at_the_tail():
    graph = draw_graph([(0, "a", 1)])
    x, y = map(float, graph.edges[0].arrow.split()[1:3])
    assert math.dist((x, y), graph.nodes[1]) == pytest.approx(RADIUS + 1, abs=0.1)
