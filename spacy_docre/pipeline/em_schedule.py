"""The phases of heads that are trained by expectation maximisation: a warm-up, then E and M in turn (KMGRE, algorithm
1). Where a component stands is plain data in its settings, so that it is saved and comes back."""

from typing import Any, Callable, Dict, Union

from spacy.language import Language

from ..errors import Errors

WARMUP, E, M = "warmup", "E", "M"

State = Dict[str, Any]  # "phase", and the number of steps done in each


def start_state() -> State:
    """RETURNS (State): That of a component before training."""
    return {"phase": WARMUP, WARMUP: 0, E: 0, M: 0}


def choose_phase(state: State, warm: bool, turn: int) -> str:
    """RETURNS (str): The phase of a turn: E where it is even, M where it is odd. Who has left the warm-up behind does
    not return to it, in a later training either."""
    return WARMUP if warm and not state[E] + state[M] else (E, M)[turn % 2]


def phase_by_steps(state: State, lengths: Dict[str, int]) -> str:
    """RETURNS (str): The phase that follows from the number of steps and the lengths of phases in steps."""
    return choose_phase(state, state[WARMUP] < lengths["warmup"], (state[E] + state[M]) // lengths["phase"])


def describe_steps(state: State) -> str:
    """RETURNS (str): The number of steps done in each phase, as the training log has it."""
    return ", ".join(f"{phase} {state[phase]}" for phase in (WARMUP, E, M))


def create_em_schedule(
    component: str = "docre_relations", *, warmup_epochs: int = 2, phase: Union[int, str] = "epoch"
) -> Callable[[Language, Dict[str, Any]], None]:
    """Create a callback for [training.before_update] that leads a head through its phases.

    component (str): Name of the relation component. With a head that has no phases nothing is done.
    warmup_epochs (int): Epochs before the first E phase.
    phase (Union[int, str]): Length of an E or M phase: "epoch", or a number of steps.
    RAISES (ValueError): If phase is neither.
    """
    if isinstance(phase, str) and phase != "epoch" or isinstance(phase, int) and phase < 1:
        raise ValueError(
            Errors.R310.format(setting="phase", expected='"epoch" or a number of steps above 0', value=phase)
        )

    def before_update(nlp: Language, info: Dict[str, Any]) -> None:
        pipe: Any = nlp.get_pipe(component)
        state, epoch = pipe.cfg.get("em"), info["epoch"]
        if state is not None:
            turn = epoch - warmup_epochs if isinstance(phase, str) else (state[E] + state[M]) // phase
            pipe.enter_phase(choose_phase(state, epoch < warmup_epochs, turn))

    return before_update
