"""The encoder inside a trained spaCy pipeline, as that of any other origin."""

from pathlib import Path
from typing import Any, Dict

from spacy.util import load_config, load_model
from spacy_transformers.data_classes import HFObjects
from spacy_transformers.layers.hf_shim import HFShim
from transformers import AutoModel

from ...errors import Errors

FACTORIES = ("transformer", "docre_transformer")


def is_pipeline(source: str) -> bool:
    """RETURNS (bool): Whether a folder holds a spaCy pipeline."""
    return all((Path(source) / name).is_file() for name in ("config.cfg", "meta.json"))


def read_pipeline(source: str, name: str) -> HFObjects:
    """Load the encoder of a pipeline's transformer and its tokenizer. No other component is built.

    source (str): Folder of the pipeline.
    name (str): What the config calls it, for messages.
    RAISES (ValueError): If there is not exactly one component with an encoder that transformers knows.
    """
    components = load_config(Path(source) / "config.cfg")["components"]
    factories = {key: block.get("factory", "") for key, block in components.items()}
    found = [key for key, factory in factories.items() if factory in FACTORIES]
    if len(found) != 1:
        known = ", ".join(f"{key} ({factory})" for key, factory in factories.items()) or "none"
        problem = f"this pipeline should have one component of the factory {' or '.join(FACTORIES)}, but has: {known}"
        raise ValueError(Errors.R303.format(name=name, problem=problem))
    nlp = load_model(source, exclude=[key for key in factories if key not in found])
    model: Any = nlp.get_pipe(found[0]).model  # type: ignore[attr-defined]
    (shim,) = (shim for node in model.walk() for shim in node.shims if isinstance(shim, HFShim))
    if shim._hfmodel.transformer is None:
        raise ValueError(Errors.R303.format(name=name, problem=f"its component '{found[0]}' was never trained"))
    return shim._hfmodel


def rebuild(objects: HFObjects, settings: Dict[str, Any]) -> HFObjects:
    """Make an encoder of the same weights and tokenizer, with other settings in its config."""
    old = objects.transformer
    # Through plain data, by which the attention kernel is chosen anew.
    config = type(old.config).from_dict({**old.config.to_dict(), **settings})
    transformer = AutoModel.from_config(config)
    transformer.load_state_dict(old.state_dict())
    return HFObjects(objects.tokenizer, transformer.eval(), objects.vocab_file_contents)
