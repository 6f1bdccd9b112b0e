"""Find the mentions of a tool that counts characters in its own way. In a browser, a character beyond the first 65,536
of Unicode counts two; a line end of two characters may count one, and a byte order mark nothing. A mention's text tells
how its tool counts."""

from dataclasses import dataclass
from itertools import accumulate
from typing import Dict, Hashable, List, Optional

from .records import Chars

BOM = "\ufeff"


@dataclass
class Mention:
    """A mention as a tool has it."""

    pieces: List[Chars]  # ranges [start, end) as the tool counts, in order; most mentions have one
    labels: List[str]  # empty where the tool gives none
    text: Optional[str] = None  # as the tool says, if it does


class Reading:
    """One way to count."""

    def __init__(self, text: str, *, utf16: bool = False, short: bool = False) -> None:
        """utf16 (bool): Whether offsets count UTF-16 units, not code points.
        short (bool): Whether "\\r\\n" counts one, and a byte order mark nothing.
        """
        self.text = text
        self.chars: Optional[Dict[int, int]] = None  # from offsets to code points, where they may differ
        if utf16 or short:
            widths = [
                0 if short and (char == BOM or pair == "\r\n") else 1 + (utf16 and char > "\uffff")
                for char, pair in ((text[i], text[i : i + 2]) for i in range(len(text)))
            ]
            # "a🌍b" in UTF-16 has the widths 1, 2, 1: its characters begin at 0, 1, 3, and the last ends at 4.
            offsets = list(enumerate(accumulate(widths, initial=0)))
            self.chars = {offset: i for i, offset in reversed(offsets)}  # the first of two: before the line end

    def place(self, mention: Mention) -> Optional[List[Chars]]:
        """Find the code points [start, end) of a mention's pieces; None if another text is there."""
        placed = []
        for start, end in mention.pieces:
            if self.chars is not None:
                start, end = self.chars.get(start, -1), self.chars.get(end, -1)
            if not 0 <= start < end <= len(self.text):
                return None
            placed.append((start, end))
        found = "".join(self.text[start:end] for start, end in placed)
        return placed if mention.text is None or squash(found) == squash(mention.text) else None


def squash(text: str) -> str:
    """Take all spaces out of a text: tools write line ends and repeated spaces in ways of their own."""
    return "".join(text.replace("\\n", "").replace(BOM, "").split())


def place_mentions(text: str, mentions: Dict[Hashable, Mention]) -> Dict[Hashable, Optional[List[Chars]]]:
    """Find mentions by the way of counting that fits most of them; code points on ties.

    RETURNS (Dict[Hashable, Optional[List[Chars]]]): Code points [start, end) of the pieces of each mention; None for
        one whose text is not where it says.
    """
    plain = _place(Reading(text), mentions)
    if None not in plain.values():
        return plain
    ways = [(True, False), (False, True), (True, True)]
    readings = (Reading(text, utf16=utf16, short=short) for utf16, short in ways)
    others = (_place(reading, mentions) for reading in readings)
    return max([plain, *others], key=lambda placed: sum(pieces is not None for pieces in placed.values()))


def _place(reading: Reading, mentions: Dict[Hashable, Mention]) -> Dict[Hashable, Optional[List[Chars]]]:
    return {name: reading.place(mention) for name, mention in mentions.items()}
