"""The ATLOP head: localized context pooling and a grouped bilinear classifier."""

from functools import partial
from typing import Any, Tuple

import numpy
import torch
from torch import Tensor, nn

from ...arrays import Ints1d
from ...batches import PairBatch
from ...errors import check_choice
from ...layers.encoded import EncodedBatch
from ...layers.evidence import explain_by_attention
from ...layers.feedforward import make_rare_bias
from ...layers.grouped_bilinear import GroupedBilinear
from ...layers.local_context import lay_out_rows, local_context
from ...layers.pairs import unordered_pairs
from ...layers.segments import expand_ranges, segment_logsumexp, segment_mean
from ..bridge import Scores
from ..relation_model import Explanation, RelationHead, RelationLoss

POOLINGS = ("start", "mean", "max")


def pool_mentions(encoded: EncodedBatch, first: Ints1d, last: Ints1d, pooling: str) -> Tensor:
    """Make a vector of each mention from its word pieces.

    first, last (Ints1d): Pieces [first, last) of each mention. Shape (M,).
    pooling (str): "start" (the first piece), "mean" or "max".
    RETURNS (Tensor): Shape (M, H); zeros for mentions without a piece.
    """
    if pooling == "mean":
        piece, mention = expand_ranges(first, last)
        return segment_mean(encoded.pieces()[encoded.index(piece)], encoded.index(mention), len(first))
    return encoded.max_pool(first, numpy.minimum(first + 1, last) if pooling == "start" else last)


class ContextualBilinear(nn.Module):
    """z_h = tanh(W_h h + W_c1 c), z_t = tanh(W_t t + W_c2 c), f = grouped bilinear of z_h and z_t, with h and t the
    vectors of what is related and c those of their contexts.

    PEMSCL eq. 14-15 (appendix D), after ATLOP (Zhou et al., AAAI 2021).

    width (int): Of all vectors.
    n_out (int): Scores of a pair.
    block_size (int): Width of a group; divides the encoder's width.
    dropout (float): Dropout rate on the vectors and contexts.
    max_pair_items (int): Numbers of pair features that are held at a time.
    """

    def __init__(self, width: int, n_out: int, *, block_size: int, dropout: float, max_pair_items: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, width)
        self.tail = nn.Linear(width, width)
        self.head_context = nn.Linear(width, width, bias=False)
        self.tail_context = nn.Linear(width, width, bias=False)
        self.decoder = GroupedBilinear(width, n_out, block_size=block_size, max_pair_items=max_pair_items)
        self.decoder.bias = make_rare_bias(n_out)

    def join(
        self, vectors: Tensor, contexts: Tensor, head: Tensor, tail: Tensor, pair: Tensor
    ) -> Tuple[Tensor, Tensor]:
        """Compute z_h and z_t. What depends on one vector or one context alone is computed once.

        vectors, contexts (Tensor): Shapes (E, width), (U, width).
        head, tail, pair (Tensor): Rows of the two vectors and of the context of each pair, int64. Shape (P,).
        RETURNS (Tuple[Tensor, Tensor]): Shape (P, width) each.
        """
        vectors, contexts = self.dropout(vectors), self.dropout(contexts)
        z_head = torch.tanh(self.head(vectors)[head] + self.head_context(contexts)[pair])
        return z_head, torch.tanh(self.tail(vectors)[tail] + self.tail_context(contexts)[pair])


class AtlopHead(ContextualBilinear):
    """ATLOP: entity vectors are the logsumexp over mention vectors, contexts the localized ones.

    The paper's mention vector is that of a marker before the mention; without markers it is pooled from the mention's
    own pieces. With pair_vectors, z_h and z_t are returned in groups, (P, groups, block), beside the logits.
    """

    def __init__(
        self, width: int, n_out: int, *, mention_pooling: str, pair_vectors: bool = False, **settings: Any
    ) -> None:
        super().__init__(width, n_out, **settings)
        self.mention_pooling = mention_pooling
        self.pair_vectors = pair_vectors

    def forward(self, encoded: EncodedBatch, batch: PairBatch) -> Scores:
        e = batch.entities
        first, last = encoded.layout.mention_pieces(e.mentions)
        mentions = pool_mentions(encoded, first, last, self.mention_pooling)
        entities = segment_logsumexp(mentions, encoded.index(e.entity), len(e))
        one, other, unordered = unordered_pairs(batch)
        context = local_context(encoded, lay_out_rows(encoded, first, last, e.entity), one, other)
        z_head, z_tail = self.join(
            entities, context, encoded.index(batch.head), encoded.index(batch.tail), encoded.index(unordered)
        )
        scores = {"logits": self.decoder(z_head, z_tail)}
        if self.pair_vectors:
            groups = (-1, self.decoder.block_size)
            scores.update(z_head=z_head.unflatten(-1, groups), z_tail=z_tail.unflatten(-1, groups))
        return scores

    def explain(self, encoded: EncodedBatch, batch: PairBatch, label: Ints1d, sentence: Ints1d) -> Explanation:
        """Weigh the evidence for relations; see models.relation_model.Explains.

        A mention pair weighs as much as the attention rows of its two mentions overlap: the sum over heads and
        positions of their product. It is the same for all relations of a pair.
        """
        e = batch.entities
        first, last = encoded.layout.mention_pieces(e.mentions)
        return Explanation(*explain_by_attention(encoded, first, last, batch, sentence))


def build_atlop_head(
    loss: RelationLoss,
    *,
    block_size: int = 64,
    mention_pooling: str = "mean",
    dropout: float = 0.0,
    max_pair_items: int = 2**22,
) -> RelationHead:
    """Build the ATLOP head.

    loss (RelationLoss): The adaptive threshold loss or, as PEMSCL's table 2 has it, too, binary cross entropy.
    block_size (int): Width of a group of the grouped bilinear classifier; divides the encoder's width.
    mention_pooling (str): How a mention's vector is made from its word pieces: "start", "mean" or "max".
    dropout (float): Dropout rate on entity vectors and contexts; the published code has none.
    max_pair_items (int): Numbers of pair features that the classifier holds at a time.
    RAISES (ValueError): If mention_pooling is none of the three.
    """
    check_choice("mention_pooling", mention_pooling, POOLINGS)
    build_module = partial(
        AtlopHead,
        block_size=block_size,
        mention_pooling=mention_pooling,
        dropout=dropout,
        max_pair_items=max_pair_items,
    )
    return RelationHead(build_module, loss)
