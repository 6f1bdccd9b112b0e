"""The graph of relations, laid out and drawn as the lines of an SVG."""

import math
from dataclasses import dataclass
from typing import Any, Dict, List, Sequence, Tuple, Union

import numpy

RADIUS = 7.0  # of a node, in pixels as all lengths here
ARROW = 8.0
BEND = 0.1  # how far a line leaves the straight one, as a share of its length: there and back are two lines
ACROSS, DOWN = 150.0, 92.0  # times the square root of the nodes; names are wide, so there is more across than down
LABEL = 110.0  # and across, for what is written on a line
MARGIN = (75.0, 30.0)
MIN_WIDTH = 640.0
MAX_STRESS_NODES = 40  # the better layout takes the cube of their number

Point = Tuple[float, float]
Triple = Tuple[int, str, int]


@dataclass(frozen=True)
class Edge:
    """All relations from one entity to another.

    relations (Tuple[int, ...]): Their numbers.
    labels (Tuple[str, ...]): Their labels.
    line, arrow (str): What to draw, in the language of SVG paths.
    middle (Point): Where the label goes.
    """

    head: int
    tail: int
    relations: Tuple[int, ...]
    labels: Tuple[str, ...]
    line: str
    arrow: str
    middle: Point


@dataclass(frozen=True)
class Graph:
    """A drawing of the given size. Entities without a relation are not in it.

    nodes (Dict[int, Point]): Where each entity lies.
    """

    width: float
    height: float
    nodes: Dict[int, Point]
    edges: Tuple[Edge, ...]


def draw_graph(relations: Sequence[Triple]) -> Graph:
    """Lay out entities so that related ones lie together, and draw their relations. The same relations always give the
    same drawing.

    relations (Sequence[Triple]): Head entity, label, tail entity.
    """
    grouped: Dict[Tuple[int, int], List[int]] = {}
    for i, (head, _, tail) in enumerate(relations):
        grouped.setdefault((head, tail), []).append(i)
    nodes, width, height = lay_out(list(grouped))
    edges = []
    for (head, tail), numbers in grouped.items():
        line, arrow, middle = draw_edge(nodes[head], nodes[tail])
        labels = tuple(relations[i][1] for i in numbers)
        edges.append(Edge(head, tail, tuple(numbers), labels, line, arrow, middle))
    return Graph(width, height, nodes, tuple(edges))


def lay_out(pairs: Sequence[Tuple[int, int]]) -> Tuple[Dict[int, Point], float, float]:
    """Lay out each connected part of a graph by itself, and set the parts side by side, large ones first.

    pairs (Sequence[Tuple[int, int]]): Nodes that are joined.
    RETURNS (Tuple[Dict[int, Point], float, float]): Place of each node, width and height of the whole.
    """
    import networkx  # takes a while, and only who draws needs it

    graph = networkx.Graph(list(pairs))
    parts = sorted(networkx.connected_components(graph), key=lambda part: (-len(part), min(part)))
    sizes = [(LABEL + ACROSS * math.sqrt(len(part)), DOWN * math.sqrt(len(part))) for part in parts]
    area = sum((w + 2 * MARGIN[0]) * (h + 2 * MARGIN[1]) for w, h in sizes)
    width = max([MIN_WIDTH, 1.2 * math.sqrt(area), *(w + 2 * MARGIN[0] for w, _ in sizes)])
    nodes: Dict[int, Point] = {}
    x = y = row = 0.0
    for part, (w, h) in zip(parts, sizes):
        if x and x + w + 2 * MARGIN[0] > width:
            x, y, row = 0.0, y + row, 0.0
        members = sorted(part)
        for node, place in zip(members, spread(graph.subgraph(members), members).tolist()):
            nodes[node] = (x + MARGIN[0] + w * place[0], y + MARGIN[1] + h * place[1])
        x, row = x + w + 2 * MARGIN[0], max(row, h + 2 * MARGIN[1])
    return nodes, width, y + row


def spread(graph: Any, members: Sequence[int]) -> numpy.ndarray:
    """RETURNS (numpy.ndarray): Places of a connected graph's members within the unit square, drawn out along x."""
    import networkx

    if len(members) <= MAX_STRESS_NODES:
        found = networkx.kamada_kawai_layout(graph)
    else:
        found = networkx.spring_layout(graph, seed=0, iterations=100, k=2 / math.sqrt(len(members)))
    places = numpy.array([found[node] for node in members])
    places -= places.mean(0)
    places = places @ numpy.linalg.eigh(places.T @ places)[1][:, ::-1]  # the longest axis first
    low, extent = places.min(0), numpy.ptp(places, axis=0)
    even = numpy.where(extent > 1e-6, (places - low) / numpy.maximum(extent, 1e-6), 0.5)
    rank = places.argsort(0, kind="stable").argsort(0) / (len(members) - 1) if len(members) > 6 else even
    return (even + rank) / 2  # ranks pull crowded places apart


def draw_edge(head: Point, tail: Point) -> Tuple[str, str, Point]:
    """RETURNS (Tuple[str, str, Point]): Line and arrow from one node to another as SVG paths, and the line's middle."""
    (x1, y1), (x2, y2) = head, tail
    if head == tail:  # a loop above the node
        r = 2 * RADIUS
        start, tip = (x1 - RADIUS, y1 - RADIUS / 2), (x1 + RADIUS, y1 - RADIUS / 2)
        line = _path("M", start, "C", (x1 - 2 * r, y1 - 2 * r), (x1 + 2 * r, y1 - 2 * r), tip)
        return line, _arrow(tip, (-0.7, 0.7)), (x1, y1 - 2 * r)
    bend = ((x1 + x2) / 2 - BEND * (y2 - y1), (y1 + y2) / 2 + BEND * (x2 - x1))
    out, into = _direction(head, bend), _direction(bend, tail)
    start, tip = _move(head, out, RADIUS), _move(tail, into, -RADIUS - 1)
    line = _path("M", start, "Q", bend, _move(tip, into, -ARROW / 2))
    return line, _arrow(tip, into), ((x1 + 2 * bend[0] + x2) / 4, (y1 + 2 * bend[1] + y2) / 4)


def _arrow(tip: Point, direction: Point) -> str:
    back, side = _move(tip, direction, -ARROW), (-direction[1], direction[0])
    return _path("M", tip, "L", _move(back, side, 0.4 * ARROW), _move(back, side, -0.4 * ARROW)) + "Z"


def _path(*parts: Union[str, Point]) -> str:
    return " ".join(part if isinstance(part, str) else f"{part[0]:.1f} {part[1]:.1f}" for part in parts)


def _move(point: Point, direction: Point, length: float) -> Point:
    return point[0] + length * direction[0], point[1] + length * direction[1]


def _direction(start: Point, end: Point) -> Point:
    length = math.dist(start, end) or 1.0
    return (end[0] - start[0]) / length, (end[1] - start[1]) / length
