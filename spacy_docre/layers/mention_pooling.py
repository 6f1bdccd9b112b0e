"""A vector of each mention from its word pieces."""

import numpy
from torch import Tensor

from ..batches import SpanBatch
from .encoded import EncodedBatch
from .segments import expand_ranges, segment_mean

POOLINGS = ("start", "mean", "max")


def pool_mentions(encoded: EncodedBatch, mentions: SpanBatch, pooling: str) -> Tensor:
    """Make a vector of each mention: that of the marker before it where the text is marked, else one that is pooled
    from its own word pieces.

    pooling (str): "start" (the first piece), "mean" or "max".
    RETURNS (Tensor): Shape (M, H); zeros for mentions without a piece.
    """
    first, last = encoded.layout.mention_pieces(mentions)
    if pooling == "mean":
        piece, mention = expand_ranges(first, last)
        return segment_mean(encoded.pieces()[encoded.index(piece)], encoded.index(mention), len(first))
    return encoded.max_pool(first, numpy.minimum(first + 1, last) if pooling == "start" else last)
