"""Losses of relation heads as a config names them."""

from torch import Tensor

from ..losses.adaptive_threshold import adaptive_threshold_loss
from ..losses.per_document import relation_loss
from .bridge import Scores
from .relation_model import RelationLoss


def configure_adaptive_threshold() -> RelationLoss:
    """Configure ATLOP's adaptive threshold loss, averaged over entity pairs."""

    def loss(scores: Scores, gold: Tensor, doc: Tensor) -> Tensor:
        return adaptive_threshold_loss(scores["logits"], gold).mean()

    return RelationLoss(loss, threshold_class=True)


def configure_binary_cross_entropy() -> RelationLoss:
    """Configure JEREX's loss of relations, binary cross entropy.

    It is summed over relations, and averaged over each document's pairs, then over documents.
    """

    def loss(scores: Scores, gold: Tensor, doc: Tensor) -> Tensor:
        return relation_loss(scores["logits"], gold, doc)

    return RelationLoss(loss, threshold_class=False)
