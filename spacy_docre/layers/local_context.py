"""Localized context pooling of ATLOP, inside the windows of long documents."""

from dataclasses import dataclass
from typing import Callable, Iterator, Tuple

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..arrays import Floats1d, Ints1d, Ints2d
from .encoded import EncodedBatch, WindowGroup, widen
from .layout import Layout
from .segments import expand_ranges, segment_mean

MAX_ROW_ITEMS = 2**23  # numbers in the attention rows that are held at a time


@dataclass(frozen=True)
class WindowRows:
    """Groups of word pieces (mentions, entities) laid out by window, padded.

    n_pieces (Ints1d): Pieces of each window whose attention row is needed; at most N. Shape (windows,).
    position (Ints2d): Position of each piece in its window. Shape (windows, N).
    weight (NDArray): Share of each row in each group's row. Shape (windows, G, N).
    window, slot (Ints1d): Each group's place in `weight`, once per window that holds one of its pieces, by window.
        Shape (K,).
    group (Ints1d): The group of each place. Shape (K,).
    """

    n_pieces: Ints1d
    position: Ints2d
    weight: NDArray
    window: Ints1d
    slot: Ints1d
    group: Ints1d

    def select(self, number: Ints1d) -> Tuple[Ints1d, Ints1d, Ints1d]:
        """List the places in some windows.

        RETURNS (Tuple[Ints1d, Ints1d, Ints1d]): Window (counted within these), slot and group of each.
        """
        index, window = expand_ranges(*numpy.searchsorted(self.window, [number, number + 1]))
        return window, self.slot[index], self.group[index]


def lay_out_rows(encoded: EncodedBatch, first: Ints1d, last: Ints1d, mention_group: Ints1d) -> WindowRows:
    """Find the windows that hold each mention, and the weights that average rows over pieces, then over mentions.

    Group 0 has the mentions a (pieces 1 and 2) and b (piece 5), group 1 has c (piece 4); the windows are [0, 4) and
    [3, 6), with a special piece before each:

                  position   weight of slot 0     weight of slot 1
        window 0: 2 3        1/2 1/2 (group 0, a)   0 0
        window 1: 3 2          1   0 (group 0, b)   0 1 (group 1, c)

    first, last (Ints1d): Pieces [first, last) of each mention. Shape (M,).
    mention_group (Ints1d): Group (entity) of each mention. Shape (M,).
    """
    layout, n_windows = encoded.layout, len(encoded.layout.lengths)
    window, piece, mention = _find_windows(layout, first, last)
    # Slots: the distinct (window, group) of each window are numbered from 0.
    place_window, place_group, place = _number_pairs(window, mention_group[mention])
    slot = _count_from_zero(place_window, n_windows)
    column = _count_from_zero(window, n_windows)
    width = int(column.max(initial=-1)) + 1
    position = numpy.zeros((n_windows, width), dtype="int64")
    position[window, column] = piece - layout.window_first[window] + layout.prefix
    weight = numpy.zeros((n_windows, int(slot.max(initial=-1)) + 1, width))
    weight[window, slot[place], column] = _share_rows(window, mention, place, len(place_window))
    return WindowRows(numpy.bincount(window, minlength=n_windows), position, weight, place_window, slot, place_group)


def _find_windows(layout: Layout, first: Ints1d, last: Ints1d) -> Tuple[Ints1d, Ints1d, Ints1d]:
    """List the pieces of mentions window by window: window, piece and mention of each; a piece may be in several."""
    piece, mention = expand_ranges(first, last)
    # Windows that hold a piece: those of its document follow one another, with rising bounds.
    lowest = numpy.searchsorted(layout.window_last, piece, side="right")
    highest = numpy.searchsorted(layout.window_first, piece, side="right")
    window, member = expand_ranges(lowest, highest)
    order = numpy.argsort(window, kind="stable")
    return window[order], piece[member[order]], mention[member[order]]


def _number_pairs(one: Ints1d, other: Ints1d) -> Tuple[Ints1d, Ints1d, Ints1d]:
    """Find the distinct pairs of numbers, sorted, and which of them each pair is."""
    n = max(int(other.max(initial=-1)) + 1, 1)
    keys, inverse = numpy.unique(one * n + other, return_inverse=True)
    return keys // n, keys % n, inverse


def _share_rows(window: Ints1d, mention: Ints1d, place: Ints1d, n_places: int) -> Floats1d:
    """Compute the weight of each row: 1 / (mentions of the group in the window * pieces of the mention in the window).

    place (Ints1d): Number of each row's window and group. Shape (rows,).
    """
    n_mentions = max(int(mention.max(initial=-1)) + 1, 1)
    held, which, n_pieces = numpy.unique(window * n_mentions + mention, return_inverse=True, return_counts=True)
    held_place = numpy.zeros(len(held), dtype="int64")
    held_place[which] = place
    mentions_held = numpy.bincount(held_place, minlength=n_places)
    return 1.0 / (mentions_held[place] * n_pieces[which])


def _count_from_zero(keys: Ints1d, n_keys: int) -> Ints1d:
    """Number equal neighbours 0, 1, 2, ... (keys are sorted)."""
    starts = numpy.concatenate([[0], numpy.cumsum(numpy.bincount(keys, minlength=n_keys))])
    return numpy.arange(len(keys)) - starts[keys]


@dataclass(frozen=True)
class PairPlaces:
    """Where the attention rows of unordered pairs meet: each pair once per window that holds a mention of both.

    pair (Ints1d): The pair of each meeting. Shape (K,).
    window, first, second (Ints1d): Its window (rising), and the slots of the two. Shape (K,).
    """

    pair: Ints1d
    window: Ints1d
    first: Ints1d
    second: Ints1d

    @property
    def column(self) -> Ints1d:
        """Number of each meeting within its window. Shape (K,)."""
        return numpy.arange(len(self.window)) - numpy.searchsorted(self.window, self.window)

    def select(self, number: Ints1d) -> "PairPlaces":
        """Take the meetings in some windows; `window` is then counted within these."""
        index, window = expand_ranges(*numpy.searchsorted(self.window, [number, number + 1]))
        return PairPlaces(self.pair[index], window, self.first[index], self.second[index])


def meet(rows: WindowRows, first: Ints1d, second: Ints1d) -> PairPlaces:
    """Find the windows in which two groups both have a row.

    Group 0 has rows in the windows 0 and 1, group 1 in the windows 1 and 2, group 2 in the window 2:

        pair (0, 1): window 1
        pair (0, 2): none
        pair (1, 2): window 2

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
    both = numpy.flatnonzero(second_slot >= 0)
    both = both[numpy.argsort(window[index[both]], kind="stable")]
    index = index[both]
    return PairPlaces(pair[both], window[index], slot[index], second_slot[both])


@dataclass(frozen=True)
class WindowAttention:
    """Attention rows in some windows of similar length.

    windows (WindowGroup): The w windows.
    rows (Tensor): Attention row of each word piece. Shape (w, heads, N, S).
    """

    windows: WindowGroup
    rows: Tensor

    def groups(self, rows: WindowRows) -> Tensor:
        """Compute each group's attention row: the mean over its mentions of the mean over their pieces.
        Shape (w, heads, G, S)."""
        weight = rows.weight[self.windows.number, :, : self.rows.shape[2]]
        return torch.as_tensor(weight, device=self.rows.device).to(self.rows.dtype)[:, None] @ self.rows


def attend(encoded: EncodedBatch, rows: WindowRows, wanted: Ints1d) -> Iterator[WindowAttention]:
    """Compute attention rows, for a bounded number of windows at a time.

    rows (WindowRows): Word pieces whose rows are needed; how they are grouped does not matter.
    wanted (Ints1d): Numbers of the windows.
    """
    if not len(wanted):
        return
    for windows in encoded.window_groups(wanted, MAX_ROW_ITEMS // int(encoded.n_heads * rows.n_pieces.max())):
        width = int(rows.n_pieces[windows.number].max())
        yield WindowAttention(windows, windows.attention_rows(rows.position[windows.number, :width]))


def pair_attention(attention: Tensor, places: PairPlaces) -> Tensor:
    """Compute a_ht = mean over heads of (A_h * A_t), normalised to sum 1 (ATLOP; Zhou et al., AAAI 2021).

    The product is taken over all slots of a window position by position, a matrix product over the heads, so no
    (pairs, heads, S) tensor is built.

    attention (Tensor): Row of each slot. Shape (w, heads, G, S).
    places (PairPlaces): Meetings in these windows.
    RETURNS (Tensor): Shape (w, pairs of the fullest window, S); rows of padding are those of slot 0 with itself.
    """
    n_windows, n_heads, n_slots, n_positions = attention.shape
    by_position = attention.permute(0, 3, 2, 1)  # (w, S, G, heads)
    product = (by_position / n_heads) @ by_position.transpose(2, 3)  # (w, S, G, G)
    slots = numpy.zeros((n_windows, 1, int(places.column.max(initial=-1)) + 1), dtype="int64")
    slots[places.window, 0, places.column] = places.first * n_slots + places.second
    index = torch.as_tensor(slots, device=attention.device).expand(-1, n_positions, -1)
    rows = product.flatten(2).gather(2, index).transpose(1, 2)
    return rows / (rows.sum(-1, keepdim=True) + 1e-5)


@dataclass(frozen=True)
class ContextForm:
    """How attention rows become contexts.

    pairs (Callable[[Tensor, PairPlaces, Tensor], Tensor]): From the row of each slot (w, heads, G, S), the meetings in
        these windows and the vectors to be pooled (w, S, N) to the context of each meeting (K, N).
    own (Callable[[Tensor], Tensor]): From the row of each slot (w, heads, G, S) to its weights alone (w, G, S).
    """

    pairs: Callable[[Tensor, PairPlaces, Tensor], Tensor]
    own: Callable[[Tensor], Tensor]


def local_context(encoded: EncodedBatch, rows: WindowRows, first: Ints1d, second: Ints1d) -> Tensor:
    """Pool the context c_ht = H^T a_ht of pairs of groups (ATLOP); see pool_contexts.

    RETURNS (Tensor): Shape (U, H).
    """
    return pool_contexts(encoded, rows, first, second, NORMALISED_MEAN)


def _pool_pairs(attention: Tensor, places: PairPlaces, vectors: Tensor) -> Tensor:
    window, column = (torch.as_tensor(i, device=vectors.device) for i in (places.window, places.column))
    return (pair_attention(attention, places) @ vectors)[window, column]


def _average_heads(attention: Tensor) -> Tensor:
    mean = attention.mean(1)
    return mean / (mean.sum(-1, keepdim=True) + 1e-5)


NORMALISED_MEAN = ContextForm(_pool_pairs, _average_heads)


def pool_contexts(
    encoded: EncodedBatch,
    rows: WindowRows,
    first: Ints1d,
    second: Ints1d,
    form: ContextForm,
    project: Callable[[Tensor], Tensor] = lambda hidden: hidden,
) -> Tensor:
    """Pool the contexts of pairs of groups; they are the same for (h, t) and (t, h).

    A pair's context is computed in each window that holds a mention of both and averaged. With no common window
    it is the mean of the two groups' own contexts, weighted by their attention rows.

    first, second (Ints1d): Groups of each unordered pair. Shape (U,).
    form (ContextForm): How attention rows become contexts.
    project (Callable[[Tensor], Tensor]): Maps hidden states (..., H) to the vectors that are pooled (..., N).
    RETURNS (Tensor): Shape (U, N).
    """
    # Of the pairs 0, 1, 2 with meetings (0, window 0), (0, window 1) and (2, window 1), pair 0 gets the mean of two
    # contexts, pair 2 one, and pair 1, which is apart, the mean of what its two groups attend to by themselves.
    places = meet(rows, first, second)
    apart = numpy.setdiff1d(numpy.arange(len(first)), places.pair)
    # Nothing, so that there is something to join where no window is visited.
    met = own = [project(widen(encoded.hidden).new_zeros(0, encoded.width))]
    pair = group = [numpy.zeros(0, dtype="int64")]
    for part in attend(encoded, rows, numpy.unique(rows.window if len(apart) else places.window)):
        vectors, attention = project(widen(part.windows.planes.hidden)), part.groups(rows)
        inside = places.select(part.windows.number)
        if len(inside.pair):
            met = [*met, form.pairs(attention, inside, vectors)]
            pair = [*pair, inside.pair]
        if len(apart):
            context = form.own(attention) @ vectors
            window, slot, of_slot = rows.select(part.windows.number)
            own = [*own, context[encoded.index(window), encoded.index(slot)]]
            group = [*group, of_slot]
    contexts = segment_mean(torch.cat(met), encoded.index(numpy.concatenate(pair)), len(first))
    if not len(apart):
        return contexts
    n_groups = int(max(first.max(), second.max(), rows.group.max(initial=0))) + 1
    by_group = segment_mean(torch.cat(own), encoded.index(numpy.concatenate(group)), n_groups)
    alone = (by_group[encoded.index(first[apart])] + by_group[encoded.index(second[apart])]) / 2
    return contexts.index_copy(0, encoded.index(apart), alone)
