"""The relation model: an encoder and a head, which is a pair encoder, a decoder and a loss."""

from dataclasses import dataclass
from typing import Any, Callable, List, Protocol

from spacy.tokens import Doc
from thinc.api import Model
from torch import Tensor, nn

from .bridge import ModelInput, Scores, build_torch_model


class RelationLoss(Protocol):
    """From the head's scores ("logits" (P, R), column 0 the threshold class) and gold (P, R) bool to a scalar."""

    def __call__(self, scores: Scores, gold: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class RelationHead:
    """What `@architectures` for heads return.

    build_module (Callable[..., nn.Module]): Called with width= (the encoder's) and n_out= (relations and the
        threshold class). The module maps (EncodedBatch, PairBatch) to named tensors, "logits" (P, n_out) among
        them; it may have a method `explain`, see heads.atlop.
    loss (RelationLoss): What it is trained on.
    """

    build_module: Callable[..., nn.Module]
    loss: RelationLoss


def build_relation_model(
    tok2vec: Model[List[Doc], Any], head: RelationHead, *, learn_rate_scale: float = 1.0, mixed_precision: bool = False
) -> Model[ModelInput, Scores]:
    """Join an encoder and a relation head.

    tok2vec (Model): A docre encoder or the listener to one.
    head (RelationHead): Pair encoder, decoder and loss.
    learn_rate_scale (float): Multiplies the optimizer's rate for the head.
    mixed_precision (bool): Compute the head in bfloat16 in training.
    """
    attrs = {"loss": head.loss}
    return build_torch_model(
        "relations",
        tok2vec,
        head.build_module,
        learn_rate_scale=learn_rate_scale,
        mixed_precision=mixed_precision,
        attrs=attrs,
    )
