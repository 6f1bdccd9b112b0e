"""Which entity pairs are looked at: all of a document, near ones of a long document, drawn ones in training."""

from typing import Any, Sequence, Tuple

import numpy

from ..arrays import Bools2d, Ints1d, Ints2d, SpanIndices
from ..batches import PairBatch
from ..layers.segments import expand_ranges


def all_pairs(n: int) -> Ints2d:
    """List all ordered pairs of n different entities, by first, then second. Shape (P, 2)."""
    pairs = numpy.stack(numpy.divmod(numpy.arange(n * n), max(n, 1)), axis=1)
    return pairs[pairs[:, 0] != pairs[:, 1]]


def near_pairs(clusters: Sequence[Sequence[SpanIndices]], limit: int) -> Ints2d:
    """Find pairs of entities without looking at all of them.

    limit (int): Most tokens between the starts of the closest mentions of a pair.
    RETURNS (Ints2d): Ordered pairs of different entities, by first, then second. Shape (P, 2).
    """
    entity = numpy.repeat(numpy.arange(len(clusters)), [len(c) for c in clusters])
    start = numpy.asarray([s for c in clusters for s, _ in c], dtype="int64")
    order = numpy.argsort(start, kind="stable")
    entity, start = entity[order], start[order]
    # Mentions by their start; with limit 5, mention 0 is near 1, and 1 near 2:
    #   start   3  7  10        one   0 1
    #   entity  A  B  A         other 1 2     -> pairs AB and BA, each once
    other, one = expand_ranges(numpy.arange(1, len(start) + 1), numpy.searchsorted(start, start + limit, "right"))
    n = len(clusters)
    keys = numpy.concatenate([entity[one] * n + entity[other], entity[other] * n + entity[one]])
    pairs = numpy.stack(numpy.divmod(numpy.unique(keys), max(n, 1)), axis=1)
    return pairs[pairs[:, 0] != pairs[:, 1]]


def most_mentioned(clusters: Sequence[Sequence[Any]], n: int) -> Ints1d:
    """Select the n entities with most mentions, all where n is 0; their rows rise. Shape (n,)."""
    order = numpy.argsort([-len(c) for c in clusters], kind="stable")
    return numpy.sort(order[:n] if n else order).astype("int64")


def mark_relations(batch: PairBatch, triples: Sequence[Tuple[int, int, int]], n_labels: int) -> Bools2d:
    """Mark the relations that hold between pairs. Relations of pairs that are not in the batch are left out.

    batch (PairBatch): Pairs by head, then tail.
    triples (Sequence[Tuple[int, int, int]]): Rows of the head entity, number of the label, row of the tail entity.
    RETURNS (Bools2d): Shape (P, n_labels).
    """
    # With three entities, pairs 0-1, 0-2, 1-0 have the keys 1, 2, 3; the triple (1, label, 0) has the key 3: row 2.
    n = len(batch.entities)
    keys = batch.head * n + batch.tail
    gold = numpy.zeros((len(batch), n_labels), dtype=bool)
    head, label, tail = numpy.asarray(triples, dtype="int64").reshape(-1, 3).T
    row = numpy.minimum(numpy.searchsorted(keys, head * n + tail), len(keys) - 1)
    known = keys[row] == head * n + tail
    gold[row[known], label[known]] = True
    return gold


def draw_pairs(gold: Bools2d, doc: Ints1d, n: int) -> Ints1d:
    """Draw pairs without a relation.

    gold (Bools2d): Whether a relation holds. Shape (P, R).
    doc (Ints1d): Document of each pair, rising. Shape (P,).
    n (int): Pairs to draw from each document.
    RETURNS (Ints1d): Rows of all pairs with a relation and of those drawn, rising.
    """
    positive = gold.any(1)
    drawn = numpy.random.permutation(numpy.flatnonzero(~positive))
    drawn = drawn[numpy.argsort(doc[drawn], kind="stable")]  # document by document, in the order drawn
    rank = numpy.arange(len(drawn)) - numpy.searchsorted(doc[drawn], doc[drawn])
    return numpy.sort(numpy.concatenate([numpy.flatnonzero(positive), drawn[rank < n]]))
