"""Find the components of a pipeline by what they do. Every command asks here, so that all of them name the same one."""

from typing import Any, Callable, Mapping, Optional, get_type_hints

from spacy.language import Language
from spacy.util import registry

from .errors import Errors


def find_relations(nlp: Language) -> Any:
    """Find the component that writes relations: one with a setting `relations_attr`.

    Of several the last counts. What it writes is what stays on the Doc where two write to one place, and its scores are
    those that `nlp.evaluate` returns.

    nlp (Language): The pipeline.
    RETURNS (Any): The component; None if there is none.
    """
    return _find_last(nlp, lambda name, pipe: "relations_attr" in (getattr(pipe, "cfg", None) or ()))


def require_relations(nlp: Language) -> Any:
    """Find the component that writes relations, see `find_relations`.

    RAISES (ValueError): If the pipeline has none.
    """
    pipe = find_relations(nlp)
    if pipe is None:
        raise ValueError(Errors.R173.format(model=nlp.path or "The pipeline", names=", ".join(nlp.pipe_names)))
    return pipe


def find_component(nlp: Language, factory: str, settings: Mapping[str, Any] = {}, name: Optional[str] = None) -> Any:
    """Find the component of a factory, or of a class derived from what the factory makes. Of several the last counts.

    factory (str): Name of the factory, such as "docre_mentions".
    settings (Mapping[str, Any]): Settings that have these values where the component has them, such as its places.
    name (Optional[str]): Name that the component has; None for any.
    RETURNS (Any): The component.
    RAISES (ValueError): If the pipeline has none.
    """
    made = get_type_hints(registry.factories.get(factory)).get("return")
    kinds = made if isinstance(made, type) else ()

    def fits(named: str, pipe: Any) -> bool:
        if name not in (None, named) or not (nlp.get_pipe_meta(named).factory == factory or isinstance(pipe, kinds)):
            return False
        cfg = getattr(pipe, "cfg", {})
        return all(cfg.get(setting, value) == value for setting, value in settings.items())

    found = _find_last(nlp, fits)
    if found is None:
        raise ValueError(Errors.R212.format(kind=factory, names=", ".join(nlp.pipe_names)))
    return found


def _find_last(nlp: Language, fits: Callable[[str, Any], bool]) -> Any:
    return next((pipe for name, pipe in reversed(nlp.pipeline) if fits(name, pipe)), None)
