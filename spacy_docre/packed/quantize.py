"""Weights as 8-bit integers with one scale a row."""

from typing import Dict, Tuple

import torch
from torch import Tensor

WHOLE = "w/"  # weights as they are
EIGHT_BIT = "q/"  # 8-bit integers, to be multiplied by
SCALE = "s/"  # a scale for each row
MIN_SIZE = 2048  # smaller tensors gain nothing from 8 bits


def quantize(tensor: Tensor) -> Tuple[Tensor, Tensor]:
    """Round a tensor to 8-bit integers times a scale of its own for each row, along the axis where that errs less.

    tensor (Tensor): Two or more axes, float.
    RETURNS (Tuple[Tensor, Tensor]): Integers in [-127, 127], and float32 scales that are 1 wide on all axes but one.
    """
    values = tensor.detach().float()
    best = None
    for axis in range(values.dim()):
        others = [i for i in range(values.dim()) if i != axis]
        scale = values.abs().amax(others, keepdim=True) / 127
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))  # a row of zeros stays one
        rounded = (values / scale).round().clamp(-127, 127).to(torch.int8)
        error = float((rounded * scale - values).square().sum())
        if best is None or error < best[0]:
            best = error, rounded, scale
    assert best is not None
    return best[1].contiguous(), best[2].contiguous()


def pack_state(state: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """Quantise the large tensors of a module's state.

    RETURNS (Dict[str, Tensor]): The others as they are (floats as float32) under "w/NAME", the large ones under
        "q/NAME" and "s/NAME".
    """
    packed: Dict[str, Tensor] = {}
    for name, tensor in state.items():
        tensor = tensor.detach().cpu()
        if not tensor.is_floating_point():
            packed[WHOLE + name] = tensor.clone().contiguous()
        elif tensor.dim() < 2 or tensor.numel() < MIN_SIZE:
            packed[WHOLE + name] = tensor.float().clone().contiguous()
        else:
            packed[EIGHT_BIT + name], packed[SCALE + name] = quantize(tensor)
    return packed


def unpack_state(packed: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """Undo `pack_state`, in float32.

    RAISES (KeyError): If 8-bit weights lack their scale.
    """
    state = {name[len(WHOLE) :]: tensor for name, tensor in packed.items() if name.startswith(WHOLE)}
    for name, tensor in packed.items():
        if name.startswith(EIGHT_BIT):
            name = name[len(EIGHT_BIT) :]
            state[name] = tensor.float() * packed[SCALE + name]
    return state


def relative_error(state: Dict[str, Tensor], restored: Dict[str, Tensor]) -> float:
    """RETURNS (float): The largest relative error of a tensor: |restored - original| / |original|, Euclidean."""
    errors = [0.0]
    for name, tensor in state.items():
        norm = float(tensor.detach().float().norm())
        if norm:
            errors.append(float((restored[name].float() - tensor.detach().cpu().float()).norm()) / norm)
    return max(errors)
