"""Vectors of mentions from their word pieces."""

import numpy
import pytest
import torch

from spacy_docre.batches import SpanBatch
from spacy_docre.layers.mention_pooling import POOLINGS, pool_mentions
from toy import encode_at_random, lay_windows

POOLS = {"start": lambda x: x[0], "mean": lambda x: x.mean(0), "max": lambda x: x.amax(0)}


@pytest.mark.parametrize("pooling", POOLINGS)
def test_mention_vectors(pooling):
    """A token of 2 pieces, one of none, one of 3: their first pieces, means, maxima; zeros without pieces."""
    encoded = encode_at_random([lay_windows([2, 0, 3], [(0, 5)])])
    pieces, pool = encoded.pieces(), POOLS[pooling]
    start, end = numpy.asarray([0, 1, 2, 0]), numpy.asarray([1, 2, 3, 3])
    found = pool_mentions(encoded, SpanBatch(numpy.zeros(4, dtype="int64"), start, end), pooling)
    expected = [pool(pieces[:2]), torch.zeros(4).double(), pool(pieces[2:]), pool(pieces)]
    assert torch.allclose(found, torch.stack(expected))


def test_pool_of_spans():
    """Maxima over the own pieces of spans; zeros where a span holds no token."""
    encoded = encode_at_random([lay_windows([2, 0, 3], [(0, 5)])])
    start, end = numpy.asarray([0, 1, 3, 2]), numpy.asarray([3, 2, 3, 1])
    found = encoded.pool(SpanBatch(numpy.zeros(4, dtype="int64"), start, end))
    assert torch.equal(found[0], encoded.pieces().amax(0)) and not found[1:].any()
