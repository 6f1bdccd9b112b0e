"""The PEMSCL head: ATLOP's, for a loss that looks at the vectors of entity pairs, too."""

from dataclasses import replace
from functools import partial

from ..relation_model import RelationHead, RelationLoss
from .atlop import build_atlop_head


def build_pemscl_head(
    loss: RelationLoss,
    *,
    block_size: int = 64,
    mention_pooling: str = "mean",
    dropout: float = 0.0,
    max_pair_items: int = 2**22,
) -> RelationHead:
    """Build the PEMSCL head (Guo et al., 2023, appendix D).

    loss (RelationLoss): `spacy-docre.PairwiseMovingThreshold.v1`, as published, or another.
    block_size (int): Width of a group of the grouped bilinear classifier, and of the contrastive loss; divides the
        encoder's width.
    mention_pooling (str): How a mention's vector is made from its word pieces: "start", "mean" or "max".
    dropout (float): Dropout rate on entity vectors and contexts; the published code has none.
    max_pair_items (int): Numbers of pair features that the classifier holds at a time.
    RAISES (ValueError): If mention_pooling is none of the three.
    """
    head = build_atlop_head(
        loss,
        block_size=block_size,
        mention_pooling=mention_pooling,
        dropout=dropout,
        max_pair_items=max_pair_items,
    )
    return replace(head, build_module=partial(head.build_module, pair_vectors=True))
