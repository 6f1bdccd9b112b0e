"""Where tokens and word pieces lie in the windows of documents and of a batch."""

from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

import numpy
from numpy.typing import NDArray

from ..arrays import Ints1d
from ..batches import SpanBatch


@dataclass(frozen=True)
class Marks:
    """Mentions that have a marker before and one after them in the encoder's input.

    start, end (Ints1d): Tokens [start, end) of each distinct mention, by start, then end. Shape (M,).
    piece (Ints1d): The marker before it. Shape (M,).
    """

    start: Ints1d
    end: Ints1d
    piece: Ints1d


@dataclass(frozen=True)
class DocWindows:
    """Where one document's word pieces and tokens lie. Pieces are counted over the document, without special pieces.

    token_first, token_last (Ints1d): Pieces [first, last) of each token; equal where it has none. Shape (T,).
    window_first, window_last (Ints1d): Pieces [first, last) that each window holds. Shape (windows,).
    piece_window (Ints1d): The window whose vector a piece takes: that with the middle closest to it. Shape (W,).
    lengths (Ints1d): Positions of each window, special pieces included. Shape (windows,).
    prefix (int): Special pieces before the first piece of a window.
    marks (Optional[Marks]): Markers among the pieces; None in unmarked text.
    """

    token_first: Ints1d
    token_last: Ints1d
    window_first: Ints1d
    window_last: Ints1d
    piece_window: Ints1d
    lengths: Ints1d
    prefix: int
    marks: Optional[Marks] = None

    @property
    def n_pieces(self) -> int:
        return len(self.piece_window)

    @property
    def n_windows(self) -> int:
        return len(self.lengths)


@dataclass(frozen=True)
class Layout:
    """DocWindows of a batch, renumbered over its documents."""

    piece_rows: Ints1d  # row of each piece in the flattened windows (windows * positions, H), (W,)
    token_first: Ints1d  # (T,)
    token_last: Ints1d  # (T,)
    token_offsets: Ints1d  # first token of each document, (B + 1,)
    piece_offsets: Ints1d  # first piece of each document, (B + 1,)
    window_first: Ints1d  # (windows,)
    window_last: Ints1d  # (windows,)
    lengths: Ints1d  # (windows,)
    prefix: int
    marks: Optional[Marks] = None

    @property
    def n_docs(self) -> int:
        return len(self.token_offsets) - 1

    def span_pieces(self, spans: SpanBatch) -> Tuple[Ints1d, Ints1d]:
        """Turn token spans into piece ranges.

        RETURNS (Tuple[Ints1d, Ints1d]): Pieces [first, last) of the batch, shape (N,); first = last for spans that have
            no piece, or no token (end <= start).
        """
        offset, some = self.token_offsets[spans.doc], spans.end > spans.start
        first = self.token_first[offset + numpy.where(some, spans.start, 0)]
        return first, numpy.where(some, self.token_last[offset + numpy.where(some, spans.end - 1, 0)], first)

    def mention_pieces(self, mentions: SpanBatch) -> Tuple[Ints1d, Ints1d]:
        """Find the pieces that stand for mentions: the marker before each where the text is marked, else its own.

        RETURNS (Tuple[Ints1d, Ints1d]): Pieces [first, last) of the batch. Shape (M,).
        """
        if self.marks is None:
            return self.span_pieces(mentions)
        # Spans are looked up as numbers, start * (tokens + 1) + end: (2, 3) and (2, 5) of 9 tokens are 23 and 25.
        offset, n_tokens = self.token_offsets[mentions.doc], len(self.token_first) + 1
        known = self.marks.start * n_tokens + self.marks.end
        sought = (offset + mentions.start) * n_tokens + offset + mentions.end
        piece = self.marks.piece[numpy.searchsorted(known, sought)]
        return piece, piece + 1


def make_layout(docs: Sequence[DocWindows], n_positions: int) -> Layout:
    """Number the windows and pieces of a batch through, windows padded to n_positions.

    Two documents, of 3 pieces in one window and of 8 in two; a special piece (#) at each end, 7 positions a window:

        window 0:  # a b c # . .    piece_rows of a b c:          1  2  3
        window 1:  # d e f g h #    of d e f g (h: window 2):     8  9 10 11
        window 2:  # g h i j k #    of h i j k:                  16 17 18 19

    A piece's row is window * n_positions + position; pieces d, e, ... are 3, 4, ... of the batch.
    """
    tokens = numpy.cumsum([0] + [len(d.token_first) for d in docs])
    pieces = numpy.cumsum([0] + [d.n_pieces for d in docs])
    windows = numpy.cumsum([0] + [d.n_windows for d in docs])
    rows = []
    for d, w0 in zip(docs, windows):
        position = numpy.arange(d.n_pieces) - d.window_first[d.piece_window] + d.prefix
        rows.append((w0 + d.piece_window) * n_positions + position)
    return Layout(
        piece_rows=join_arrays(rows),
        token_first=join_arrays([d.token_first + p for d, p in zip(docs, pieces)]),
        token_last=join_arrays([d.token_last + p for d, p in zip(docs, pieces)]),
        token_offsets=tokens,
        piece_offsets=pieces,
        window_first=join_arrays([d.window_first + p for d, p in zip(docs, pieces)]),
        window_last=join_arrays([d.window_last + p for d, p in zip(docs, pieces)]),
        lengths=join_arrays([d.lengths for d in docs]),
        prefix=docs[0].prefix if docs else 0,
        marks=_join_marks([d.marks for d in docs if d.marks is not None], tokens, pieces),
    )


def _join_marks(marks: Sequence[Marks], tokens: Ints1d, pieces: Ints1d) -> Optional[Marks]:
    if not marks:
        return None
    return Marks(
        join_arrays([m.start + t for m, t in zip(marks, tokens)]),
        join_arrays([m.end + t for m, t in zip(marks, tokens)]),
        join_arrays([m.piece + p for m, p in zip(marks, pieces)]),
    )


def bucket_windows(lengths: Ints1d, max_items: int, max_padding: float) -> List[Ints1d]:
    """Group windows of similar length. Lengths 2, 9, 8, with at most 20 positions: [9, 8] padded to 18, then [2].

    lengths (Ints1d): Positions of each window.
    max_items (int): Positions in a group, padding included (a single window may exceed it).
    max_padding (float): Share of padding that a group may have.
    RETURNS (List[Ints1d]): Window numbers of each group, longest first.
    """
    order = numpy.argsort(-lengths, kind="stable")
    groups: List[List[int]] = []
    filled = 0
    for w in order:
        if groups:
            width, size = int(lengths[groups[-1][0]]), len(groups[-1]) + 1
            filled += int(lengths[w])
            if width * size <= max_items and filled >= (1 - max_padding) * width * size:
                groups[-1].append(int(w))
                continue
        groups.append([int(w)])
        filled = int(lengths[w])
    return [numpy.asarray(g) for g in groups]


def join_arrays(arrays: Sequence[NDArray]) -> NDArray:
    """Concatenate arrays of integers, of which there may be none."""
    return numpy.concatenate(arrays) if arrays else numpy.zeros(0, dtype="int64")
