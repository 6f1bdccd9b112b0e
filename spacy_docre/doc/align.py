"""Carry spans from one tokenisation of a text to another."""

from itertools import zip_longest
from typing import List, Optional, Sequence, Tuple

import numpy
from spacy.attrs import LENGTH, SPACY
from spacy.tokens import Doc

from ..arrays import Ints1d, SpanIndices
from ..errors import Errors
from .notes import get_title


def token_offsets(doc: Doc) -> Tuple[Ints1d, Ints1d]:
    """RETURNS (Tuple[Ints1d, Ints1d]): First character of each token, and the one after its last. Shape (T,) each."""
    if not len(doc):
        return numpy.zeros(0, dtype="int64"), numpy.zeros(0, dtype="int64")
    array = doc.to_array([LENGTH, SPACY]).astype("int64")
    after = numpy.cumsum(array.sum(axis=1))
    ends = after - array[:, 1]
    return ends - array[:, 0], ends


def align_spans(reference: Doc, predicted: Doc, spans: Sequence[SpanIndices]) -> List[Optional[SpanIndices]]:
    """Find spans of one Doc in another Doc of the same text, by characters.

    reference (Doc): Document the spans belong to.
    predicted (Doc): The same text, perhaps in other tokens.
    spans (Sequence[SpanIndices]): Token indices [start, end) into the reference; none of them empty.
    RETURNS (List[Optional[SpanIndices]]): Token indices into the predicted Doc; None where a boundary lies inside
        one of its tokens.
    RAISES (ValueError): If the texts differ.
    """
    check_same_text(reference, predicted)
    if not len(spans):
        return []
    indices = numpy.asarray(spans, dtype="int64").reshape(-1, 2)
    ref_starts, ref_ends = token_offsets(reference)
    starts, ends = token_offsets(predicted)
    start_chars, end_chars = ref_starts[indices[:, 0]], ref_ends[indices[:, 1] - 1]
    # "Oslo's" may be two tokens of the predicted Doc: starts 0, 4 and ends 4, 6. The characters [0, 6) begin at its
    # first token and end at its second; [2, 6) begin at no token, so this span does not fit.
    first = numpy.searchsorted(starts, start_chars)
    last = numpy.searchsorted(ends, end_chars)
    n = len(predicted) - 1
    fits = (starts[numpy.minimum(first, n)] == start_chars) & (ends[numpy.minimum(last, n)] == end_chars)
    return [(s, e + 1) if fit else None for s, e, fit in zip(first.tolist(), last.tolist(), fits.tolist())]


def check_same_text(reference: Doc, predicted: Doc) -> None:
    """RAISES (ValueError): If two Docs have different texts, naming where."""
    gold, pred = reference.text, predicted.text
    if gold != pred:
        at = next(i for i, (a, b) in enumerate(zip_longest(gold, pred)) if a != b)
        raise ValueError(
            Errors.R103.format(title=get_title(reference), at=at, gold=gold[at : at + 20], pred=pred[at : at + 20])
        )
