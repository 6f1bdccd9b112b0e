"""The head of ATLOP and PEMSCL: localized context pooling and a grouped bilinear classifier."""

from functools import partial
from typing import Any

from ...arrays import Ints1d
from ...batches import PairBatch
from ...errors import check_choice
from ...layers.contextual_bilinear import ContextualBilinear
from ...layers.encoded import EncodedBatch
from ...layers.evidence import explain_by_attention
from ...layers.local_context import lay_out_rows, local_context
from ...layers.mention_pooling import POOLINGS, pool_mentions
from ...layers.pairs import unordered_pairs
from ...layers.segments import segment_logsumexp
from ..relation_head import Explanation, RelationHead, RelationLoss
from ..torch_model import Scores


class AtlopHead(ContextualBilinear):
    """ATLOP: entity vectors are the logsumexp over mention vectors, contexts the localized ones.

    The paper's mention vector is that of a marker before the mention; without markers it is pooled from the mention's
    own pieces. Beside the logits, z_h and z_t are returned in groups, (P, groups, block): PEMSCL's contrastive loss
    compares them.
    """

    def __init__(self, width: int, n_out: int, *, mention_pooling: str, **settings: Any) -> None:
        super().__init__(width, n_out, **settings)
        self.mention_pooling = mention_pooling

    def forward(self, encoded: EncodedBatch, batch: PairBatch) -> Scores:
        e = batch.entities
        mentions = pool_mentions(encoded, e.mentions, self.mention_pooling)
        entities = segment_logsumexp(mentions, encoded.index(e.entity), len(e))
        one, other, unordered = unordered_pairs(batch.head, batch.tail)
        rows = lay_out_rows(encoded, *encoded.layout.mention_pieces(e.mentions), e.entity)
        context = local_context(encoded, rows, one, other)
        z_head, z_tail = self.pair_vectors(
            entities, context, encoded.index(batch.head), encoded.index(batch.tail), encoded.index(unordered)
        )
        groups = (-1, self.decoder.block_size)
        return {
            "logits": self.decoder(z_head, z_tail),
            "z_head": z_head.unflatten(-1, groups),
            "z_tail": z_tail.unflatten(-1, groups),
        }

    def explain(self, encoded: EncodedBatch, batch: PairBatch, label: Ints1d, sentence: Ints1d) -> Explanation:
        """Weigh the evidence for relations; see models.relation_head.Explains.

        A mention pair weighs as much as the attention rows of its two mentions overlap: the sum over heads and
        positions of their product. It is the same for all relations of a pair.
        """
        return Explanation(*explain_by_attention(encoded, batch, sentence))


def build_atlop_head(
    loss: RelationLoss,
    *,
    block_size: int = 64,
    mention_pooling: str = "mean",
    dropout: float = 0.0,
    max_pair_items: int = 2**22,
) -> RelationHead:
    """Build the head of ATLOP and PEMSCL (Guo et al., 2023, appendix D).

    loss (RelationLoss): ATLOP's adaptive threshold loss, PEMSCL's `spacy-docre.PairwiseMovingThreshold.v1`, binary
        cross entropy as in PEMSCL's table 2, or another.
    block_size (int): Width of a group of the grouped bilinear classifier, and of the contrastive loss; divides the
        encoder's width.
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
