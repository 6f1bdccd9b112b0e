"""Grouped bilinear classifier of ATLOP, block by block."""

from typing import Any, Iterator, Tuple

import torch
from torch import Tensor, nn

from ..errors import Errors


class _GroupedBilinear(torch.autograd.Function):
    """x = concat_p(z_h^p outer z_t^p), f = x W. Each group's features live only while it is worked on.

    They are made for a chunk of pairs at a time, in one buffer that stays in the processor's cache. The backward pass
    makes them again: otherwise autograd would keep the whole (P, d * block) matrix. Sums over groups and over chunks
    are kept in float32 at least: in half precision many small terms would be lost against a large sum.
    """

    @staticmethod
    def forward(ctx: Any, head: Tensor, tail: Tensor, weight: Tensor, block: int, chunk: int) -> Tensor:
        ctx.save_for_backward(head, tail, weight)
        ctx.block, ctx.chunk = block, chunk
        out = head.new_zeros(len(head), weight.shape[1], dtype=torch.promote_types(head.dtype, torch.float32))
        for rows, _, features, x in _walk(head, tail, block, chunk):
            out[rows].add_(x @ weight[features])
        return out

    @staticmethod
    def backward(ctx: Any, d_out: Tensor) -> Tuple[Any, ...]:
        head, tail, weight = ctx.saved_tensors
        block, d_out = ctx.block, d_out.to(head.dtype)
        d_head, d_tail = torch.empty_like(head), torch.empty_like(tail)
        # Its transpose: this way round the products are faster.
        d_weight = weight.new_zeros(weight.shape[::-1], dtype=torch.promote_types(weight.dtype, torch.float32))
        for rows, columns, features, x in _walk(head, tail, block, ctx.chunk):
            d_weight[:, features].add_(d_out[rows].T @ x)
            d_x = torch.mm(d_out[rows], weight[features].T, out=x).view(-1, block, block)
            d_head[rows, columns] = (d_x @ tail[rows, columns, None]).squeeze(2)
            d_tail[rows, columns] = (head[rows, None, columns] @ d_x).squeeze(1)
        return d_head, d_tail, d_weight.T.to(weight.dtype), None, None


def _walk(head: Tensor, tail: Tensor, block: int, chunk: int) -> Iterator[Tuple[slice, slice, slice, Tensor]]:
    """YIELDS (Tuple[slice, slice, slice, Tensor]): For each chunk of pairs and group: rows, columns of the group, its
    rows of the weight matrix, and its features (rows, block * block), which the next turn overwrites.
    """
    buffer = head.new_empty(min(chunk, len(head)), block, block)
    for start in range(0, len(head), chunk):
        rows = slice(start, min(start + chunk, len(head)))
        x = buffer[: rows.stop - rows.start]
        for p in range(head.shape[1] // block):
            columns = slice(p * block, (p + 1) * block)
            torch.mul(head[rows, columns, None], tail[rows, None, columns], out=x)
            yield rows, columns, slice(p * block * block, (p + 1) * block * block), x.flatten(1)


class GroupedBilinear(nn.Module):
    """Classify pairs by f = W_o x + b_o with x the concatenated outer products of the vectors' groups.

    PEMSCL eq. 14-15 (appendix D; Guo et al., 2023), after ATLOP (Zhou et al., AAAI 2021).

    width (int): Width of the vectors; a multiple of block_size.
    n_out (int): Number of classes.
    block_size (int): Width of a group.
    max_pair_items (int): Numbers of one group's features held at a time; pairs are worked on in chunks under it.
    RAISES (ValueError): If width is not a positive multiple of block_size.
    """

    def __init__(self, width: int, n_out: int, *, block_size: int = 64, max_pair_items: int = 2**22) -> None:
        super().__init__()
        if block_size < 1 or width % block_size:
            raise ValueError(Errors.R302.format(width=width, block_size=block_size))
        self.block_size = block_size
        self.max_pair_items = max_pair_items
        linear = nn.Linear(width * block_size, n_out)  # for its initialisation
        self.weight = nn.Parameter(linear.weight.detach().T.contiguous())
        self.bias = nn.Parameter(linear.bias.detach())

    def forward(self, head: Tensor, tail: Tensor) -> Tensor:
        """head, tail (P, width) -> logits (P, n_out)."""
        chunk = max(1, self.max_pair_items // self.block_size**2)
        weight: Tensor = self.weight
        if torch.is_autocast_enabled(head.device.type):
            dtype = torch.get_autocast_dtype(head.device.type)
            head, tail, weight = head.to(dtype), tail.to(dtype), weight.to(dtype)
        return _GroupedBilinear.apply(head, tail, weight, self.block_size, chunk) + self.bias
