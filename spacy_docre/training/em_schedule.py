"""A training callback that decides the phases of a head (KMGRE, algorithm 1)."""

from typing import Any, Callable, Dict, Union

from spacy.language import Language

from ..errors import check
from ..pipeline.phases import PhasedRelations


def create_em_schedule(
    component: str = "docre_relations", *, warmup_epochs: int = 2, phase: Union[int, str] = "epoch"
) -> Callable[[Language, Dict[str, Any]], None]:
    """Create a callback for [training.before_update] that leads a head through its phases.

    component (str): Name of the relation component. With a head that has no phases nothing is done.
    warmup_epochs (int): Epochs before the first E phase.
    phase (Union[int, str]): Length of an E or M phase: "epoch", or a number of steps.
    RAISES (ValueError): If phase is neither.
    """
    is_length = phase == "epoch" if isinstance(phase, str) else phase > 0
    check("phase", is_length, '"epoch" or a number of steps above 0', phase, where="spacy-docre.em_schedule.v1")

    def before_update(nlp: Language, info: Dict[str, Any]) -> None:
        pipe = nlp.get_pipe(component)
        if isinstance(pipe, PhasedRelations):
            pipe.enter_phase(pipe.phases.follow_epochs(info["epoch"], warmup_epochs, phase))

    return before_update
