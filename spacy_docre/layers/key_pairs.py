"""Key mention pairs: those that are held responsible for what holds between two entities (KMGRE)."""

import torch
from torch import Tensor

from .segments import segment_logsumexp, segment_mean

TOLERANCE = 1e-6  # the mean of equal numbers may exceed them by rounding


def label_key_pairs(logits: Tensor, gold: Tensor, pair: Tensor) -> Tensor:
    """Call a mention pair a key pair if, for some relation that holds, it is at least as likely as the mention pairs
    of its entity pair are on average. KMGRE eq. 9.

    logits (Tensor): Relation logits of the mention pairs. Shape (N, R).
    gold (Tensor): Whether a relation holds between two entities. Shape (P, R), bool.
    pair (Tensor): Entity pair of each mention pair, int64. Shape (N,).
    RETURNS (Tensor): All false for entity pairs without a relation. Shape (N,), bool.
    """
    related = gold.any(1)[pair].nonzero()[:, 0]
    pair = pair[related]
    p = logits[related].double().sigmoid()
    likely = p >= segment_mean(p, pair, len(gold))[pair] - TOLERANCE
    labels = torch.zeros(len(logits), dtype=torch.bool, device=logits.device)
    return labels.index_copy(0, related, (likely & gold[pair]).any(1))


def choose_key_pairs(logits: Tensor, pair: Tensor, n_pairs: int, *, xi: float, tau: float) -> Tensor:
    """Find X_pos, the mention pairs whose probability p of being a key pair reaches min(mean + xi * (max - min), tau)
    of their entity pair. KMGRE eq. 12-15. The most probable one is always among them.

    logits (Tensor): Of p. Shape (N,).
    pair (Tensor): Entity pair of each mention pair, int64. Shape (N,).
    n_pairs (int): Number of entity pairs; each has a mention pair.
    xi (float): How far above the mean the bound lies, as a share of the range.
    tau (float): Highest value of the bound.
    RETURNS (Tensor): Shape (N,), bool.
    """
    p = logits.detach().double().sigmoid()
    lowest = p.new_ones(n_pairs).scatter_reduce(0, pair, p, "amin")
    highest = p.new_zeros(n_pairs).scatter_reduce(0, pair, p, "amax")
    bound = (segment_mean(p, pair, n_pairs) + xi * (highest - lowest)).clamp(max=tau)
    return p >= torch.minimum(bound, highest)[pair] - TOLERANCE


def fuse_logits(logits: Tensor, key: Tensor, pair: Tensor, n_pairs: int) -> Tensor:
    """Add up exp(logit) over the key mention pairs of each entity pair. KMGRE eq. 16, for the threshold class, too.

    logits (Tensor): Shape (N, n_out).
    key (Tensor): Whether a mention pair takes part; of each entity pair at least one does. Shape (N,), bool.
    pair (Tensor): Entity pair of each mention pair, int64. Shape (N,).
    RETURNS (Tensor): Shape (n_pairs, n_out).
    """
    return segment_logsumexp(logits.masked_fill(~key[:, None], -torch.inf), pair, n_pairs)


def strongest_logits(logits: Tensor, key: Tensor, pair: Tensor, n_pairs: int, *, threshold_class: bool) -> Tensor:
    """Take each relation's highest score over the key mention pairs of each entity pair. KMGRE eq. 1.

    threshold_class (bool): Whether column 0 is the threshold class: scores are then counted from it, and it becomes 0.
    Other arguments and what is returned: see fuse_logits.
    """
    scores = logits - logits[:, :1] if threshold_class else logits
    scores = scores.masked_fill(~key[:, None], -torch.inf)
    found = scores.new_full((n_pairs, scores.shape[1]), -torch.inf)
    return found.scatter_reduce(0, pair[:, None].expand_as(scores), scores, "amax")
