"""A trained pipeline as members of one small file, and back.

The members are JSON, a config, tokenizer files and safetensors; no code, no pickle. A config names registered
functions: of those that are installed, as any config does.
"""

import json
from pathlib import Path
from typing import Any, Dict, List, Tuple

import srsly
from safetensors import SafetensorError
from spacy.language import Language
from spacy.util import load_model_from_config
from thinc.api import Model

from .. import about
from ..errors import Errors
from .components import PackedComponent, pack_component, unpack_component
from .plain import (
    META_KEYS,
    Members,
    clean_config,
    dump_json,
    plain_state,
    read_config,
    read_meta,
    tokenizer_from_json,
    tokenizer_to_json,
)

FORMAT = "spacy_docre.packed"
FORMAT_VERSION = 1


def pack_pipeline(nlp: Language, *, name: str = "docre") -> Tuple[Members, List[PackedComponent]]:
    """Turn a trained pipeline into members of an archive, large weights as 8-bit integers.

    nlp (Language): Made of docre components and of components without a model.
    name (str): Name of the pipeline, without its language.
    RETURNS (Tuple[Members, List[PackedComponent]]): The members by name, and the weights of each component.
    RAISES (ValueError): If a component holds what can't be packed, or is not trained.
    """
    packed: List[PackedComponent] = []
    meta = {key: nlp.meta[key] for key in META_KEYS if nlp.meta.get(key)}
    performance = {k: v for k, v in nlp.meta.get("performance", {}).items() if not k.endswith("_loss")}
    meta.update(lang=nlp.lang, name=name, version=about.__version__, performance=performance)
    manifest: Dict[str, Any] = {"format": FORMAT, "format_version": FORMAT_VERSION, "components": {}}
    members = {
        "meta.json": dump_json(meta),
        "config.cfg": clean_config(nlp.config).to_str(interpolate=False).encode("utf8"),
        "tokenizer.json": dump_json(tokenizer_to_json(nlp)),
    }
    for component_name, component in nlp.components:
        if isinstance(getattr(component, "model", None), Model):
            parts = pack_component(component_name, component, members, packed)
        else:
            parts = {"state": plain_state(component_name, component)}
        manifest["components"][component_name] = parts
    members["manifest.json"] = dump_json(manifest)
    return members, packed


def unpack_pipeline(members: Members, path: Path) -> Language:
    """Build the pipeline that `pack_pipeline` took apart, with float32 weights.

    members (Members): As `read_archive` gives them.
    path (Path): Where they come from, for messages.
    RAISES (ValueError): If something is missing, strange or does not fit the installed components.
    """
    try:
        manifest = json.loads(members["manifest.json"])
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise ValueError(Errors.R159.format(path=path, problem="its manifest.json is of another kind."))
        if manifest["format_version"] != FORMAT_VERSION:
            raise ValueError(Errors.R153.format(path=path, version=manifest["format_version"], known=FORMAT_VERSION))
        meta = read_meta(json.loads(members["meta.json"]), path)
        config = read_config(members["config.cfg"], path)
        nlp = load_model_from_config(config, meta=meta, auto_fill=True)
        tokenizer_from_json(nlp, json.loads(members["tokenizer.json"]))
        if set(manifest["components"]) != set(nlp.component_names):
            raise ValueError(Errors.R159.format(path=path, problem="manifest.json and config.cfg do not agree."))
        component: Any
        for name, component in nlp.components:
            parts = manifest["components"][name]
            if "nodes" in parts:
                unpack_component(component, f"components/{name}", parts, members, path)
            elif parts["state"] is not None:
                component.from_bytes(srsly.msgpack_dumps(parts["state"]))
    except KeyError as e:
        raise ValueError(Errors.R159.format(path=path, problem=f"{e} is missing.")) from e
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError, AttributeError, SafetensorError) as e:
        raise ValueError(Errors.R159.format(path=path, problem=f"it can't be read ({e}).")) from e
    return nlp
