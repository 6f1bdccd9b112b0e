"""How entities are named, for Docs, files and pages, and how names are compared."""

import re
from typing import Iterable, Sequence, Tuple

WORD = re.compile(r"\w+")


def entity_name(mentions: Iterable[Tuple[int, str, Iterable[str]]]) -> str:
    """Name an entity by its longest mention that holds a capitalised token, else by its longest; the earliest on ties.

         0, "al-Qaeda", ["al", "-", "Qaeda"]                            the name: it holds "Qaeda"
        30, "the terrorist group", ["the", "terrorist", "group"]        longer, but not capitalised

    mentions (Iterable[Tuple[int, str, Iterable[str]]]): Place in the document, text, and tokens of each mention.
    RETURNS (str): The name; "" for an entity without mentions.
    """
    ranked = [
        (any(token[:1].isupper() for token in tokens), len(text), -place, text) for place, text, tokens in mentions
    ]
    return max(ranked, default=(False, 0, 0, ""))[-1]


def entity_name_by_words(text: str, mentions: Iterable[Sequence[int]]) -> str:
    """Name an entity where tokens are not known: by runs of letters and digits instead.

    text (str): Text of the document.
    mentions (Iterable[Sequence[int]]): Characters [start, end) of each mention.
    RETURNS (str): The name; "" for an entity without mentions.
    """
    parts = [(start, text[start:end]) for start, end in mentions]
    return entity_name((start, part, WORD.findall(part)) for start, part in parts)


def normalize_space(text: str) -> str:
    """Turn each run of white space into one space, so that a name broken over two lines is still the same name."""
    return " ".join(text.split())
