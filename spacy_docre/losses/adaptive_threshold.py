"""Adaptive threshold loss of ATLOP."""

from typing import Optional

import torch
from torch import Tensor
from torch.nn.functional import pad

from .shapes import check_shapes


def adaptive_threshold_loss(logits: Tensor, gold: Tensor, counted: Optional[Tensor] = None) -> Tensor:
    """Rank the relations that hold above the threshold class TH, and TH above all others.

    logits (Tensor): Pair scores, column 0 is TH. Shape (P, 1 + R), float.
    gold (Tensor): Whether a relation holds. Shape (P, R), bool.
    counted (Optional[Tensor]): Which labels count, None for all. Shape (P, R), bool.
    RETURNS (Tensor): Loss of each pair in nats, not averaged. Shape (P,).
    RAISES (ValueError): If the two shapes do not fit.

    KMGRE eq. 17-19 (Jiang et al., COLING 2022), after Zhou et al. (AAAI 2021). The negatives of eq. 18 are the
    relations outside P_T. A pair without positives has the second term only. PEMSCL (figures 2 and 4) leaves some of
    its labels out.
    """
    check_shapes(logits, gold, 1)
    counted = torch.ones_like(gold) if counted is None else counted
    positive, negative = pad(gold & counted, (1, 0)), pad(~gold & counted, (1, 0))
    threshold = torch.zeros_like(positive)
    threshold[:, 0] = True
    # Left-out classes are filled, not multiplied away: -inf * 0 is NaN.
    among_positive = logits.masked_fill(~(positive | threshold), -torch.inf).log_softmax(-1)
    among_negative = logits.masked_fill(~(negative | threshold), -torch.inf).log_softmax(-1)
    return -among_positive.masked_fill(~positive, 0.0).sum(-1) - among_negative[:, 0]
