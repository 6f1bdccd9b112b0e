"""Continue training from the weights of an earlier pipeline."""

from pathlib import Path
from typing import Any, Callable, Optional

from spacy.language import Language
from spacy.util import load_model

from ..errors import Errors


def create_init_from(path: Optional[str]) -> Callable[[Language], None]:
    """Create a callback for [initialize.after_init] that loads weights into components of the same name.

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
            labels = [
                [*getattr(pipe, "labels", ()), *getattr(pipe, "cfg", {}).get("entity_types", ())] for pipe in (old, new)
            ]
            if labels[0] != labels[1]:
                raise ValueError(Errors.R208.format(path=path, name=name, new=labels[0], old=labels[1]))
            # Settings are those of this config; only weights come from there.
            settings = [dict(node.attrs) for node in new.model.walk()]
            new.model.from_bytes(old.model.to_bytes())
            for node, attrs in zip(new.model.walk(), settings):
                node.attrs.update(attrs)

    return init_from
