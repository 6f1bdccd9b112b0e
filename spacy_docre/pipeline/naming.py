"""Other names for a pipeline's components and for what they write, so that two pipelines can work on one Doc."""

from typing import Any, Dict

from spacy.language import Language
from thinc.api import Model

from ..doc.extensions import install_extensions
from ..doc.places import SETTINGS
from ..errors import check
from ..models.transformer.listener import DocreListener
from .adopt import DocreAdopt
from .docre_pipe import DocrePipe
from .transformer import DocreTransformer


def rename_components(nlp: Language, prefix: str) -> None:
    """Put a prefix and "_" before the names of a pipeline's docre components, and before those of the span groups and
    Doc extensions that they read and write. The pipeline is changed in place; it may be trained, can be saved, and its
    config can be trained with.

    nlp (Language): The pipeline.
    prefix (str): What comes before each name, "press" say: then relations are in `doc._.press_relations`.
    RAISES (ValueError): If the prefix can't begin the name of an attribute.
    """
    check("prefix", prefix.isidentifier(), "a name such as press", prefix)
    ours = [name for name, pipe in nlp.components if isinstance(pipe, (DocreTransformer, DocrePipe, DocreAdopt))]
    new = {name: f"{prefix}_{name}" for name in ours}
    for name, component in nlp.components:
        pipe: Any = component
        config = nlp.config.interpolate()["components"][name]
        rename_upstream(config, new)
        for node in pipe.model.walk() if isinstance(getattr(pipe, "model", None), Model) else ():
            if isinstance(node, DocreListener):
                node.upstream_name = new.get(node.upstream_name, node.upstream_name)
        if name in new:
            pipe.name = new[name]
            names = {key: f"{prefix}_{pipe.cfg[key]}" for key in SETTINGS.values() if key in pipe.cfg}
            pipe.cfg.update(names)
            config.update({key: value for key, value in names.items() if key in config})
            if "relations_attr" in names:
                install_extensions(pipe.places)
        nlp.get_pipe_config(name).update(config)
    for name in ours:
        nlp.rename_pipe(name, new[name])
    rename_in_training(nlp.config["training"], new)


def rename_upstream(config: Dict[str, Any], new: Dict[str, str]) -> None:
    """Let all listeners in a component's config name their transformers anew, in place."""
    if config.get("upstream") in new:
        config["upstream"] = new[config["upstream"]]
    for section in config.values():
        if isinstance(section, dict):
            rename_upstream(section, new)


def rename_in_training(config: Dict[str, Any], new: Dict[str, str]) -> None:
    """Let the lists of components in [training], and callbacks with a setting `component`, use the new names, in
    place."""
    for key, value in config.items():
        if isinstance(value, dict):
            rename_in_training(value, new)
        elif key in ("annotating_components", "frozen_components", "component"):
            # A variable such as ${vars.frozen} stays: what it names is not known here.
            config[key] = [new.get(name, name) for name in value] if isinstance(value, list) else new.get(value, value)
