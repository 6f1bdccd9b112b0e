"""Where the nodes of a graph lie: related ones together, their names apart. Lengths are in pixels."""

import math
from typing import Any, Dict, Mapping, Sequence, Tuple

import numpy

from ..arrays import Floats1d, Floats2d

RADIUS = 7.0  # of a node
ACROSS, DOWN = 150.0, 92.0  # times the square root of the nodes; names are wide, so there is more across than down
LABEL = 110.0  # and this more across, for captions
MAX_WIDTH = 760.0  # of a part: more nodes make it higher, for a page is read downwards
NODE_AREA = 9000.0  # of each node in a part that is as wide as it may be
MARGIN = (8.0, 26.0)  # around the drawing; the caption of a loop lies above its node
GAP = (14.0, 6.0)  # between the names of two nodes, across and down
NAME = (-RADIUS - 3, 26.0)  # from the middle of a node to its top and to the bottom of its name
MAX_STRESS_NODES = 40  # the better layout takes time in the cube of their number
MAX_STEPS = 400

Point = Tuple[float, float]


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
