"""Continue training from the weights of an earlier pipeline."""

import warnings
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from spacy.language import Language
from spacy.util import load_model
from thinc.api import Model

from ..errors import Errors, Warnings


def create_init_from(path: Optional[str]) -> Callable[[Language], None]:
    """Create a callback for [initialize.after_init] that loads weights into components of the same name.

    Components built otherwise (with another relation head, say) start afresh, with a warning.

    path (Optional[str]): Folder or package of a trained pipeline; None or "" to start afresh.
    RAISES (ValueError): If there is no such pipeline, or the labels of a component differ.
    """

    def init_from(nlp: Language) -> None:
        if not path:
            return
        if not Path(path).exists() and not path.isidentifier():
            raise ValueError(Errors.R209.format(path=path, problem="no such folder"))
        source = load_model(path, vocab=nlp.vocab)
        shared = [name for name in nlp.pipe_names if name in source.pipe_names and hasattr(nlp.get_pipe(name), "model")]
        if not shared:
            raise ValueError(Errors.R209.format(path=path, problem="it has no trained component of this pipeline"))
        for name in shared:
            old: Any = source.get_pipe(name)
            new: Any = nlp.get_pipe(name)
            check_same(path, name, getattr(new, "labels", ()), getattr(old, "labels", ()))
            if layer_shapes(old.model) != layer_shapes(new.model):
                warnings.warn(Warnings.RW14.format(path=path, name=name), stacklevel=2)
                continue
            types = [getattr(pipe, "cfg", {}).get("entity_types", ()) for pipe in (new, old)]
            check_same(path, name, *types)
            # Settings are those of this config; only weights come from there.
            settings = [dict(node.attrs) for node in new.model.walk()]
            new.model.from_bytes(old.model.to_bytes())
            for node, attrs in zip(new.model.walk(), settings):
                node.attrs.update(attrs)
            if getattr(old, "facts", None) and getattr(new, "facts", None) is not None:
                new.facts |= old.facts  # these weights have seen them

    return init_from


def layer_shapes(model: Model) -> List[Dict[str, Tuple[int, ...]]]:
    """List the names and shapes of the weights of each torch module."""
    modules = [shim._model for node in model.walk() for shim in node.shims]
    return [{} if m is None else {name: tuple(t.shape) for name, t in m.state_dict().items()} for m in modules]


def check_same(path: str, name: str, new: Sequence[str], old: Sequence[str]) -> None:
    """RAISES (ValueError): If the labels of a component are not those it has in the earlier pipeline."""
    if list(new) != list(old):
        raise ValueError(Errors.R208.format(path=path, name=name, new=list(new), old=list(old)))
