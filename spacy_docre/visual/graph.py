"""The graph of relations, laid out and drawn as the lines of an SVG."""

import math
import unicodedata
from dataclasses import dataclass
from typing import Dict, List, Sequence, Tuple, Union

import numpy

from ..arrays import Floats2d
from ..doc.names import normalize_space
from .layout import NAME, RADIUS, Point, lay_out

ARROW = 8.0
BEND = 0.1  # of a line, as a share of its length, so that there and back are two lines
MAX_LABEL = 24  # characters of a name or a label; the tooltip has the whole
CHARACTER = 6.8  # width of one in a highlighted name; a little too wide, because fonts differ
ALONG = (0.5, 0.42, 0.58, 0.34, 0.66, 0.26, 0.74)  # positions of a caption on its line, the best first
MAX_CAPTIONS = 24  # in a larger graph, only highlighted lines show their captions

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
