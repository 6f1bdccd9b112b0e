"""The sentences of a Doc, and their numbers. A Doc without any is one sentence."""

from typing import Dict, List

import numpy
from spacy.tokens import Doc, Span

from ..arrays import Ints1d


def get_sentences(doc: Doc) -> List[Span]:
    """RETURNS (List[Span]): The sentences; a Doc without any is one."""
    return list(doc.sents) if has_sentences(doc) else [doc[:]]


def has_sentences(doc: Doc) -> bool:
    """RETURNS (bool): Whether sentence boundaries are annotated."""
    return doc.has_annotation("SENT_START")


def sentence_starts(doc: Doc) -> List[int]:
    """RETURNS (List[int]): First character of each sentence."""
    return [sent.start_char for sent in get_sentences(doc)]


def number_by_start(doc: Doc) -> Dict[int, int]:
    """RETURNS (Dict[int, int]): First token of each sentence to the sentence's number, from 0."""
    return {sent.start: i for i, sent in enumerate(get_sentences(doc))}


def number_sentences(doc: Doc) -> Ints1d:
    """RETURNS (Ints1d): Number of each token's sentence, from 0; all 0 where no sentences are annotated. Shape (T,)."""
    starts = doc.to_array("SENT_START").astype("int64") == 1 if len(doc) else numpy.zeros(0, dtype=bool)
    starts[:1] = True
    return numpy.cumsum(starts) - 1
