"""Pairwise moving-threshold loss and entropy minimisation of PEMSCL."""

from typing import Optional

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from .shapes import check_shapes


def margins(logits: Tensor, gold: Tensor) -> Tensor:
    """Compute by how much relations exceed the threshold class: f_r - f_TH.

    logits (Tensor): Pair scores, column 0 is TH. Shape (P, 1 + R), float.
    gold (Tensor): Whether a relation holds. Shape (P, R), bool.
    RETURNS (Tensor): Shape (P, R).
    RAISES (ValueError): If the two shapes do not fit.
    """
    check_shapes(logits, gold, 1)
    return logits[:, 1:] - logits[:, :1]


def pairwise_threshold_loss(logits: Tensor, gold: Tensor, counted: Optional[Tensor] = None) -> Tensor:
    """Compare each relation with the threshold class TH by itself: push relations that hold above it, all others below.

    logits (Tensor): Pair scores, column 0 is TH. Shape (P, 1 + R), float.
    gold (Tensor): Whether a relation holds. Shape (P, R), bool.
    counted (Optional[Tensor]): Which labels count, None for all. Shape (P, R), bool.
    RETURNS (Tensor): Loss of each pair in nats, not averaged. Shape (P,).
    RAISES (ValueError): If logits and gold do not fit.

    PEMSCL eq. 3-4 and the first term of eq. 12 (Guo et al., 2023).
    """
    x = margins(logits, gold)
    nats = binary_cross_entropy_with_logits(x, gold.to(x.dtype), reduction="none")
    return _keep(nats, counted).sum(-1)


def pairwise_entropy(logits: Tensor, gold: Tensor, counted: Optional[Tensor] = None, *, averaged: bool) -> Tensor:
    """Compute the entropies of the choices between each relation and TH, those that hold and the others weighed apart.

    logits, gold, counted: See `pairwise_threshold_loss`.
    averaged (bool): Whether to divide by gamma_1, the pair's relations that hold, and gamma_2, the others, counted or
        not; else both are 1.
    RETURNS (Tensor): Entropy of each pair in nats. Shape (P,).
    RAISES (ValueError): If logits and gold do not fit.

    PEMSCL eq. 5-6 and the second term of eq. 12 (Guo et al., 2023).
    """
    distance = margins(logits, gold).abs()  # the entropy does not depend on the sign; without it, nothing cancels
    entropy = _keep(softplus(-distance) + distance * (-distance).sigmoid(), counted)
    if averaged:
        n_positive = gold.sum(-1, keepdim=True)
        entropy = entropy / n_positive.where(gold, gold.shape[1] - n_positive)
    return entropy.sum(-1)


def _keep(values: Tensor, counted: Optional[Tensor]) -> Tensor:
    return values if counted is None else values.masked_fill(~counted, 0.0)
