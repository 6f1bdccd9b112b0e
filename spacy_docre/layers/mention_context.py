"""The context of mention pairs as KMGRE has it: attention normalised head by head, then summed over the heads."""

from typing import Any, Optional, Tuple

import numpy
import torch
from torch import Tensor

from .encoded import widen
from .local_context import ContextForm, PairPlaces

_TINY = 1e-12  # beside sums of products of attention, so that 0 / 0 gives no context


class _HeadwiseAttention(torch.autograd.Function):
    """sum_k (A_i^k * A_j^k) / 1^T (A_i^k * A_j^k), head by head, so that no (K, heads, S) tensor is built, not
    even in the backward pass."""

    @staticmethod
    def forward(ctx: Any, attention: Tensor, one: Tensor, other: Tensor) -> Tensor:
        """attention (heads, slots, S), one, other (K,) int64: slots of the two -> (K, S)."""
        total = attention.new_zeros(len(one), attention.shape[2])
        for rows in attention:
            product = rows.index_select(0, one).mul_(rows.index_select(0, other))
            total.addcdiv_(product, product.sum(-1, keepdim=True) + _TINY)
        ctx.save_for_backward(attention, one, other)
        return total

    @staticmethod
    def backward(ctx: Any, d_total: Tensor) -> Tuple[Optional[Tensor], None, None]:
        attention, one, other = ctx.saved_tensors
        d_attention = torch.zeros_like(attention)
        for rows, d_rows in zip(attention, d_attention):
            first, second = rows.index_select(0, one), rows.index_select(0, other)
            product = first * second
            mass = product.sum(-1, keepdim=True) + _TINY
            d_product = (d_total - (d_total * product).sum(-1, keepdim=True) / mass) / mass
            d_rows.index_add_(0, one, second.mul_(d_product)).index_add_(0, other, first.mul_(d_product))
        return d_attention, None, None


def headwise_attention(attention: Tensor, places: PairPlaces) -> Tensor:
    """Multiply the attention rows of two mentions head by head, normalise the products and add them up. KMGRE eq. 4.

    attention (Tensor): Row of each slot. Shape (w, heads, G, S).
    places (PairPlaces): Meetings in these windows.
    RETURNS (Tensor): The sum over positions is the number of heads. Shape (K, S).
    """
    n_slots = attention.shape[2]
    slots = [
        torch.as_tensor(places.window * n_slots + s, device=attention.device) for s in (places.first, places.second)
    ]
    return _HeadwiseAttention.apply(widen(attention).transpose(0, 1).flatten(1, 2), *slots)


def _pool_pairs(attention: Tensor, places: PairPlaces, vectors: Tensor) -> Tensor:
    n_pairs = numpy.bincount(places.window, minlength=len(vectors)).tolist()
    parts = zip(headwise_attention(attention, places).split(n_pairs), vectors)
    return torch.cat([weight @ of_window for weight, of_window in parts])


SUM_OF_NORMALISED = ContextForm(_pool_pairs, lambda attention: attention.sum(1))
