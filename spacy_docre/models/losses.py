"""Losses of relation heads as a config names them."""

from typing import Any

from torch import Tensor

from ..losses.adaptive_threshold import adaptive_threshold_loss
from .bridge import Scores
from .relation_model import RelationLoss


def configure_adaptive_threshold() -> RelationLoss:
    """Configure ATLOP's adaptive threshold loss, averaged over entity pairs."""

    def loss(scores: Scores, gold: Tensor, **kwargs: Any) -> Tensor:
        return adaptive_threshold_loss(scores["logits"], gold).mean()

    return loss
