"""Binary focal loss."""

from torch import Tensor, where
from torch.nn.functional import logsigmoid


def focal_loss(logits: Tensor, gold: Tensor, *, alpha: float, gamma: float) -> Tensor:
    """Compute -alpha * (1 - p)^gamma * log p, p the probability of the true label.

    logits (Tensor): Of the probability of true. Shape (N,), float.
    gold (Tensor): Shape (N,), bool.
    alpha (float): Weight of both labels alike.
    gamma (float): How much less samples count that are right already.
    RETURNS (Tensor): Loss of each sample in nats, not averaged. Shape (N,).

    KMGRE eq. 10-11 (Jiang et al., COLING 2022), after Lin et al. (ICCV 2017).
    """
    signed = where(gold, logits, -logits)
    return -alpha * (-signed).sigmoid() ** gamma * logsigmoid(signed)
