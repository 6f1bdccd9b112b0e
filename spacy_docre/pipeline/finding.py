"""Find the components of a pipeline by what they are, whatever their names."""

from typing import Any, Optional

from spacy.language import Language

from ..errors import Errors


def find_component(nlp: Language, factory: str) -> Any:
    """RETURNS (Any): The pipeline's first component of a factory. RAISES (ValueError): If it has none."""
    for name in nlp.pipe_names:
        if nlp.get_pipe_meta(name).factory == factory:
            return nlp.get_pipe(name)
    raise ValueError(Errors.R212.format(kind=factory, names=", ".join(nlp.pipe_names)))


def find_relations(nlp: Language) -> Optional[Any]:
    """RETURNS (Optional[Any]): The pipeline's first component that writes relations; None if there is none."""
    return next((pipe for _, pipe in nlp.pipeline if "relations_attr" in (getattr(pipe, "cfg", None) or ())), None)
