"""Former home of what is now in `optimisation` and `torch_model`; kept until 0.3."""

from .torch_model import ModelInput, Scores, differentiate, encode

__all__ = ["ModelInput", "Scores", "differentiate", "encode"]
