"""What an encoder's last layer gives, as tensors that travel together by name."""

from dataclasses import dataclass, fields
from typing import Callable, Dict, List, Optional, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

Gradients = Dict[str, Tensor]  # of tensors of Planes by name; those without a gradient are left out

# The axes along which a tensor has an entry for each position of a window; all are shorter where windows are cut.
_POSITION_AXES = {"hidden": (1,), "queries": (2,), "keys": (2,), "attention": (2, 3)}


@dataclass(frozen=True)
class Planes:
    """Last hidden states of windows, and what the rows of the last layer's attention are made from.

    hidden (Tensor): Last hidden states. Shape (windows, S, H).
    queries, keys (Optional[Tensor]): Of the last layer. Shape (windows, heads, S, H / heads).
    attention (Optional[Tensor]): Of the last layer, for encoders whose rows queries and keys do not give. Shape
        (windows, heads, S, S).
    """

    hidden: Tensor
    queries: Optional[Tensor] = None
    keys: Optional[Tensor] = None
    attention: Optional[Tensor] = None

    @property
    def n_positions(self) -> int:
        return self.hidden.shape[1]

    def named(self) -> Dict[str, Tensor]:
        """List the tensors that there are, always in the same order."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: tensor for name, tensor in found.items() if tensor is not None}

    def map(self, function: Callable[[Tensor], Tensor]) -> "Planes":
        """Apply a function to each tensor."""
        return Planes(**{name: function(tensor) for name, tensor in self.named().items()})

    def select(self, windows: Tensor) -> "Planes":
        """Take some windows, by their numbers (w,)."""
        return self.map(lambda tensor: tensor.index_select(0, windows))

    def split(self, sizes: Sequence[int]) -> List["Planes"]:
        """Split into runs of windows that follow one another, without a copy."""
        parts = {name: tensor.split(list(sizes)) for name, tensor in self.named().items()}
        return [Planes(**{name: tensors[i] for name, tensors in parts.items()}) for i in range(len(sizes))]

    def cut(self, n_positions: int) -> "Planes":
        """Keep the first positions of each window, without a copy."""
        cut = self.named()
        for name, tensor in cut.items():
            for axis in _POSITION_AXES[name]:
                tensor = tensor.narrow(axis, 0, n_positions)
            cut[name] = tensor
        return Planes(**cut)

    def pad(self, n_positions: int) -> "Planes":
        """Add positions of zeros after the last one of each window, up to a number of positions."""
        n = n_positions - self.n_positions
        if not n:
            return self
        padded = self.named()
        for name, tensor in padded.items():
            amounts = [0] * (2 * tensor.dim())
            for axis in _POSITION_AXES[name]:  # torch counts (before, after) from the last axis
                amounts[2 * (tensor.dim() - 1 - axis) + 1] = n
            padded[name] = pad(tensor, amounts)
        return Planes(**padded)

    def leaves(self) -> "Planes":
        """Cut the tensors off from the encoder, ready to collect gradients."""
        return self.map(lambda tensor: tensor.detach().requires_grad_())

    def gradients(self) -> Gradients:
        """List the gradients that the tensors have collected."""
        return {name: tensor.grad for name, tensor in self.named().items() if tensor.grad is not None}


def cat_planes(parts: Sequence[Planes], order: Optional[Tensor] = None) -> Planes:
    """Put the windows of several parts, which have the same tensors and number of positions, one after another.

    order (Optional[Tensor]): Number among these of each window of the result; None to keep their order. Shape (w,).
    """
    named = [part.named() for part in parts]
    joined = {}
    for name in named[0]:  # one at a time: a tensor and its copy in another order live together only here
        tensor = torch.cat([tensors[name] for tensors in named])
        joined[name] = tensor if order is None else tensor[order]
    return Planes(**joined)
