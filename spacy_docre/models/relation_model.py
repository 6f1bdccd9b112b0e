"""The relation model: an encoder and a head, which is a pair encoder, a decoder and a loss."""

from dataclasses import asdict, dataclass
from typing import Any, Callable, Dict, List, Optional, Protocol, runtime_checkable

import numpy
import torch
from spacy.tokens import Doc
from thinc.api import Model
from torch import Tensor, nn

from ..arrays import Floats1d, Ints1d
from ..batches import PairBatch
from ..layers.encoded import EncodedBatch
from ..layers.evidence import SentenceShares
from .bridge import ModelInput, Scores, build_torch_model


@dataclass(frozen=True)
class RelationLoss:
    """What `@losses` for heads return.

    function (Callable[[Scores, Tensor, Tensor], Tensor]): From what the head's module returns, the gold relations
        (P, R) bool and the document of each pair (P,) int64 to a scalar.
    threshold_class (bool): Whether the first column of the logits is the threshold class TH, with which relations
        compete. Without it each relation has a probability of its own.
    """

    function: Callable[[Scores, Tensor, Tensor], Tensor]
    threshold_class: bool


@dataclass(frozen=True)
class Explanation:
    """What speaks for relations.

    pair, head, tail (Ints1d): Mention pairs: row of the relation, rows of the two mentions. Shape (N,).
    weight (Floats1d): Sums to 1 over the mention pairs of a relation. Shape (N,).
    sentences (Optional[SentenceShares]): How the context's attention spreads over sentences; None for heads without
        attention.
    """

    pair: Ints1d
    head: Ints1d
    tail: Ints1d
    weight: Floats1d
    sentences: Optional[SentenceShares] = None


@runtime_checkable
class Explains(Protocol):
    """A head's module that can say what speaks for a relation."""

    def explain(self, encoded: EncodedBatch, batch: PairBatch, label: Ints1d, sentence: Ints1d) -> Explanation:
        """Weigh the evidence.

        batch (PairBatch): The entity pair of each relation; a pair comes once for each of its relations. P rows.
        label (Ints1d): Column of each relation among the logits. Shape (P,).
        sentence (Ints1d): Sentence, counted within its document, of each token of the batch. Shape (T,).
        """


class TrainedByEM(Protocol):
    """A head's module whose parts are trained in phases: "warmup", then "E" and "M" in turn.

    What its forward pass returns in training is what the phase's loss is computed on.
    """

    def set_state(self, phase: str, n_e_steps: int) -> None:
        """Take the phase and the number of E-steps so far. Called before each forward pass."""

    def trains(self, encoder: int) -> bool:
        """RETURNS (bool): Whether an encoder (0: the relation model's, 1: the head's own) learns in this phase."""


@dataclass(frozen=True)
class PhaseLengths:
    """How long phases last where no callback of the training says so.

    warmup (int): Steps before the first E phase.
    phase (int): Steps of an E or M phase.
    """

    warmup: int
    phase: int


@dataclass(frozen=True)
class RelationHead:
    """What `@architectures` for heads return.

    build_module (Callable[..., nn.Module]): Called with width= (the encoder's) and n_out= (relations, and one more
        for the threshold class if the loss has it). The module maps (EncodedBatch, PairBatch) to named tensors,
        "logits" (P, n_out) among them; it may have the method of Explains.
    loss (RelationLoss): What it is trained on.
    uses_types (bool): Whether the module looks at the types of entities: `build_module` is then called with n_types=
        as well, and PairBatch.entities.label is -1 or below n_types.
    encoder (Optional[Model]): An encoder of the head's own, beside the relation model's: `build_module` is then called
        with second_width= as well, and EncodedBatch.second is its output.
    phases (Optional[PhaseLengths]): For modules that are TrainedByEM.
    """

    build_module: Callable[..., nn.Module]
    loss: RelationLoss
    uses_types: bool = False
    encoder: Optional[Model[Any, EncodedBatch]] = None
    phases: Optional[PhaseLengths] = None


def build_relation_model(
    tok2vec: Model[List[Doc], Any], head: RelationHead, *, learn_rate_scale: float = 1.0, mixed_precision: bool = False
) -> Model[ModelInput, Scores]:
    """Join an encoder and a relation head.

    tok2vec (Model): A docre encoder, plain or marked, or the listener to one.
    head (RelationHead): Pair encoder, decoder and loss.
    learn_rate_scale (float): Multiplies the optimizer's rate for the head.
    mixed_precision (bool): Compute the head in bfloat16 in training.
    RETURNS (Model): Its attribute "loss" takes scores, gold relations (P, R) and the document of each pair (P,).
    """

    def loss(scores: Scores, gold: numpy.ndarray, doc: Ints1d) -> Tensor:
        device = next(iter(scores.values())).device
        return head.loss.function(scores, torch.as_tensor(gold, device=device), torch.as_tensor(doc, device=device))

    phases: Dict[str, int] = {} if head.phases is None else asdict(head.phases)
    return build_torch_model(
        "relations",
        tok2vec,
        head.build_module,
        learn_rate_scale=learn_rate_scale,
        mixed_precision=mixed_precision,
        sizes=["n_types"] if head.uses_types else [],
        second=head.encoder,
        encoder_input=get_encoder_input,
        attrs={"loss": loss, "threshold_class": head.loss.threshold_class, "phases": phases},
    )


def get_encoder_input(encoder: Model, docs: List[Doc], batch: PairBatch) -> Any:
    """RETURNS (Any): The Docs, and for an encoder that marks them their mentions."""
    return (docs, batch.entities.mentions) if "marker" in encoder.attrs else docs


def relation_scores(logits: Tensor, alpha: Optional[float], temperature: float = 1.0) -> numpy.ndarray:
    """Score relations: sigmoid((f_r - f_TH) / T), or sigmoid((f_r - logit(alpha)) / T) without a threshold class.

    logits (Tensor): Shape (P, 1 + R), column 0 is TH; or (P, R).
    alpha (Optional[float]): Probability from which a relation holds; None if there is a threshold class.
    temperature (float): T, which calibration on gold documents finds.
    RETURNS (numpy.ndarray): 0.5 at the threshold. Shape (P, R).
    """
    logits = logits.double()
    above = logits[:, 1:] - logits[:, :1] if alpha is None else logits - logits.new_tensor(alpha).logit()
    return (above / temperature).sigmoid().cpu().numpy()


def score(model: Model[ModelInput, Scores], encoded: EncodedBatch, batch: PairBatch) -> Scores:
    """Score entity pairs, without gradient."""
    module: Any = model.shims[0].module  # type: ignore[attr-defined]
    module.eval()
    with torch.no_grad():
        return module(encoded, batch)


def explain(
    model: Model[ModelInput, Scores], encoded: EncodedBatch, batch: PairBatch, label: Ints1d, sentence: Ints1d
) -> Optional[Explanation]:
    """Find what speaks for relations; see `Explains`.

    RETURNS (Optional[Explanation]): None if the head explains nothing, or there is no relation.
    """
    module: Any = model.shims[0].module  # type: ignore[attr-defined]
    module.eval()
    with torch.no_grad():
        return module.explain(encoded, batch, label, sentence) if isinstance(module, Explains) and len(batch) else None
