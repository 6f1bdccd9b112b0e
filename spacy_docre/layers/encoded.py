"""What the encoder hands to the heads: padded windows, and where each token lies in them."""

from dataclasses import dataclass, field, replace
from typing import Iterator, List, Optional, Sequence, Set, Tuple

import numpy
import torch
from torch import Tensor

from ..arrays import Ints1d, Ints2d
from ..batches import SpanBatch
from .segments import range_max

_MAX_PADDING = 0.1


@dataclass(frozen=True)
class Marks:
    """Mentions that have a marker before and one behind them in the encoder's input.

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
    piece_window (Ints1d): The window whose vector a piece takes, the one where it lies most central. Shape (W,).
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

    def span_pieces(self, doc: Ints1d, start: Ints1d, end: Ints1d) -> Tuple[Ints1d, Ints1d]:
        """Turn token spans into piece ranges.

        doc, start, end (Ints1d): Row of the document, token indices [start, end) in it. Shape (N,).
        RETURNS (Tuple[Ints1d, Ints1d]): Pieces [first, last) of the batch; first = last for spans without a piece.
        """
        offset = self.token_offsets[doc]
        return self.token_first[offset + start], self.token_last[offset + end - 1]

    def mention_pieces(self, mentions: SpanBatch) -> Tuple[Ints1d, Ints1d]:
        """RETURNS (Tuple[Ints1d, Ints1d]): Pieces [first, last) that stand for each mention: the marker before it where
        the text is marked, else its own. Shape (M,)."""
        if self.marks is None:
            return self.span_pieces(mentions.doc, mentions.start, mentions.end)
        offset, n_tokens = self.token_offsets[mentions.doc], len(self.token_first) + 1
        known = self.marks.start * n_tokens + self.marks.end
        piece = self.marks.piece[
            numpy.searchsorted(known, (offset + mentions.start) * n_tokens + offset + mentions.end)
        ]
        return piece, piece + 1


def make_layout(docs: Sequence[DocWindows], n_positions: int) -> Layout:
    """Number the windows and pieces of a batch through, windows padded to n_positions."""
    tokens = numpy.cumsum([0] + [len(d.token_first) for d in docs])
    pieces = numpy.cumsum([0] + [d.n_pieces for d in docs])
    windows = numpy.cumsum([0] + [d.n_windows for d in docs])
    rows = []
    for d, w0 in zip(docs, windows):
        position = numpy.arange(d.n_pieces) - d.window_first[d.piece_window] + d.prefix
        rows.append((w0 + d.piece_window) * n_positions + position)
    return Layout(
        piece_rows=_cat(rows),
        token_first=_cat([d.token_first + p for d, p in zip(docs, pieces)]),
        token_last=_cat([d.token_last + p for d, p in zip(docs, pieces)]),
        token_offsets=tokens,
        piece_offsets=pieces,
        window_first=_cat([d.window_first + p for d, p in zip(docs, pieces)]),
        window_last=_cat([d.window_last + p for d, p in zip(docs, pieces)]),
        lengths=_cat([d.lengths for d in docs]),
        prefix=docs[0].prefix if docs else 0,
        marks=_join_marks([d.marks for d in docs if d.marks is not None], tokens, pieces),
    )


def _join_marks(marks: Sequence[Marks], tokens: Ints1d, pieces: Ints1d) -> Optional[Marks]:
    if not marks:
        return None
    return Marks(
        _cat([m.start + t for m, t in zip(marks, tokens)]),
        _cat([m.end + t for m, t in zip(marks, tokens)]),
        _cat([m.piece + p for m, p in zip(marks, pieces)]),
    )


@dataclass(frozen=True)
class WindowGroup:
    """Some windows of a batch, of similar length.

    number (Ints1d): Number of each window in the batch. Shape (w,).
    lengths (Ints1d): Positions of each window; the longest has S. Shape (w,).
    hidden (Tensor): Shape (w, S, H).
    queries, keys (Optional[Tensor]): Shape (w, heads, S, H / heads).
    attention (Optional[Tensor]): Shape (w, heads, S, S).
    """

    number: Ints1d
    lengths: Ints1d
    hidden: Tensor
    queries: Optional[Tensor]
    keys: Optional[Tensor]
    attention: Optional[Tensor]

    def mask(self) -> Tensor:
        """RETURNS (Tensor): Which positions are not padding. Shape (w, S), bool."""
        length = torch.as_tensor(self.lengths, device=self.hidden.device)
        return torch.arange(self.hidden.shape[1], device=self.hidden.device) < length[:, None]

    def attention_rows(self, position: Ints2d) -> Tensor:
        """Compute rows of the last layer's attention, softmax(q k^T / sqrt(d)), with gradient.

        position (Ints2d): Positions whose rows are wanted, for each window. Shape (w, N).
        RETURNS (Tensor): Shape (w, heads, N, S), float32 at least; padding columns are 0.
        """
        index = torch.as_tensor(position, dtype=torch.long, device=self.hidden.device)
        if self.attention is not None:
            n = self.attention.shape
            return widen(self.attention.gather(2, index[:, None, :, None].expand(n[0], n[1], index.shape[1], n[3])))
        assert self.queries is not None and self.keys is not None
        n = self.queries.shape
        queries = widen(self.queries.gather(2, index[:, None, :, None].expand(n[0], n[1], index.shape[1], n[3])))
        with torch.autocast(queries.device.type, enabled=False):  # which would give bfloat16
            scores = (queries / n[3] ** 0.5) @ widen(self.keys).transpose(-1, -2)
        if (self.lengths < n[2]).any():
            scores = scores.masked_fill(~self.mask()[:, None, None], -torch.inf)
        return scores.softmax(-1)


@dataclass(frozen=True)
class EncodedBatch:
    """Encoder output of a batch.

    hidden (Tensor): Last hidden states. Shape (windows, S, H).
    queries, keys (Optional[Tensor]): Of the last layer. Shape (windows, heads, S, H / heads).
    attention (Optional[Tensor]): Of the last layer, for encoders whose rows queries and keys do not give.
        Shape (windows, heads, S, S).
    layout (Layout): Where tokens and pieces lie.
    windows (Tuple[DocWindows, ...]): The same, document by document.
    second (Optional[EncodedBatch]): Output of the head's own encoder for the same documents, where it has one.
    """

    hidden: Tensor
    queries: Optional[Tensor]
    keys: Optional[Tensor]
    attention: Optional[Tensor]
    layout: Layout
    windows: Tuple[DocWindows, ...]
    second: Optional["EncodedBatch"] = None

    @property
    def width(self) -> int:
        return self.hidden.shape[-1]

    @property
    def n_heads(self) -> int:
        return next(t.shape[1] for t in (self.queries, self.attention) if t is not None)

    def pieces(self) -> Tensor:
        """RETURNS (Tensor): Vector of each word piece, special pieces and padding left out. Shape (W, H)."""
        return self.hidden.reshape(-1, self.width).index_select(0, self.index(self.layout.piece_rows))

    def index(self, array: numpy.ndarray) -> Tensor:
        """Bring an index array to the device of the vectors."""
        return torch.as_tensor(array, dtype=torch.long, device=self.hidden.device)

    def window_groups(self, wanted: Ints1d, max_positions: int) -> Iterator[WindowGroup]:
        """Cut windows into groups of similar length, so that little is computed on padding and memory is bounded.

        wanted (Ints1d): Numbers of the windows. Shape (w,).
        max_positions (int): Positions in a group (a single window may exceed it).
        """
        lengths = self.layout.lengths
        buckets = [wanted[bucket] for bucket in bucket_windows(lengths[wanted], max_positions, _MAX_PADDING)]
        order = _cat(buckets)
        everything = len(order) == len(lengths) and (order == numpy.arange(len(order))).all()
        sizes = [len(bucket) for bucket in buckets]
        # One selection, then cuts: the gradient of cuts is put together without a sum over full-sized tensors.
        parts: List[Sequence[Optional[Tensor]]] = [
            [None] * len(sizes)
            if t is None
            else (t if everything else t.index_select(0, self.index(order))).split(sizes)
            for t in self.tensors()
        ]
        for bucket, hidden, queries, keys, attention in zip(buckets, *parts):
            s = int(lengths[bucket].max())
            assert hidden is not None
            yield WindowGroup(
                bucket,
                lengths[bucket],
                hidden[:, :s],
                None if queries is None else queries[:, :, :s],
                None if keys is None else keys[:, :, :s],
                None if attention is None else attention[:, :, :s, :s],
            )

    def max_pool(self, first: Ints1d, last: Ints1d) -> Tensor:
        """Take the maximum over the vectors of pieces [first, last) for many ranges at once; see range_max.

        first, last (Ints1d): Pieces of the batch. Shape (K,).
        RETURNS (Tensor): Shape (K, H); zeros for empty ranges.
        """
        # Only pieces inside some range are looked at; those of a range still follow one another.
        n = len(self.layout.piece_rows)
        full = last > first
        edges = numpy.bincount(first[full], minlength=n + 1) - numpy.bincount(last[full], minlength=n + 1)
        wanted = numpy.cumsum(edges)[:n] > 0
        number = numpy.concatenate([[0], numpy.cumsum(wanted)])
        rows = self.index(self.layout.piece_rows[wanted])
        return range_max(self.hidden.reshape(-1, self.width).index_select(0, rows), number[first], number[last])

    def all_windows(self) -> WindowGroup:
        """RETURNS (WindowGroup): All windows, padded to the longest."""
        lengths = self.layout.lengths
        return WindowGroup(numpy.arange(len(lengths)), lengths, self.hidden, self.queries, self.keys, self.attention)

    def mask(self) -> Tensor:
        """RETURNS (Tensor): Which positions are not padding. Shape (windows, S), bool."""
        return self.all_windows().mask()

    def attention_rows(self, position: Ints2d) -> Tensor:
        """RETURNS (Tensor): Attention rows of all windows, (windows, heads, N, S); see WindowGroup.attention_rows."""
        return self.all_windows().attention_rows(position)

    def tensors(self) -> List[Optional[Tensor]]:
        return [self.hidden, self.queries, self.keys, self.attention]

    def with_tensors(self, tensors: Sequence[Optional[Tensor]]) -> "EncodedBatch":
        hidden, queries, keys, attention = tensors
        assert hidden is not None
        return replace(self, hidden=hidden, queries=queries, keys=keys, attention=attention)

    def leaves(self) -> "EncodedBatch":
        """RETURNS (EncodedBatch): The same values, cut off from the encoder, ready to collect gradients."""
        return self.with_tensors([t if t is None else t.detach().requires_grad_() for t in self.tensors()])

    def split(self) -> List["DocEncoding"]:
        """Cut a batch into documents, padding left out."""
        encodings, start = [], 0
        for d in self.windows:
            end, s = start + d.n_windows, int(d.lengths.max(initial=0))
            encodings.append(
                DocEncoding(
                    d,
                    self.hidden[start:end, :s].detach().clone(),
                    None if self.queries is None else self.queries[start:end, :, :s].detach().clone(),
                    None if self.keys is None else self.keys[start:end, :, :s].detach().clone(),
                    None if self.attention is None else self.attention[start:end, :, :s, :s].detach().clone(),
                )
            )
            start = end
        return encodings


@dataclass(frozen=True)
class DocEncoding:
    """Encoder output of one document, kept on the Doc between components and dropped by the last that reads it."""

    windows: DocWindows
    hidden: Tensor
    queries: Optional[Tensor]
    keys: Optional[Tensor]
    attention: Optional[Tensor]
    readers: Set[int] = field(default_factory=set)  # listeners that have yet to read it, by id

    def __deepcopy__(self, memo: dict) -> "DocEncoding":
        return self  # Never changed in place, so a copied Doc may share it.


def join_encodings(encodings: Sequence[DocEncoding]) -> EncodedBatch:
    """Pad documents into one batch."""
    s = max(e.hidden.shape[1] for e in encodings)

    def join(tensors: Sequence[Optional[Tensor]], dims: Sequence[int]) -> Optional[Tensor]:
        padded = []
        for t in tensors:
            if t is None:
                return None
            pad = [0] * (2 * t.dim())
            for dim in dims:  # torch counts padding from the last dimension
                pad[2 * (t.dim() - 1 - dim) + 1] = s - t.shape[dim]
            padded.append(torch.nn.functional.pad(t, pad) if any(pad) else t)
        return torch.cat(padded)

    hidden = join([e.hidden for e in encodings], [1])
    assert hidden is not None
    return EncodedBatch(
        hidden,
        join([e.queries for e in encodings], [2]),
        join([e.keys for e in encodings], [2]),
        join([e.attention for e in encodings], [2, 3]),
        make_layout([e.windows for e in encodings], s),
        tuple(e.windows for e in encodings),
    )


def bucket_windows(lengths: Ints1d, max_items: int, max_padding: float) -> List[Ints1d]:
    """Group windows of similar length.

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


def widen(tensor: Tensor) -> Tensor:
    """RETURNS (Tensor): The same numbers in float32; float64 stays what it is."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _cat(arrays: Sequence[numpy.ndarray]) -> numpy.ndarray:
    return numpy.concatenate(arrays) if arrays else numpy.zeros(0, dtype="int64")
