"""Markers round mentions in the encoder's input, as ATLOP and its followers have them."""

from typing import List, Sequence, Tuple

import numpy
from transformers import PreTrainedTokenizerBase

from ...arrays import Ints1d, SpanIndices
from ...errors import Errors
from ...layers.layout import Marks


def get_marker(tokenizer: PreTrainedTokenizerBase, marker: str, name: str) -> int:
    """Look up the id of the marker.

    RAISES (ValueError): If it is not one word piece of the encoder `name`.
    """
    ids = tokenizer(marker, add_special_tokens=False)["input_ids"]
    if not ids or ids[-1] == tokenizer.unk_token_id:
        raise ValueError(Errors.R308.format(name=name, marker=marker))
    return ids[-1]  # a piece for the space before it may come first


def insert_markers(
    ids: Sequence[int], token_first: Ints1d, token_last: Ints1d, spans: Sequence[SpanIndices], marker: int
) -> Tuple[List[int], Ints1d, Ints1d, Marks]:
    """Put a marker before and one after each distinct mention; nested mentions nest.

    Three tokens of the pieces a, b c and d; mentions 1: tokens [0, 1), and 2: tokens [0, 2):

        before:          a      b  c      d      tokens: [0, 1) [1, 3) [3, 4)
        after:    *  *   a  *   b  c  *   d      tokens: [2, 3) [4, 6) [7, 8)
        markers:  2( 1(     )1        )2         Marks.piece: 1 and 0, of the mentions 1 and 2

    ids (Sequence[int]): Word pieces of a document.
    token_first, token_last (Ints1d): Pieces [first, last) of each token. Shape (T,).
    spans (Sequence[SpanIndices]): Tokens [start, end) of the mentions; a span may come several times.
    marker (int): Id of the marker.
    RETURNS: Pieces with the markers, pieces [first, last) of each token among them, and the markers.
    """
    start, end = numpy.asarray(sorted(set(spans)), dtype="int64").reshape(-1, 2).T
    opening, closing = token_first[start], token_last[end - 1]
    # A marker goes before the piece of its position: first those that close, the innermost (which opened last) first,
    # then those that open, the outermost (which closes last) first.
    n = len(start)
    order = numpy.lexsort(
        (
            numpy.concatenate([-closing, -opening]),
            numpy.repeat([1, 0], n),
            numpy.concatenate([opening, closing]),
        )
    )
    position = numpy.concatenate([opening, closing])[order]
    marked = numpy.insert(numpy.asarray(ids, dtype="int64"), position, marker)
    place = numpy.empty(2 * n, dtype="int64")
    place[order] = position + numpy.arange(2 * n)
    # Each piece moves on by the number of markers before it.
    moved = numpy.arange(len(ids) + 1)
    moved += numpy.searchsorted(position, moved, side="right")
    has_piece = token_last > token_first
    first = moved[token_first]
    last = numpy.where(has_piece, moved[numpy.maximum(token_last - 1, 0)] + 1, first)
    return marked.tolist(), first, last, Marks(start, end, place[:n])
