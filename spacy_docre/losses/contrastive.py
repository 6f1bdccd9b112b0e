"""Supervised contrastive loss of PEMSCL for several labels and rare ones."""

from typing import Any, Tuple

import torch
from torch import Tensor

from ..errors import check_choice

FORMS = ("out", "in")


def contrastive_loss(
    head: Tensor, tail: Tensor, gold: Tensor, *, temperature: float, form: str = "in", max_items: int = 2**21
) -> Tensor:
    """Pull pairs that share a relation together; push pairs with relations away from all others.

    The vector x of a pair is the concatenation of the outer products of its groups. It is never built, since
    x . x' = sum_p (z_h^p . z_h'^p) (z_t^p . z_t'^p) and |x|^2 = sum_p |z_h^p|^2 |z_t^p|^2.

    head, tail (Tensor): z_h and z_t of each pair, in groups. Shape (P, groups, block), float.
    gold (Tensor): Whether a relation holds. Shape (P, R), bool.
    temperature (float): tau, divides the cosine similarities.
    form (str): Of the mean over the pairs that share a relation: "out", the mean of log-probabilities, or "in", the
        logarithm of the mean probability.
    max_items (int): Similarities of groups that are held at a time; pairs with relations are worked on in chunks
        under it.
    RETURNS (Tensor): Sum over the pairs with relations, in nats. Scalar.
    RAISES (ValueError): If there is no such form.

    PEMSCL eq. 8-10 (Guo et al., 2023); eq. 8 as printed is "in".
    """
    check_choice("scl_form", form, FORMS)
    norm = (head.square().sum(-1) * tail.square().sum(-1)).sum(-1).clamp(min=1e-20).sqrt()
    return _ContrastiveLoss.apply(head / norm[:, None, None], tail, gold, temperature, form, max_items)


class _ContrastiveLoss(torch.autograd.Function):
    """The sum over chunks of rows. The gradient of a chunk is taken before the next one comes, so that no chunk's
    similarities are kept, nor computed again in the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, head: Tensor, tail: Tensor, gold: Tensor, temperature: float, form: str, max_items: int
    ) -> Tensor:
        rows = gold.any(-1).nonzero().squeeze(-1)
        loss, d_head, d_tail = head.new_zeros(()), torch.zeros_like(head), torch.zeros_like(tail)
        for chunk in rows.split(max(1, max_items // max(head[..., 0].numel(), 1))) if len(gold) > 1 else ():
            with torch.enable_grad():
                leaves = head.detach().requires_grad_(), tail.detach().requires_grad_()
                part = _loss_of_rows(*leaves, gold, chunk, temperature, form)
                gradients = torch.autograd.grad(part, leaves)
            loss += part.detach()
            d_head += gradients[0]
            d_tail += gradients[1]
        ctx.save_for_backward(d_head, d_tail)
        return loss

    @staticmethod
    def backward(ctx: Any, d_loss: Tensor) -> Tuple[Any, ...]:
        d_head, d_tail = ctx.saved_tensors
        return d_loss * d_head, d_loss * d_tail, None, None, None, None


def _loss_of_rows(head: Tensor, tail: Tensor, gold: Tensor, rows: Tensor, temperature: float, form: str) -> Tensor:
    """Sum eq. 8 or, for pairs that share no relation with another, eq. 9 over some pairs.

    rows (Tensor): Rows of these pairs. Shape (A,).
    """
    similarity = (_inner_products(head, rows) * _inner_products(tail, rows)).sum(0) / temperature  # (A, P)
    itself = torch.zeros_like(similarity, dtype=torch.bool).scatter_(1, rows[:, None], True)
    shared = (gold[rows].float() @ gold.float().T > 0) & ~itself
    n_shared = shared.sum(-1, dtype=similarity.dtype)
    away = similarity.masked_fill(itself, -torch.inf).logsumexp(-1).sum()
    if form == "out":
        return away - (similarity.masked_fill(~shared, 0.0).sum(-1) / n_shared.clamp(min=1)).sum()
    some = n_shared > 0
    return away - (similarity[some].masked_fill(~shared[some], -torch.inf).logsumexp(-1) - n_shared[some].log()).sum()


def _inner_products(vectors: Tensor, rows: Tensor) -> Tensor:
    """Compute the inner products of some rows with all, group by group. Shape (groups, A, P)."""
    return vectors[rows].transpose(0, 1) @ vectors.permute(1, 2, 0)
