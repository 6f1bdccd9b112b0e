"""What a relation head is: a torch module, its loss, and the hooks that it may have."""

from dataclasses import dataclass
from typing import Any, Callable, Optional, Protocol, runtime_checkable

from thinc.api import Model
from torch import Tensor, nn

from ..arrays import Floats1d, Ints1d
from ..batches import PairBatch
from ..layers.encoded import EncodedBatch
from ..layers.evidence import SentenceShares
from .torch_model import Scores


@dataclass(frozen=True)
class RelationLoss:
    """The loss that a head is trained on, as `@losses` of a config give it.

    function (Callable[[Scores, Tensor, Tensor], Tensor]): From what the head's module returns, the gold relations
        (P, R) bool and the document of each pair (P,) int64 to a scalar.
    threshold_class (bool): Whether the first column of the logits is the threshold class TH, with which relations
        compete. Without it each relation has a probability of its own.
    """

    function: Callable[[Scores, Tensor, Tensor], Tensor]
    threshold_class: bool


@dataclass(frozen=True)
class Explanation:
    """The evidence for relations.

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
    """A head's module that can weigh the evidence for a relation."""

    def explain(self, encoded: EncodedBatch, batch: PairBatch, label: Ints1d, sentence: Ints1d) -> Explanation:
        """Weigh the evidence.

        batch (PairBatch): The entity pair of each relation; a pair comes once for each of its relations. P rows.
        label (Ints1d): Column of each relation among the logits. Shape (P,).
        sentence (Ints1d): Sentence, counted within its document, of each token of the batch. Shape (T,).
        """


class TrainsEncoders(Protocol):
    """A head's module that decides, step by step, which encoders learn. Without this method all of them do."""

    def trains(self, encoder: int) -> bool:
        """RETURNS (bool): Whether an encoder (0: the relation model's, 1: the head's own) learns in this step."""


class TrainedByEM(TrainsEncoders, Protocol):
    """A head's module whose parts are trained in phases: "warmup", then "E" and "M" in turn.

    Its forward pass returns in training the scores that the phase's loss is computed on.
    """

    def set_state(self, phase: str, n_e_steps: int) -> None:
        """Take the phase and the number of E-steps so far. Called before each forward pass."""


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
    """A relation head: a torch module and its loss, as `@architectures` of a config give them.

    build_module (Callable[..., nn.Module]): Called with width= (the encoder's) and n_out= (relations, and one more
        for the threshold class if the loss has it). The module maps (EncodedBatch, PairBatch) to named tensors,
        "logits" (P, n_out) among them; it may have the methods of Explains and TrainsEncoders.
    loss (RelationLoss): The loss that the module is trained on.
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
