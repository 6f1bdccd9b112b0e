from .listener import DocreListener, build_listener
from .model import build_transformer_model

__all__ = ["DocreListener", "build_listener", "build_transformer_model"]
