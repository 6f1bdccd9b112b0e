"""Entity pairs and their mention pairs as index arrays, and features of mention pairs."""

from typing import Iterator, Tuple

import numpy
import torch
from torch import Tensor

from ..arrays import Floats1d, Ints1d
from ..batches import EntityBatch, PairBatch
from .segments import expand_ranges

MentionPairs = Tuple[Ints1d, Ints1d, Ints1d]  # entity pair of each, rows of its two mentions; pair by pair


def mention_bounds(entities: EntityBatch) -> Ints1d:
    """RETURNS (Ints1d): First mention of each entity, and the number of mentions behind them. Shape (E + 1,)."""
    return numpy.searchsorted(entities.entity, numpy.arange(len(entities) + 1))


def unordered_pairs(batch: PairBatch) -> MentionPairs:
    """Find the distinct unordered pairs among ordered ones.

    RETURNS (Tuple[Ints1d, Ints1d, Ints1d]): Entities of each unordered pair, the lower first (U,), (U,); the
        unordered pair of each ordered one (P,).
    """
    n = max(len(batch.entities), 1)
    low, high = numpy.minimum(batch.head, batch.tail), numpy.maximum(batch.head, batch.tail)
    keys, inverse = numpy.unique(low * n + high, return_inverse=True)
    return keys // n, keys % n, inverse


def list_mention_pairs(batch: PairBatch) -> MentionPairs:
    """List the mention pairs of entity pairs.

    RETURNS (MentionPairs): Rows of the entity pair, the head's mention and the tail's. Shape (N,).
    """
    bounds = mention_bounds(batch.entities)
    size = bounds[1:] - bounds[:-1]
    n_tail = size[batch.tail]
    index, pair = expand_ranges(numpy.zeros(len(batch), dtype="int64"), size[batch.head] * n_tail)
    return pair, bounds[batch.head][pair] + index // n_tail[pair], bounds[batch.tail][pair] + index % n_tail[pair]


def token_distance(entities: EntityBatch, first: Ints1d, second: Ints1d) -> Ints1d:
    """RETURNS (Ints1d): Tokens between two mentions, 0 where they touch or overlap. Shape (N,)."""
    m = entities.mentions
    gap = numpy.maximum(m.start[first], m.start[second]) - numpy.minimum(m.end[first], m.end[second])
    return numpy.maximum(gap, 0)


def sentence_distance(entities: EntityBatch, first: Ints1d, second: Ints1d) -> Ints1d:
    """RETURNS (Ints1d): Sentence borders between two mentions. Shape (N,)."""
    return numpy.abs(entities.sentence[first] - entities.sentence[second])


def keep_near(entities: EntityBatch, pairs: MentionPairs) -> MentionPairs:
    """Keep the mention pairs that lie in one sentence; of an entity pair without any the one with the fewest tokens
    between (the earliest, where several have as few). JEREX section 4.3.
    """
    pair, first, second = pairs
    near = sentence_distance(entities, first, second) == 0
    apart = numpy.flatnonzero(~numpy.isin(pair, pair[near]))
    order = apart[numpy.lexsort((token_distance(entities, first[apart], second[apart]), pair[apart]))]
    _, closest = numpy.unique(pair[order], return_index=True)
    near[order[closest]] = True
    return pair[near], first[near], second[near]


def cut_chunks(pairs: MentionPairs, n_pairs: int, max_items: int) -> Iterator[Tuple[slice, MentionPairs]]:
    """Cut mention pairs into chunks of whole entity pairs.

    n_pairs (int): Number of entity pairs; each has a mention pair.
    max_items (int): Mention pairs in a chunk (a single entity pair may have more).
    YIELDS (Tuple[slice, MentionPairs]): Entity pairs of the chunk, and their mention pairs; entity pairs are counted
        within the chunk.
    """
    bounds = numpy.searchsorted(pairs[0], numpy.arange(n_pairs + 1))
    start = 0
    while start < n_pairs:
        stop = max(int(numpy.searchsorted(bounds, bounds[start] + max_items, side="right")) - 1, start + 1)
        pair, first, second = (rows[bounds[start] : bounds[stop]] for rows in pairs)
        yield slice(start, stop), (pair - start, first, second)
        start = stop


def segment_max(rows: Tensor, lengths: Tensor) -> Tensor:
    """Take the maximum over segments of rows that follow one another. The gradient of a maximum that several rows
    reach is shared among them.

    rows (Tensor): Shape (N, H).
    lengths (Tensor): Rows of each segment, int64, at least 1. Shape (S,).
    RETURNS (Tensor): Shape (S, H).
    """
    return torch.segment_reduce(rows, "max", lengths=lengths, axis=0) if len(lengths) else rows[:0]


def share_out(weight: Floats1d, group: Ints1d) -> Floats1d:
    """Scale weights to sum 1 over each group; equal where a group has none above 0.

    weight (Floats1d): At least 0. Shape (N,).
    group (Ints1d): Number of each weight's group. Shape (N,).
    """
    if not len(weight):
        return weight
    total, count = numpy.bincount(group, weight)[group], numpy.bincount(group)[group]
    return numpy.where(total > 0, weight / numpy.where(total > 0, total, 1.0), 1.0 / count)
