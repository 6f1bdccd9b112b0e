"""Reductions over ranges and groups of rows, without a Python loop over them."""

from typing import Any, List, Tuple

import numpy
import torch
from torch import Tensor

from ..arrays import Ints1d


def range_max(rows: Tensor, first: Ints1d, last: Ints1d) -> Tensor:
    """Take the maximum over rows [first, last) for many ranges at once.

    A table of maxima over 1, 2, 4, ... rows answers any range with two look-ups (they may overlap; that does not
    change a maximum), so that cost and memory do not grow with the ranges' lengths.

    rows (Tensor): Shape (N, H).
    first, last (Ints1d): Bounds of each range. Shape (K,).
    RETURNS (Tensor): Shape (K, H); zeros for empty ranges.
    """
    # Of the rows a b c d e, the table holds level 0: a b c d e, level 1: ab bc cd de, level 2: abcd bcde, one after
    # another. The range [1, 4) has 3 rows, so level 1: the larger of bc (left) and cd (right).
    first, last = numpy.asarray(first), numpy.asarray(last)
    empty = last <= first
    if not len(first) or not len(rows):
        return rows.new_zeros(len(first), rows.shape[1])
    lowest = int(first[~empty].min(initial=len(rows) - 1))
    highest = int(last[~empty].max(initial=lowest + 1))
    length = numpy.where(empty, 1, last - first)
    level = numpy.frexp(length.astype("float64"))[1] - 1  # floor(log2(length)), exactly
    n_rows = [highest - lowest - 2**k + 1 for k in range(int(level.max()) + 1)]  # of the table, level by level
    offset = numpy.concatenate([[0], numpy.cumsum(n_rows)])[level] - lowest
    bounds = numpy.where(empty, 0, numpy.stack([offset + first, offset + last - 2**level]))
    left, right = torch.as_tensor(bounds, device=rows.device)
    found = _RangeMax.apply(rows[lowest:highest], left, right, n_rows)
    return found.masked_fill(torch.as_tensor(empty, device=rows.device)[:, None], 0.0) if empty.any() else found


class _RangeMax(torch.autograd.Function):
    """The table of maxima and the look-ups into it. The gradient goes to one row that holds the maximum; written out,
    it takes less than half the time that it takes through `torch.maximum`, which shares it out among equal rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, left: Tensor, right: Tensor, n_rows: List[int]) -> Tensor:
        flat = rows.new_empty(sum(n_rows), rows.shape[1])
        table = flat.split(n_rows)
        table[0].copy_(rows)
        for k in range(1, len(table)):
            torch.maximum(table[k - 1][: n_rows[k]], table[k - 1][2 ** (k - 1) :], out=table[k])
        ctx.save_for_backward(flat, left, right)
        ctx.n_rows = n_rows
        return torch.maximum(flat.index_select(0, left), flat.index_select(0, right))

    @staticmethod
    def backward(ctx: Any, d_found: Tensor) -> Tuple[Any, ...]:
        flat, left, right = ctx.saved_tensors
        d_left = d_found * (flat.index_select(0, left) >= flat.index_select(0, right))
        d_flat = torch.zeros_like(flat).index_add_(0, left, d_left).index_add_(0, right, d_found - d_left)
        table, d_table = flat.split(ctx.n_rows), d_flat.split(ctx.n_rows)
        for k in range(len(table) - 1, 0, -1):
            first, second = slice(None, ctx.n_rows[k]), slice(2 ** (k - 1), None)
            d_first = d_table[k] * (table[k - 1][first] >= table[k - 1][second])
            d_table[k - 1][first] += d_first
            d_table[k - 1][second] += d_table[k] - d_first
        return d_table[0], None, None, None


def segment_sum(rows: Tensor, segment: Tensor, n_segments: int) -> Tensor:
    """Add up the rows of each segment. rows (N, ...), segment (N,) int64 -> (n_segments, ...)."""
    return rows.new_zeros((n_segments, *rows.shape[1:])).index_add(0, segment, rows)


def segment_mean(rows: Tensor, segment: Tensor, n_segments: int) -> Tensor:
    """Average the rows of each segment; zeros where it has none. Shapes as in segment_sum."""
    count = torch.bincount(segment, minlength=n_segments).clamp(min=1).to(rows.dtype)
    return segment_sum(rows, segment, n_segments) / count.reshape(-1, *[1] * (rows.dim() - 1))


def segment_max(rows: Tensor, lengths: Tensor) -> Tensor:
    """Take the maximum over segments of rows that follow one another. The gradient of a maximum that several rows
    reach is shared among them.

    rows (Tensor): Shape (N, H).
    lengths (Tensor): Rows of each segment, int64, at least 1. Shape (S,).
    RETURNS (Tensor): Shape (S, H).
    """
    return torch.segment_reduce(rows, "max", lengths=lengths, axis=0) if len(lengths) else rows[:0]


def segment_logsumexp(rows: Tensor, segment: Tensor, n_segments: int) -> Tensor:
    """Compute log(sum(exp(rows))) of each segment, column by column.

    rows (Tensor): Shape (N, H).
    segment (Tensor): Segment of each row, int64; every segment has at least one. Shape (N,).
    RETURNS (Tensor): Shape (n_segments, H).
    """
    index = segment[:, None].expand_as(rows)
    peak = rows.new_full((n_segments, rows.shape[1]), -torch.inf)
    peak = peak.scatter_reduce(0, index, rows.detach(), "amax")
    return segment_sum((rows - peak[segment]).exp(), segment, n_segments).log() + peak


def expand_ranges(first: Ints1d, last: Ints1d) -> Tuple[Ints1d, Ints1d]:
    """List the members of ranges: [2, 5) and [7, 8) have the members 2, 3, 4, 7, which are of 0, 0, 0, 1.

    first, last (Ints1d): Bounds [first, last). Shape (K,).
    RETURNS (Tuple[Ints1d, Ints1d]): Every member, and the range it is of. Shape (members,).
    """
    length = numpy.maximum(last - first, 0)
    owner = numpy.repeat(numpy.arange(len(first)), length)
    within = numpy.arange(length.sum()) - numpy.repeat(numpy.cumsum(length) - length, length)
    return first[owner] + within, owner
