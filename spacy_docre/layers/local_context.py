"""Localized context pooling of ATLOP, inside the windows of long documents."""

from dataclasses import dataclass
from typing import Tuple

import numpy
import torch
from thinc.types import Ints1d, Ints2d
from torch import Tensor

from .encoded import EncodedBatch, widen
from .segments import expand_ranges, segment_sum


@dataclass(frozen=True)
class WindowRows:
    """Groups of word pieces (mentions, entities) laid out by window, padded.

    position (Ints2d): Position in the window of each piece whose attention row is wanted. Shape (windows, N).
    weight (numpy.ndarray): Share of each row in each group's row. Shape (windows, G, N).
    window, slot (Ints1d): Each group's place in `weight`, once per window that holds one of its pieces. Shape (K,).
    group (Ints1d): The group of each place. Shape (K,).
    """

    position: Ints2d
    weight: numpy.ndarray
    window: Ints1d
    slot: Ints1d
    group: Ints1d


def lay_out_rows(encoded: EncodedBatch, first: Ints1d, last: Ints1d, mention_group: Ints1d) -> WindowRows:
    """Find the windows that hold each mention, and the weights that average rows over pieces, then over mentions.

    first, last (Ints1d): Pieces [first, last) of each mention. Shape (M,).
    mention_group (Ints1d): Group (entity) of each mention. Shape (M,).
    """
    layout = encoded.layout
    piece, mention = expand_ranges(first, last)
    # Windows that hold a piece: those of its document follow one another, with rising bounds.
    lowest = numpy.searchsorted(layout.window_last, piece, side="right")
    highest = numpy.searchsorted(layout.window_first, piece, side="right")
    window, member = expand_ranges(lowest, highest)
    order = numpy.argsort(window, kind="stable")
    window, member = window[order], member[order]
    piece, mention = piece[member], mention[member]
    n_windows = len(layout.lengths)
    group = mention_group[mention]
    # Slots: the distinct (window, group) of each window are numbered from 0.
    n_groups = int(mention_group.max(initial=-1)) + 1
    places, place = numpy.unique(window * max(n_groups, 1) + group, return_inverse=True)
    place_window, place_group = places // max(n_groups, 1), places % max(n_groups, 1)
    slot = _count_from_zero(place_window, n_windows)
    column = _count_from_zero(window, n_windows)
    # Weight of a row: 1 / (mentions of the group in the window * pieces of the mention in the window).
    n_mentions = int(mention.max(initial=-1)) + 1
    held, which, n_pieces = numpy.unique(window * max(n_mentions, 1) + mention, return_inverse=True, return_counts=True)
    held_place = numpy.zeros(len(held), dtype="int64")
    held_place[which] = place
    per_place = numpy.bincount(held_place, minlength=len(places))
    width = int(column.max(initial=-1)) + 1
    position = numpy.zeros((n_windows, width), dtype="int64")
    position[window, column] = piece - layout.window_first[window] + layout.prefix
    weight = numpy.zeros((n_windows, int(slot.max(initial=-1)) + 1, width))
    weight[window, slot[place], column] = 1.0 / (per_place[place] * n_pieces[which])
    return WindowRows(position, weight, place_window, slot, place_group)


def _count_from_zero(keys: Ints1d, n_keys: int) -> Ints1d:
    """Number equal neighbours 0, 1, 2, ... (keys are sorted)."""
    starts = numpy.concatenate([[0], numpy.cumsum(numpy.bincount(keys, minlength=n_keys))])
    return numpy.arange(len(keys)) - starts[keys]


def group_attention(encoded: EncodedBatch, rows: WindowRows) -> Tensor:
    """Compute each group's attention row: the mean over its mentions of the mean over their pieces.

    RETURNS (Tensor): Shape (windows, heads, G, S).
    """
    attention = encoded.attention_rows(rows.position)
    return torch.as_tensor(rows.weight, device=attention.device).to(attention.dtype)[:, None] @ attention


@dataclass(frozen=True)
class PairPlaces:
    """Where the attention rows of unordered pairs meet: each pair once per window that holds a mention of both.

    pair (Ints1d): The pair of each meeting. Shape (K,).
    window, first, second (Ints1d): Its window, and the slots of the two. Shape (K,).
    column (Ints1d): Number of the meeting within its window. Shape (K,).
    """

    pair: Ints1d
    window: Ints1d
    first: Ints1d
    second: Ints1d
    column: Ints1d


def meet(rows: WindowRows, first: Ints1d, second: Ints1d) -> PairPlaces:
    """Find the windows in which two groups both have a row.

    first, second (Ints1d): The groups of each pair. Shape (U,).
    """
    n_windows = len(rows.weight)
    n_groups = int(max(rows.group.max(initial=-1), first.max(initial=-1), second.max(initial=-1))) + 1
    order = numpy.lexsort((rows.window, rows.group))
    window, slot = rows.window[order], rows.slot[order]
    starts = numpy.concatenate([[0], numpy.cumsum(numpy.bincount(rows.group, minlength=n_groups))])
    # All windows of the first group, then those among them that hold the second one, too.
    index, pair = expand_ranges(starts[first], starts[first + 1])
    slot_of = numpy.full(n_windows * n_groups, -1, dtype="int64")
    slot_of[rows.window * n_groups + rows.group] = rows.slot
    second_slot = slot_of[window[index] * n_groups + second[pair]]
    both = second_slot >= 0
    index, pair, second_slot = index[both], pair[both], second_slot[both]
    order = numpy.argsort(window[index], kind="stable")
    index, pair, second_slot = index[order], pair[order], second_slot[order]
    return PairPlaces(pair, window[index], slot[index], second_slot, _count_from_zero(window[index], n_windows))


def pair_attention(attention: Tensor, places: PairPlaces) -> Tensor:
    """Compute a_ht = mean over heads of (A_h * A_t), normalised to sum 1 (ATLOP; Zhou et al., AAAI 2021).

    The product is taken over all slots of a window position by position, a matrix product over the heads, so no
    (pairs, heads, S) tensor is built.

    attention (Tensor): Shape (windows, heads, G, S).
    RETURNS (Tensor): Shape (windows, pairs of the fullest window, S); rows of padding repeat slot 0.
    """
    n_windows, n_heads = attention.shape[:2]
    by_position = attention.permute(0, 3, 2, 1)  # (windows, S, G, heads)
    product = by_position @ by_position.transpose(2, 3) / n_heads  # (windows, S, G, G)
    width = int(places.column.max(initial=-1)) + 1
    slots = numpy.zeros((2, n_windows, width), dtype="int64")
    slots[0, places.window, places.column] = places.first
    slots[1, places.window, places.column] = places.second
    first, second = torch.as_tensor(slots, device=attention.device)
    window = torch.arange(n_windows, device=attention.device)[:, None]
    rows = product.permute(0, 2, 3, 1)[window, first, second]  # (windows, pairs, S)
    return rows / (rows.sum(-1, keepdim=True) + 1e-5)


def local_context(
    encoded: EncodedBatch, rows: WindowRows, first: Ints1d, second: Ints1d
) -> Tuple[Tensor, Tensor, PairPlaces]:
    """Pool the context c_ht = H^T a_ht of pairs of groups; it is the same for (h, t) and (t, h).

    A pair's context is computed in each window that holds a mention of both and averaged. With no common window
    it is the mean of the two groups' own contexts, weighted by their attention rows.

    first, second (Ints1d): Groups of each unordered pair. Shape (U,).
    RETURNS (Tuple[Tensor, Tensor, PairPlaces]): Contexts (U, H), attention (windows, pairs, S) and its places.
    """
    attention = group_attention(encoded, rows)
    places = meet(rows, first, second)
    weights = pair_attention(attention, places)
    hidden = widen(encoded.hidden)
    met = (weights @ hidden)[encoded.index(places.window), encoded.index(places.column)]
    pair = encoded.index(places.pair)
    n_windows = torch.bincount(pair, minlength=len(first)).to(met.dtype)
    context = segment_sum(met, pair, len(first)) / n_windows.clamp(min=1)[:, None]
    apart = numpy.setdiff1d(numpy.arange(len(first)), places.pair)
    if len(apart):
        own = attention.mean(1)
        own = own / (own.sum(-1, keepdim=True) + 1e-5)
        contexts = (own @ hidden)[encoded.index(rows.window), encoded.index(rows.slot)]
        n_groups = int(max(first.max(), second.max(), rows.group.max(initial=0))) + 1
        group = encoded.index(rows.group)
        count = torch.bincount(group, minlength=n_groups).clamp(min=1).to(met.dtype)
        by_group = segment_sum(contexts, group, n_groups) / count[:, None]
        alone = (by_group[encoded.index(first[apart])] + by_group[encoded.index(second[apart])]) / 2
        context = context.index_copy(0, encoded.index(apart), alone)
    return context, weights, places
