"""Heads that are trained by expectation maximisation: a warm-up, then E and M in turn (KMGRE, algorithm 1)."""

from typing import Any, Dict, Iterable, List, Tuple

from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer
from wasabi import msg

from ..models.torch_model import ModelInput, Scores
from .relation_pipe import DocreRelations, Records

WARMUP, E, M = "warmup", "E", "M"


class Phases:
    """The phase a head is in, how many steps were done in each, and who decides: the steps, or a callback.

    warmup (int): Steps before the first E phase, where no callback decides.
    phase (int): Steps of an E or M phase, where no callback decides.
    """

    def __init__(self, *, warmup: int, phase: int) -> None:
        self.warmup = warmup
        self.length = phase
        self.current = WARMUP
        self.steps = {WARMUP: 0, E: 0, M: 0}
        self.led = False  # whether a callback decides

    @property
    def n_turns(self) -> int:
        """RETURNS (int): Number of steps done in E and M phases."""
        return self.steps[E] + self.steps[M]

    def choose(self, warm: bool, turn: int) -> str:
        """Choose the phase of a turn: E where it is even, M where it is odd.

        A component that has left the warm-up never returns to it, even when training resumes.

        warm (bool): Whether it is early enough for the warm-up.
        """
        return WARMUP if warm and not self.n_turns else (E, M)[turn % 2]

    def follow_steps(self) -> str:
        """Choose the phase by the number of steps done and the lengths of phases."""
        return self.choose(self.steps[WARMUP] < self.warmup, self.n_turns // self.length)

    def follow_epochs(self, epoch: int, warmup_epochs: int, length: Any) -> str:
        """Choose the phase by the epoch; see `spacy-docre.em_schedule.v1`.

        length (Union[int, str]): Of an E or M phase: "epoch", or a number of steps.
        """
        turn = epoch - warmup_epochs if length == "epoch" else self.n_turns // length
        return self.choose(epoch < warmup_epochs, turn)

    def describe(self) -> str:
        """Write the number of steps done in each phase, for the training log."""
        return ", ".join(f"{phase} {n}" for phase, n in self.steps.items())

    def to_dict(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): The phase and the counts."""
        return {"phase": self.current, **self.steps}

    def from_dict(self, data: Dict[str, Any]) -> None:
        """Take over a saved phase and its counts."""
        self.current = data["phase"]
        self.steps = {phase: data[phase] for phase in self.steps}


class PhasedRelations(DocreRelations):
    """A relation component whose head is trained in phases; see models.relation_head.TrainedByEM.

    Until a callback enters a phase, the component counts steps and decides itself.
    """

    extras: Tuple[str, ...] = (*DocreRelations.extras, "phases")

    def __init__(self, vocab: Vocab, model: Model[ModelInput, Scores], name: str, **settings: Any) -> None:
        super().__init__(vocab, model, name, **settings)
        self.phases = Phases(**self.model.attrs["phases"])
        self._learned = False  # since the last step of the optimizer

    def enter_phase(self, phase: str) -> None:
        """Begin a phase, or go on in it. Once a callback has called this, it decides the phases; until then the
        component counts steps itself."""
        self.phases.led = True
        self._enter(phase)

    def _enter(self, phase: str) -> None:
        if phase != self.phases.current:
            self.phases.current = phase
            msg.info(f"'{self.name}': phase {phase}; steps so far: {self.phases.describe()}")

    def _hand_over(self) -> None:
        """Tell the head's module the phase, and the steps from which its threshold follows."""
        self.module.set_state(self.phases.current, self.phases.steps[E])

    def update(self, examples: Iterable[Example], **kwargs: Any) -> Dict[str, float]:
        """Learn from a batch what the phase trains; see DocrePipe.update."""
        if not self.phases.led:
            self._enter(self.phases.follow_steps())
        self._hand_over()
        self._learned = True
        return super().update(examples, **kwargs)

    def finish_update(self, sgd: Optimizer) -> None:
        super().finish_update(sgd)
        self.phases.steps[self.phases.current] += self._learned
        self._learned = False

    def predict(self, docs: Iterable[Doc]) -> List[Records]:
        """See DocreRelations.predict."""
        self.check_trained()
        self._hand_over()
        return super().predict(docs)

    def get_extras(self) -> Dict[str, Any]:
        return {**super().get_extras(), "phases": self.phases.to_dict()}

    def set_extras(self, extras: Dict[str, Any]) -> None:
        super().set_extras(extras)
        if "phases" in extras:
            self.phases.from_dict(extras["phases"])

    def load_cfg(self, cfg: Dict[str, Any]) -> None:
        # Version 0.1 kept the phases among the settings.
        saved = dict(cfg)
        if "em" in saved:
            self.phases.from_dict(saved.pop("em"))
        super().load_cfg(saved)
