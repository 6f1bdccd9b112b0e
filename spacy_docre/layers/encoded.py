"""The encoder output of a batch of documents, and the part of it that is kept on each Doc."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Iterator, List, Optional, Sequence, Set, Tuple

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..arrays import Ints1d, Ints2d
from ..batches import SpanBatch
from .layout import DocWindows, Layout, bucket_windows, join_arrays, make_layout
from .planes import Planes, cat_planes
from .segments import range_max

_MAX_PADDING = 0.1


@dataclass(frozen=True)
class WindowGroup:
    """Some windows of a batch, of similar length.

    number (Ints1d): Number of each window in the batch. Shape (w,).
    lengths (Ints1d): Positions of each window; the longest has S. Shape (w,).
    planes (Planes): Those of w windows of S positions.
    """

    number: Ints1d
    lengths: Ints1d
    planes: Planes

    def mask(self) -> Tensor:
        """Tell positions from padding: True for positions. Shape (w, S), bool."""
        hidden = self.planes.hidden
        length = torch.as_tensor(self.lengths, device=hidden.device)
        return torch.arange(hidden.shape[1], device=hidden.device) < length[:, None]

    def attention_rows(self, position: Ints2d) -> Tensor:
        """Compute rows of the last layer's attention, softmax(q k^T / sqrt(d)), with gradient.

        position (Ints2d): Positions whose rows are needed, for each window. Shape (w, N).
        RETURNS (Tensor): Shape (w, heads, N, S), float32 at least; padding columns are 0.
        """
        queries, keys, attention = self.planes.queries, self.planes.keys, self.planes.attention
        if attention is not None:
            return widen(_take_positions(attention, position))
        assert queries is not None and keys is not None
        rows = widen(_take_positions(queries, position))
        with torch.autocast(rows.device.type, enabled=False):  # which would give bfloat16
            scores = (rows / queries.shape[3] ** 0.5) @ widen(keys).transpose(-1, -2)
        if (self.lengths < queries.shape[2]).any():
            scores = scores.masked_fill(~self.mask()[:, None, None], -torch.inf)
        return scores.softmax(-1)


def _take_positions(tensor: Tensor, position: Ints2d) -> Tensor:
    """Select rows of each window: tensor (w, heads, S, D), position (w, N) -> (w, heads, N, D)."""
    index = torch.as_tensor(position, dtype=torch.long, device=tensor.device)
    n_windows, n_heads, _, width = tensor.shape
    return tensor.gather(2, index[:, None, :, None].expand(n_windows, n_heads, index.shape[1], width))


@dataclass(frozen=True)
class EncodedBatch:
    """Encoder output of a batch.

    planes (Planes): Its tensors, window by window.
    windows (Tuple[DocWindows, ...]): Where tokens and pieces of each document lie.
    second (Optional[EncodedBatch]): Output of the head's own encoder for the same documents, where it has one.
    """

    planes: Planes
    windows: Tuple[DocWindows, ...]
    second: Optional["EncodedBatch"] = None

    @cached_property
    def layout(self) -> Layout:
        """Where tokens and pieces of the batch lie."""
        return make_layout(self.windows, self.planes.n_positions)

    @property
    def hidden(self) -> Tensor:
        """Last hidden states, padded. Shape (windows, S, H)."""
        return self.planes.hidden

    @property
    def width(self) -> int:
        return self.hidden.shape[-1]

    @property
    def n_heads(self) -> int:
        return next(t.shape[1] for t in (self.planes.queries, self.planes.attention) if t is not None)

    def index(self, array: NDArray) -> Tensor:
        """Bring an index array to the device of the vectors."""
        return torch.as_tensor(array, dtype=torch.long, device=self.hidden.device)

    def pieces(self) -> Tensor:
        """Select the vectors of word pieces, without special pieces and padding. Shape (W, H)."""
        return self.hidden.reshape(-1, self.width).index_select(0, self.index(self.layout.piece_rows))

    def pool(self, spans: SpanBatch) -> Tensor:
        """Take the maximum over the vectors of each span's own word pieces. JEREX eq. 1.

        RETURNS (Tensor): Shape (N, H); zeros for spans that have no piece, or no token.
        """
        return self.max_pool(*self.layout.span_pieces(spans))

    def max_pool(self, first: Ints1d, last: Ints1d) -> Tensor:
        """Take the maximum over the vectors of pieces [first, last) for many ranges at once; see range_max.

        first, last (Ints1d): Pieces of the batch. Shape (K,).
        RETURNS (Tensor): Shape (K, H); zeros for empty ranges.
        """
        # Only pieces inside some range are looked at; those of a range still follow one another. Of 6 pieces, the
        # ranges [1, 3) and [4, 5) need 1, 2 and 4, which become 0, 1 and 2: the ranges are then [0, 2) and [2, 3).
        n = len(self.layout.piece_rows)
        full = last > first
        edges = numpy.bincount(first[full], minlength=n + 1) - numpy.bincount(last[full], minlength=n + 1)
        needed = numpy.cumsum(edges)[:n] > 0
        number = numpy.concatenate([[0], numpy.cumsum(needed)])
        rows = self.index(self.layout.piece_rows[needed])
        return range_max(self.hidden.reshape(-1, self.width).index_select(0, rows), number[first], number[last])

    def window_groups(self, windows: Ints1d, max_positions: int) -> Iterator[WindowGroup]:
        """Cut windows into groups of similar length, so that little is computed on padding and memory is bounded.

        windows (Ints1d): Numbers of the windows. Shape (w,).
        max_positions (int): Positions in a group (a single window may exceed it).
        """
        lengths = self.layout.lengths
        buckets = [windows[bucket] for bucket in bucket_windows(lengths[windows], max_positions, _MAX_PADDING)]
        order = join_arrays(buckets)
        everything = len(order) == len(lengths) and (order == numpy.arange(len(order))).all()
        # One selection, then cuts: the gradient of cuts is put together without a sum over full-sized tensors.
        planes = self.planes if everything else self.planes.select(self.index(order))
        for bucket, part in zip(buckets, planes.split([len(bucket) for bucket in buckets])):
            yield WindowGroup(bucket, lengths[bucket], part.cut(int(lengths[bucket].max())))

    def leaves(self) -> "EncodedBatch":
        """Cut the tensors off from the encoder, ready to collect gradients."""
        return replace(self, planes=self.planes.leaves())

    def split(self) -> List["DocEncoding"]:
        """Cut a batch into documents, padding left out."""
        parts = self.planes.split([d.n_windows for d in self.windows])
        cut = (part.cut(int(d.lengths.max(initial=0))) for d, part in zip(self.windows, parts))
        # Copies: a Doc that outlives its batch must not keep the batch.
        return [DocEncoding(d, part.map(lambda t: t.detach().clone())) for d, part in zip(self.windows, cut)]


@dataclass(frozen=True)
class DocEncoding:
    """Encoder output of one document, kept on the Doc between components and dropped by the last that reads it."""

    windows: DocWindows
    planes: Planes
    readers: Set[int] = field(default_factory=set)  # listeners that have yet to read it, by id

    @property
    def hidden(self) -> Tensor:
        """Last hidden states. Shape (windows, S, H)."""
        return self.planes.hidden

    def __deepcopy__(self, memo: dict) -> "DocEncoding":
        return self  # Never changed in place, so a copied Doc may share it.


def join_encodings(encodings: Sequence[DocEncoding]) -> EncodedBatch:
    """Pad documents into one batch."""
    n_positions = max(e.planes.n_positions for e in encodings)
    return EncodedBatch(cat_planes([e.planes.pad(n_positions) for e in encodings]), tuple(e.windows for e in encodings))


def widen(tensor: Tensor) -> Tensor:
    """Turn half precision into float32; float64 stays what it is."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()
