"""Textbook forms of layers: the equations as they are printed, without regard to time and memory.

`benchmark` measures the layers against these, tests hold the layers to them; both at the layers' default settings.
"""

import torch
from torch import Tensor
from torch.nn.functional import linear, normalize


def grouped_bilinear(head: Tensor, tail: Tensor, weight: Tensor, bias: Tensor, *, block_size: int) -> Tensor:
    """Classify pairs by f = W x + b, x the outer products of the vectors' groups: builds (pairs, width * block).
    ATLOP; PEMSCL eq. 14-15.

    head, tail (Tensor): Shape (P, width).
    weight, bias (Tensor): Shape (width * block_size, n_out), (n_out,).
    RETURNS (Tensor): Shape (P, n_out).
    """
    groups = (len(head), head.shape[1] // block_size, block_size)
    features = head.reshape(groups).unsqueeze(3) * tail.reshape(groups).unsqueeze(2)
    return linear(features.flatten(1), weight.T, bias)


def max_between(vectors: Tensor, doc: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Take the maximum over the pieces [first, last) of documents: builds (ranges, pieces, width). JEREX eq. 10.

    vectors (Tensor): Pieces of the documents. Shape (B, T, H).
    doc, first, last (Tensor): Document and pieces of each range, int64. Shape (K,).
    RETURNS (Tensor): Shape (K, H); zeros for empty ranges.
    """
    position = torch.arange(vectors.shape[1], device=vectors.device)
    outside = (position < first[:, None]) | (position >= last[:, None])
    found = vectors[doc].masked_fill(outside[:, :, None], -torch.inf).amax(1)
    return found.masked_fill(outside.all(1, keepdim=True), 0.0)


def contrastive_loss(head: Tensor, tail: Tensor, gold: Tensor, *, temperature: float) -> Tensor:
    """Compute the supervised contrastive loss on the vectors of all pairs: builds (pairs, groups * block * block).
    PEMSCL eq. 8-10.

    head, tail (Tensor): Vectors of each pair, in groups. Shape (P, groups, block).
    gold (Tensor): Whether a relation holds. Shape (P, R), bool.
    RETURNS (Tensor): Sum over the pairs with relations. Scalar.
    """
    vectors = normalize((head.unsqueeze(3) * tail.unsqueeze(2)).flatten(1), dim=-1)
    anchors = gold.any(-1).nonzero().squeeze(-1)
    others = torch.arange(len(gold), device=gold.device) != anchors[:, None]
    similarity = vectors[anchors] @ vectors.T / temperature
    away = similarity.masked_fill(~others, -torch.inf).logsumexp(-1).sum()
    shared = ((gold[anchors].float() @ gold.float().T) > 0) & others
    some = shared.any(-1)
    n_shared = shared[some].sum(-1, dtype=similarity.dtype)
    together = similarity[some].masked_fill(~shared[some], -torch.inf).logsumexp(-1) - n_shared.log()
    return away - together.sum()


def classify_pairs(entities: Tensor, weight: Tensor, head: Tensor, tail: Tensor) -> Tensor:
    """Compute e_h^r W_r e_t^r: builds (relations, pairs, width). RSMAN eq. 2, 6.

    entities (Tensor): Vector of each entity for each relation. Shape (R, E, H).
    weight (Tensor): Shape (R, H, H).
    head, tail (Tensor): Entities of each pair, int64. Shape (P,).
    RETURNS (Tensor): Shape (P, R).
    """
    return (entities[:, head] @ weight * entities[:, tail]).sum(-1).T


def mention_pair_scores(
    hidden: Tensor,
    attention: Tensor,
    pieces: Tensor,
    head: Tensor,
    tail: Tensor,
    weight: Tensor,
    bias: Tensor,
) -> Tensor:
    """Compute w [h_i; h_j; c_ij] + b of mention pairs of one document: builds (pairs, heads, pieces) and the
    concatenated vectors of each pair. KMGRE eq. 4-6.

    hidden (Tensor): Shape (S, H).
    attention (Tensor): Attention of each position to each. Shape (heads, S, S).
    pieces (Tensor): Position of each mention, which is one piece, int64. Shape (M,).
    head, tail (Tensor): Mentions of each pair, int64. Shape (N,).
    weight, bias (Tensor): Shape (n_out, 3 * H), (n_out,).
    RETURNS (Tensor): Shape (N, n_out).
    """
    rows = attention[:, pieces].transpose(0, 1)
    products = rows[head] * rows[tail]
    context = (products / products.sum(-1, keepdim=True)).sum(1) @ hidden
    vectors = hidden[pieces]
    return linear(torch.cat([vectors[head], vectors[tail], context], -1), weight, bias)
