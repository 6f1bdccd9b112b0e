"""Spans that overlap in any way, as nested elements."""

from dataclasses import dataclass
from typing import Dict, Iterator, List, Sequence, Union


@dataclass(frozen=True)
class Stretch:
    """A part of the text that becomes an element.

    start, end (int): Characters [start, end).
    kind (str): "sentence" or "mention".
    id (int): Number within its kind.
    """

    start: int
    end: int
    kind: str
    id: int


@dataclass(frozen=True)
class Opening:
    """The start of an element, or its continuation after the end of one that crosses it."""

    stretch: Stretch
    first: bool


class Closing:
    """The end of the element that was opened last."""


Piece = Union[str, Opening, Closing]


def nest(text: str, stretches: Sequence[Stretch]) -> Iterator[Piece]:
    """Cut a text where stretches begin and end. One that would cross the end of an outer one is closed there and opened
    anew, so that elements nest.

    stretches (Sequence[Stretch]): Of two that begin together the longer is the outer one, then the earlier.
    YIELDS (Piece): Pieces of the text in order, openings and closings between them.
    """
    starting: Dict[int, List[Stretch]] = {}
    for stretch in stretches:
        if stretch.start < stretch.end:
            starting.setdefault(stretch.start, []).append(stretch)
    cuts = sorted({0, len(text), *starting, *(s.end for begun in starting.values() for s in begun)})
    opened: List[Stretch] = []
    for cut, following in zip(cuts, [*cuts[1:], len(text)]):
        kept: List[Stretch] = []
        while any(s.end <= cut for s in opened):
            last = opened.pop()
            yield Closing()
            if last.end > cut:
                kept.append(last)
        begun = starting.get(cut, [])
        for stretch in [*reversed(kept), *sorted(begun, key=lambda s: -s.end)]:
            opened.append(stretch)
            yield Opening(stretch, stretch.start == cut)
        if cut < following:
            yield text[cut:following]
