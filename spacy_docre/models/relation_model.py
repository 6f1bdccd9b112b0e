"""The relation model: an encoder and a head, which is a pair encoder, a decoder and a loss."""

from dataclasses import dataclass
from typing import Any, Callable, List, Optional, Protocol, Tuple, runtime_checkable

import torch
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats1d, Floats2d, Ints1d
from torch import Tensor, nn

from ..layers.encoded import EncodedBatch
from ..ty import PairBatch
from .bridge import ModelInput, Scores, build_torch_model


class RelationLoss(Protocol):
    """From the head's scores ("logits" (P, R), column 0 the threshold class) and gold (P, R) bool to a scalar."""

    def __call__(self, scores: Scores, gold: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Explanation:
    """What speaks for relations.

    pair, head, tail (Ints1d): Mention pairs: row of the relation, rows of the two mentions. Shape (N,).
    weight (Floats1d): Sums to 1 over the mention pairs of a relation. Shape (N,).
    sentence_mass (Optional[Floats2d]): Share of the context's attention in each sentence of the document; None for
        heads without attention. Shape (relations, sentences).
    """

    pair: Ints1d
    head: Ints1d
    tail: Ints1d
    weight: Floats1d
    sentence_mass: Optional[Floats2d]


@runtime_checkable
class Explains(Protocol):
    """A head's module that can say what speaks for a relation."""

    def explain(self, encoded: EncodedBatch, batch: PairBatch, label: Ints1d, sentence: Ints1d) -> Explanation:
        """Weigh the evidence.

        batch (PairBatch): The entity pair of each relation; a pair comes once for each of its relations. P rows.
        label (Ints1d): Column of each relation among the logits. Shape (P,).
        sentence (Ints1d): Sentence, counted within its document, of each token of the batch. Shape (T,).
        """


@dataclass(frozen=True)
class RelationHead:
    """What `@architectures` for heads return.

    build_module (Callable[..., nn.Module]): Called with width= (the encoder's) and n_out= (relations and the
        threshold class). The module maps (EncodedBatch, PairBatch) to named tensors, "logits" (P, n_out) among
        them; it may have the method of Explains.
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


Selection = Tuple[PairBatch, Ints1d, Ints1d]  # arguments of `explain` after the encoder's output


def predict_and_explain(
    model: Model[ModelInput, Scores], docs: List[Doc], batch: PairBatch, select: Callable[[Scores], Selection]
) -> Tuple[Scores, Optional[Explanation]]:
    """Score pairs and explain some of them, encoding the Docs once.

    select (Callable[[Scores], Selection]): Chooses what to explain.
    RETURNS (Tuple[Scores, Optional[Explanation]]): No explanation if the head gives none or nothing was chosen.
    """
    encoded = model.get_ref("tok2vec").predict(docs)
    module: Any = model.shims[0].module  # type: ignore[attr-defined]
    module.eval()
    with torch.no_grad():
        scores: Scores = module(encoded, batch)
        chosen = select(scores)
        if not isinstance(module, Explains) or not len(chosen[0]):
            return scores, None
        return scores, module.explain(encoded, *chosen)
