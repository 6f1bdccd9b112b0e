"""Entity pairs and their mention pairs as index arrays, and features of mention pairs."""

from typing import Tuple

import numpy

from ..arrays import Floats1d, Ints1d
from ..batches import EntityBatch, PairBatch
from .segments import expand_ranges

MentionPairs = Tuple[Ints1d, Ints1d, Ints1d]  # entity pair of each, rows of its two mentions; pair by pair


def mention_bounds(entities: EntityBatch) -> Ints1d:
    """Find the rows of each entity's mentions: those of entity e are [bounds[e], bounds[e + 1]). Shape (E + 1,)."""
    return numpy.searchsorted(entities.entity, numpy.arange(len(entities) + 1))


def unordered_pairs(head: Ints1d, tail: Ints1d) -> Tuple[Ints1d, Ints1d, Ints1d]:
    """Find the distinct unordered pairs among ordered ones: (0, 2), (1, 0), (2, 0) have (0, 1) and (0, 2).

    head, tail (Ints1d): Rows of the two entities or mentions of each pair. Shape (P,).
    RETURNS (Tuple[Ints1d, Ints1d, Ints1d]): Rows of each unordered pair, the lower first (U,), (U,); the unordered
        pair of each ordered one (P,).
    """
    low, high = numpy.minimum(head, tail), numpy.maximum(head, tail)
    n = int(high.max(initial=0)) + 1
    keys, inverse = numpy.unique(low * n + high, return_inverse=True)
    return keys // n, keys % n, inverse


def list_mention_pairs(batch: PairBatch) -> MentionPairs:
    """List the mention pairs of entity pairs.

    Where entity 0 has the mentions 0 and 1, entity 1 the mentions 2 and 3, the pairs (0, 1), (1, 0) give

        pair:  0 0 0 0  1 1 1 1
        head:  0 0 1 1  2 2 3 3
        tail:  2 3 2 3  0 1 0 1

    RETURNS (MentionPairs): Rows of the entity pair, the head's mention and the tail's. Shape (N,).
    """
    bounds = mention_bounds(batch.entities)
    size = bounds[1:] - bounds[:-1]
    n_tail = size[batch.tail]
    index, pair = expand_ranges(numpy.zeros(len(batch), dtype="int64"), size[batch.head] * n_tail)
    return pair, bounds[batch.head][pair] + index // n_tail[pair], bounds[batch.tail][pair] + index % n_tail[pair]


def token_distance(entities: EntityBatch, first: Ints1d, second: Ints1d) -> Ints1d:
    """Count the tokens between two mentions, 0 where they touch or overlap. first, second (N,) rows -> (N,)."""
    m = entities.mentions
    gap = numpy.maximum(m.start[first], m.start[second]) - numpy.minimum(m.end[first], m.end[second])
    return numpy.maximum(gap, 0)


def sentence_distance(entities: EntityBatch, first: Ints1d, second: Ints1d) -> Ints1d:
    """Count the sentence borders between two mentions. first, second (N,) rows -> (N,)."""
    return numpy.abs(entities.sentence[first] - entities.sentence[second])


def keep_near(entities: EntityBatch, pairs: MentionPairs) -> MentionPairs:
    """Keep the mention pairs that lie in one sentence; of an entity pair without any, the one with the fewest tokens
    between (the earliest, where several have as few). JEREX section 4.3.

        pair:       0    0    1    1    1
        sentences:  0-0  0-2  1-3  1-2  1-3
        tokens:     4    30   41   17   40
        kept:       yes  -    -    yes  -
    """
    pair, first, second = pairs
    near = sentence_distance(entities, first, second) == 0
    apart = numpy.flatnonzero(~numpy.isin(pair, pair[near]))
    order = apart[numpy.lexsort((token_distance(entities, first[apart], second[apart]), pair[apart]))]
    _, closest = numpy.unique(pair[order], return_index=True)
    near[order[closest]] = True
    return pair[near], first[near], second[near]


def share_out(weight: Floats1d, group: Ints1d) -> Floats1d:
    """Scale weights to sum 1 over each group; equal where a group has none above 0.

    weight (Floats1d): At least 0. Shape (N,).
    group (Ints1d): Number of each weight's group. Shape (N,).
    """
    if not len(weight):
        return weight
    total, count = numpy.bincount(group, weight)[group], numpy.bincount(group)[group]
    return numpy.where(total > 0, weight / numpy.where(total > 0, total, 1.0), 1.0 / count)
