"""Updates of torch modules by thinc optimizers."""

import contextlib
import warnings
from typing import Any, Dict, Iterator, Optional

import torch
from thinc.api import Optimizer, torch2xp, xp2torch
from thinc.shims import Shim
from torch import nn

from ..errors import Warnings


def update_parameters(module: nn.Module, key: int, optimizer: Optimizer, learn_rate_scale: float = 1.0) -> bool:
    """Let a thinc optimizer change a torch module in place, and drop the gradients.

    Two things differ from thinc's own shim, as the papers have them: the gradient's norm is clipped over all
    parameters together (thinc clips each tensor by itself), and biases and LayerNorm weights do not decay.

    key (int): Unique for the module; the optimizer keeps its moments under it.
    learn_rate_scale (float): Multiplies the optimizer's rate.
    RETURNS (bool): False if a gradient was infinite or not a number, so that nothing was changed.
    """
    parameters = [(name, p) for name, p in module.named_parameters() if p.grad is not None]
    if not parameters:
        return True
    clip, decay = optimizer.grad_clip, optimizer.L2
    norm = torch.nn.utils.clip_grad_norm_([p for _, p in parameters], clip or torch.inf)
    if not torch.isfinite(norm):
        module.zero_grad(set_to_none=True)
        return False
    try:
        optimizer.grad_clip = 0.0
        for name, parameter in parameters:
            assert parameter.grad is not None
            optimizer.L2 = decay if parameter.dim() > 1 else 0.0
            weights, _ = optimizer(
                (key, name),
                torch2xp(parameter.data),
                torch2xp(parameter.grad.contiguous()),
                lr_scale=learn_rate_scale,
            )
            updated = xp2torch(weights, device=parameter.device)
            # The optimizer works in place. Were the parameter's data replaced by `updated`, each step's wrappers would
            # keep those of the step before alive, and training would need ever more memory.
            if updated.data_ptr() != parameter.data_ptr():
                parameter.data.copy_(updated)
            parameter.grad = None
    finally:
        optimizer.grad_clip, optimizer.L2 = clip, decay
    return True


@contextlib.contextmanager
def use_parameters(module: Optional[nn.Module], key: int, params: Dict[Any, Any]) -> Iterator[None]:
    """Replace a module's parameters for a while with an optimizer's averages, kept under (key, name)."""
    if module is None:
        yield
        return
    averages = {n: params[(key, n)] for n, _ in module.named_parameters() if (key, n) in params}
    backup = {name: p.data for name, p in module.named_parameters() if name in averages}
    parameters = dict(module.named_parameters())
    for name, value in averages.items():
        parameters[name].data = xp2torch(value, device=parameters[name].device)
    try:
        yield
    finally:
        for name, data in backup.items():
            parameters[name].data = data


class DocreShim(Shim):
    """Hold a torch module that thinc optimizers update.

    learn_rate_scale (float): Multiplies the optimizer's rate.
    n_skipped (int): Updates left out because of their gradient.
    """

    learn_rate_scale = 1.0
    n_skipped = 0

    @property
    def module(self) -> Optional[nn.Module]:
        return self._model

    def finish_update(self, optimizer: Optimizer) -> None:
        if self._model is None or update_parameters(self._model, self.id, optimizer, self.learn_rate_scale):
            return
        self.n_skipped += 1
        if self.n_skipped & (self.n_skipped - 1) == 0:  # the 1st, 2nd, 4th, 8th … time
            warnings.warn(Warnings.RW11.format(what=type(self._model).__name__, n=self.n_skipped), stacklevel=2)

    @contextlib.contextmanager
    def use_params(self, params: Dict[Any, Any]) -> Iterator[None]:
        with use_parameters(self._model, self.id, params):
            yield

    def to_device(self, device_type: str, device_id: int) -> None:
        if self._model is not None:
            self._model.to("cpu" if device_type == "cpu" else f"cuda:{device_id}")
