"""Negative label sampling of PEMSCL."""

import torch
from torch import Tensor


def draw_labels(gold: Tensor, ratio: float) -> Tensor:
    """Select the labels that contribute to the loss: all for pairs with a relation, a random subset for the rest.

    gold (Tensor): Whether a relation holds. Shape (P, R), bool.
    ratio (float): Share of its relations that a pair without any keeps as negatives, at least one, drawn anew at each
        call; 1 for all.
    RETURNS (Tensor): Shape (P, R), bool.

    PEMSCL eq. 12 (Guo et al., 2023).
    """
    counted = torch.ones_like(gold)
    n_kept = max(1, round(ratio * gold.shape[1]))
    if n_kept < gold.shape[1]:
        without = (~gold.any(-1)).nonzero().squeeze(-1)
        chance = torch.rand(len(without), gold.shape[1], device=gold.device)
        kept = torch.zeros_like(gold[without]).scatter_(1, chance.topk(n_kept, -1).indices, True)
        counted[without] = kept
    return counted
