"""Reductions over ranges and groups of rows, without a Python loop over them."""

from typing import Tuple

import numpy
import torch
from thinc.types import Ints1d
from torch import Tensor


def range_max(rows: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Take the maximum over rows [first, last) for many ranges at once.

    A table of maxima over 1, 2, 4, ... rows answers any range with two look-ups (they may overlap: a maximum does
    not mind), so that cost and memory do not grow with the ranges' lengths.

    rows (Tensor): Shape (N, H).
    first, last (Tensor): Bounds of each range, int64. Shape (K,).
    RETURNS (Tensor): Shape (K, H); zeros for empty ranges.
    """
    length = last - first
    if len(first) == 0 or len(rows) == 0:
        return rows.new_zeros(len(first), rows.shape[1])
    # floor(log2(length)) exactly, from the exponent of a float64
    level = torch.frexp(length.clamp(min=1).double())[1].long() - 1
    table, starts = [rows], [0]
    for k in range(int(level.max())):
        previous, step = table[-1], 2**k
        starts.append(starts[-1] + len(previous))
        table.append(torch.maximum(previous[:-step], previous[step:]))
    flat = torch.cat(table)
    offset = torch.tensor(starts, device=rows.device)[level]
    empty = length <= 0
    left = (offset + first).masked_fill(empty, 0)
    right = (offset + last - 2**level).masked_fill(empty, 0)
    return torch.maximum(flat[left], flat[right]).masked_fill(empty[:, None], 0.0)


def segment_sum(rows: Tensor, segment: Tensor, n_segments: int) -> Tensor:
    """Add up the rows of each segment. rows (N, ...), segment (N,) int64 -> (n_segments, ...)."""
    return rows.new_zeros((n_segments, *rows.shape[1:])).index_add(0, segment, rows)


def segment_mean(rows: Tensor, segment: Tensor, n_segments: int) -> Tensor:
    """Average the rows of each segment; zeros where it has none. Shapes as in segment_sum."""
    count = torch.bincount(segment, minlength=n_segments).clamp(min=1).to(rows.dtype)
    return segment_sum(rows, segment, n_segments) / count.reshape(-1, *[1] * (rows.dim() - 1))


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
    """List the members of ranges.

    first, last (Ints1d): Bounds [first, last). Shape (K,).
    RETURNS (Tuple[Ints1d, Ints1d]): Every member, and the range it is of. Shape (members,).
    """
    length = numpy.maximum(last - first, 0)
    owner = numpy.repeat(numpy.arange(len(first)), length)
    within = numpy.arange(length.sum()) - numpy.repeat(numpy.cumsum(length) - length, length)
    return first[owner] + within, owner
