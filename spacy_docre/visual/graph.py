"""The graph of relations, laid out and drawn as the lines of an SVG."""

import math
import unicodedata
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Sequence, Tuple, Union

import numpy

from ..arrays import Floats1d, Floats2d
from ..doc.text import normalize_space

RADIUS = 7.0  # of a node, in pixels as all lengths here
ARROW = 8.0
BEND = 0.1  # of a line, as a share of its length, so that there and back are two lines
ACROSS, DOWN = 150.0, 92.0  # times the square root of the nodes; names are wide, so there is more across than down
LABEL = 110.0  # and this more across, for captions
MAX_WIDTH = 760.0  # of a part: more nodes make it higher, for a page is read downwards
NODE_AREA = 9000.0  # of each node in a part that is as wide as it may be
MAX_LABEL = 24  # characters of a name or a label; the tooltip has the whole
CHARACTER = 6.8  # width of one in a highlighted name; a little too wide, because fonts differ
MARGIN = (8.0, 26.0)  # around the drawing; the caption of a loop lies above its node
GAP = (14.0, 6.0)  # between the names of two nodes, across and down
NAME = (-RADIUS - 3, 26.0)  # from the middle of a node to its top and to the bottom of its name
ALONG = (0.5, 0.42, 0.58, 0.34, 0.66, 0.26, 0.74)  # positions of a caption on its line, the best first
MAX_CAPTIONS = 24  # in a larger graph, only highlighted lines show their captions
MAX_STRESS_NODES = 40  # the better layout takes time in the cube of their number
MAX_STEPS = 400

Point = Tuple[float, float]
Box = Tuple[float, float, float, float]  # left, top, right, bottom
Triple = Tuple[int, str, int]


@dataclass(frozen=True)
class Edge:
    """All relations from one entity to another.

    relations (Tuple[int, ...]): Their numbers.
    labels (Tuple[str, ...]): Their labels.
    caption (str): What is written on the line.
    line, arrow (str): What to draw, in the language of SVG paths.
    place (Point): Position of the caption.
    free (bool): Whether the caption covers neither a name nor another caption that is shown with it.
    """

    head: int
    tail: int
    relations: Tuple[int, ...]
    labels: Tuple[str, ...]
    caption: str
    line: str
    arrow: str
    place: Point
    free: bool


@dataclass(frozen=True)
class Node:
    """An entity.

    name (str): What is written below it.
    place (Point): Position of its middle.
    """

    name: str
    place: Point


@dataclass(frozen=True)
class Graph:
    """A drawing of the given size. Entities without a relation are not in it.

    nodes (Dict[int, Node]): Entities by number.
    """

    width: float
    height: float
    nodes: Dict[int, Node]
    edges: Tuple[Edge, ...]

    @property
    def captioned(self) -> bool:
        """Whether all captions are shown at once."""
        return len(self.edges) <= MAX_CAPTIONS


def draw_graph(relations: Sequence[Triple], names: Sequence[str]) -> Graph:
    """Lay out entities so that related ones lie together, and draw their relations. The same relations always give the
    same drawing.

    relations (Sequence[Triple]): Head entity, label, tail entity.
    names (Sequence[str]): The name of each entity.
    """
    grouped: Dict[Tuple[int, int], List[int]] = {}
    for i, (head, _, tail) in enumerate(relations):
        grouped.setdefault((head, tail), []).append(i)
    short = {node: shorten(names[node]) for pair in grouped for node in pair}
    places, width, height = lay_out(list(grouped), {node: measure(name) for node, name in short.items()})
    named = [
        (x - measure(short[node]) / 2, y + NAME[0], x + measure(short[node]) / 2, y + NAME[1])
        for node, (x, y) in places.items()
    ]
    captions: List[Tuple[int, int, Box]] = []
    edges = []
    for (head, tail), numbers in grouped.items():
        labels = tuple(relations[i][1] for i in numbers)
        caption = shorten(labels[0]) + (f" +{len(labels) - 1}" if len(labels) > 1 else "")
        line, arrow, candidates = draw_edge(places[head], places[tail])
        # Of many lines only those of one entity are highlighted together.
        beside = [box for a, b, box in captions if len(grouped) <= MAX_CAPTIONS or {a, b} & {head, tail}]
        place, free = place_caption(candidates, measure(caption), numpy.array(named + beside))
        if free:
            captions.append((head, tail, _caption_box(place, measure(caption))))
        edges.append(Edge(head, tail, tuple(numbers), labels, caption, line, arrow, place, free))
    return Graph(width, height, {node: Node(short[node], places[node]) for node in places}, tuple(edges))


def shorten(text: str) -> str:
    """Cut a text to at most MAX_LABEL characters, on one line."""
    text = normalize_space(text)
    return text if len(text) <= MAX_LABEL else text[: MAX_LABEL - 1].rstrip() + "…"


def measure(text: str) -> float:
    """Estimate the width of a text in pixels. Chinese, Japanese and Korean characters are twice as wide."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return CHARACTER * (len(text) + wide)


def lay_out(pairs: Sequence[Tuple[int, int]], widths: Mapping[int, float]) -> Tuple[Dict[int, Point], float, float]:
    """Lay out each connected part of a graph by itself, and set the parts side by side, large ones first.

    pairs (Sequence[Tuple[int, int]]): Nodes that are joined.
    widths (Mapping[int, float]): How wide the name of each node is.
    RETURNS (Tuple[Dict[int, Point], float, float]): Place of each node, width and height of the whole.
    """
    import networkx  # slow to load, and only drawings need it

    graph = networkx.Graph(list(pairs))
    parts = sorted(networkx.connected_components(graph), key=lambda part: (-len(part), min(part)))
    nodes: Dict[int, Point] = {}
    x, y, row, right = *MARGIN, 0.0, 0.0
    # Parts lie side by side like words in a text of MAX_WIDTH. Of three parts 500, 200 and 300 wide, the first two make
    # a row, and the third begins the next row, below the higher of the two.
    for part in parts:
        members = sorted(part)
        boxes = numpy.array([(max(widths[node], 2 * RADIUS) + GAP[0], NAME[1] - NAME[0] + GAP[1]) for node in members])
        places = keep_apart(size(len(part)) * spread(graph.subgraph(members), members), boxes)
        low, high = (places - boxes / 2).min(0), (places + boxes / 2).max(0)
        w, h = (high - low).tolist()
        if row and x + w > MARGIN[0] + MAX_WIDTH:
            x, y, row = MARGIN[0], y + row, 0.0
        top = -NAME[0] + GAP[1] / 2  # from the top of a node's box to its middle
        for node, place, box in zip(members, (places - low).tolist(), boxes.tolist()):
            nodes[node] = (x + place[0], y + place[1] - box[1] / 2 + top)
        x, row, right = x + w, max(row, h), max(right, x + w)
    return nodes, right + MARGIN[0], y + row + MARGIN[1]


def size(n: int) -> Floats1d:
    """Choose width and height for a number of joined nodes."""
    width, height = LABEL + ACROSS * math.sqrt(n), DOWN * math.sqrt(n)
    if width <= MAX_WIDTH:
        return numpy.array([width, height])
    return numpy.array([MAX_WIDTH, max(height, n * NODE_AREA / MAX_WIDTH)])


def keep_apart(places: Floats2d, boxes: Floats2d) -> Floats2d:
    """Push boxes that overlap from one another, the shorter way, until none do.

    places (Floats2d): Middles of the boxes, (N, 2).
    boxes (Floats2d): Widths and heights, (N, 2).
    RETURNS (Floats2d): New middles. Some boxes may still overlap after `MAX_STEPS`.
    """
    # Three boxes of 10 x 4 with middles (0, 0), (6, 1), (30, 0). Between two of them at least 10 across or 4 down is
    # needed. The first two lack 4 across and 3 down, so each moves 1.5 down or up; the third lacks nothing.
    least = (boxes[:, None] + boxes) / 2
    order = numpy.sign(numpy.arange(len(places))[:, None] - numpy.arange(len(places)))  # for those at the same place
    for _ in range(MAX_STEPS):
        apart = places[:, None] - places
        lack = least - numpy.abs(apart)
        lack[(lack <= 0.01).any(-1)] = 0
        lack[numpy.diag_indices(len(places))] = 0
        if not lack.any():
            break
        way = numpy.where(apart == 0, order[..., None], numpy.sign(apart))
        across = lack[..., 0] < lack[..., 1]
        lack[..., 0] *= across
        lack[..., 1] *= ~across
        places = places + 0.5 * (way * lack).sum(1)
        half = boxes[:, 0] / 2
        places[:, 0] = places[:, 0].clip(half, numpy.maximum(MAX_WIDTH - half, half))
    return places


def spread(graph: Any, members: Sequence[int]) -> Floats2d:
    """Lay out a connected graph in the unit square, its longest axis along x.

    RETURNS (Floats2d): Places of the members, (N, 2).
    """
    import networkx

    if len(members) <= MAX_STRESS_NODES:
        found = networkx.kamada_kawai_layout(graph)
    else:
        found = networkx.spring_layout(graph, seed=0, iterations=100, k=2 / math.sqrt(len(members)))
    places = numpy.array([found[node] for node in members])
    places -= places.mean(0)
    places = places @ numpy.linalg.eigh(places.T @ places)[1][:, ::-1]  # the longest axis first
    # Of nodes at x = 0, 1, 10, `even` is 0, 0.1, 1, and `rank` 0, 0.5, 1 (from seven nodes on); the mean is 0, 0.3, 1.
    low, extent = places.min(0), numpy.ptp(places, axis=0)
    even = numpy.where(extent > 1e-6, (places - low) / numpy.maximum(extent, 1e-6), 0.5)
    rank = places.argsort(0, kind="stable").argsort(0) / (len(members) - 1) if len(members) > 6 else even
    return (even + rank) / 2  # ranks pull crowded places apart


def draw_edge(head: Point, tail: Point) -> Tuple[str, str, List[Point]]:
    """Draw a line with an arrow from one node to another.

    RETURNS (Tuple[str, str, List[Point]]): Line and arrow as SVG paths, and places on the line for its caption, the
        best first.
    """
    (x1, y1), (x2, y2) = head, tail
    if head == tail:  # a loop above the node
        r = 2 * RADIUS
        start, tip = (x1 - RADIUS, y1 - RADIUS / 2), (x1 + RADIUS, y1 - RADIUS / 2)
        line = _path("M", start, "C", (x1 - 2 * r, y1 - 2 * r), (x1 + 2 * r, y1 - 2 * r), tip)
        return line, _arrow(tip, (-0.7, 0.7)), [(x1, y1 - 2 * r)]
    bend = ((x1 + x2) / 2 - BEND * (y2 - y1), (y1 + y2) / 2 + BEND * (x2 - x1))
    out, into = _direction(head, bend), _direction(bend, tail)
    start, tip = _move(head, out, RADIUS), _move(tail, into, -RADIUS - 1)
    line = _path("M", start, "Q", bend, _move(tip, into, -ARROW / 2))
    weights = [((1 - t) ** 2, 2 * t * (1 - t), t**2) for t in ALONG]
    places = [(a * x1 + b * bend[0] + c * x2, a * y1 + b * bend[1] + c * y2) for a, b, c in weights]
    return line, _arrow(tip, into), places


def place_caption(candidates: Sequence[Point], width: float, taken: Floats2d) -> Tuple[Point, bool]:
    """Choose the place where a caption covers least.

    candidates (Sequence[Point]): Places, the best first.
    width (float): Of the caption.
    taken (Floats2d): Boxes that are there already. Shape (N, 4).
    RETURNS (Tuple[Point, bool]): A place, and whether the caption covers nothing there.
    """
    covered = []
    for place in candidates:
        box = numpy.array(_caption_box(place, width))
        common = numpy.minimum(taken[:, 2:], box[2:]) - numpy.maximum(taken[:, :2], box[:2])
        covered.append(float(common.clip(0).prod(-1).sum()))
    best = covered.index(min(covered))
    return candidates[best], covered[best] == 0


def _caption_box(place: Point, width: float) -> Box:
    x, y = place
    return x - width / 2, y - 11, x + width / 2, y + 4


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
