"""A trained pipeline as members of one small file, and back.

The members are JSON, a config, tokenizer files and safetensors; no code, no pickle. A config names registered
functions: of those that are installed, as any config does.
"""

import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import srsly
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from spacy.language import Language
from spacy.tokenizer import Tokenizer
from spacy.util import load_model_from_config
from spacy_transformers.layers.hf_shim import HFShim
from thinc.api import Config, Model
from thinc.shims import Shim
from torch import Tensor

from .. import about
from ..errors import Errors
from ..models.torch_model import TorchShim
from .archive import NAME
from .quantize import pack_state, relative_error, unpack_state

FORMAT = "spacy_docre.packed"
FORMAT_VERSION = 1
META_KEYS = ("description", "author", "email", "url", "license", "sources", "notes")
TOKENIZER_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_\-]*(\.[A-Za-z0-9_\-]+)*\.(json|txt|model)")
ABSOLUTE = re.compile(r"(/|~|\\\\|[A-Za-z]:[\\/]).*")

Members = Dict[str, bytes]


@dataclass(frozen=True)
class PackedComponent:
    """The weights of a packed component.

    name (str): Its name in the pipeline.
    weights (int): Number of its weights.
    error (float): Largest relative error of one of its tensors.
    """

    name: str
    weights: int
    error: float


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


# Components with a model


def walk_shims(model: Model) -> Iterator[Tuple[str, Shim]]:
    """YIELDS (Tuple[str, Shim]): The holders of weights in a model, named by their position."""
    for i, node in enumerate(model.walk()):
        for j, shim in enumerate(node.shims):
            yield f"{i}-{j}", shim


def pack_component(name: str, component: Any, members: Members, packed: List[PackedComponent]) -> Dict[str, Any]:
    """Add a component's settings and weights to the members. RETURNS (Dict[str, Any]): Its part of the manifest."""
    folder = f"components/{name}"
    model = component.model
    if not isinstance(getattr(component, "cfg", None), dict) or any(n.param_names for n in model.walk()):
        raise ValueError(Errors.R151.format(name=name, problem="its weights are not those of a docre component"))
    members[f"{folder}/cfg.json"] = dump_json(component.cfg)
    for extra, data in getattr(component, "get_extras", dict)().items():
        members[f"{folder}/{extra}.json"] = dump_json(data)
    nodes = [{"name": n.name, "dims": {d: n.get_dim(d) for d in n.dim_names if n.has_dim(d)}} for n in model.walk()]
    parts: Dict[str, Any] = {"nodes": nodes, "shims": {}}
    weights, error = 0, 0.0
    for key, shim in walk_shims(model):
        if isinstance(shim, TorchShim) and shim.module is not None:
            state = shim.module.state_dict()
            parts["shims"][key] = {"kind": "torch", "sizes": shim.sizes}
        elif isinstance(shim, HFShim) and shim._hfmodel.transformer is not None:
            state = shim._hfmodel.transformer.state_dict()
            parts["shims"][key] = {"kind": "encoder", **pack_encoder(name, shim, f"{folder}/{key}", members)}
        else:
            known = isinstance(shim, (TorchShim, HFShim))
            problem = (
                "it is not trained" if known else f"{type(shim).__name__} does not hold weights as this package does"
            )
            raise ValueError(Errors.R151.format(name=name, problem=problem))
        small = pack_state(state)
        members[f"{folder}/{key}.safetensors"] = save_tensors(small)
        weights += sum(t.numel() for t in state.values())
        error = max(error, relative_error(state, unpack_state(small)))
    packed.append(PackedComponent(name, weights, error))
    return parts


def unpack_component(component: Any, folder: str, parts: Dict[str, Any], members: Members, path: Path) -> None:
    """Give a component its settings and weights back."""
    component.cfg.update(json.loads(members[f"{folder}/cfg.json"]))
    extras = {name: f"{folder}/{name}.json" for name in getattr(component, "extras", ())}
    if extras:
        component.set_extras({name: json.loads(members[m]) for name, m in extras.items() if m in members})
    nodes = list(component.model.walk())
    if [node.name for node in nodes] != [node["name"] for node in parts["nodes"]]:
        raise ValueError(Errors.R154.format(path=path, name=component.name, problem="its model has other layers"))
    for node, saved in zip(nodes, parts["nodes"]):
        for dim, value in saved["dims"].items():
            node.set_dim(dim, value, force=True)
    shims = dict(walk_shims(component.model))
    if set(shims) != set(parts["shims"]):
        raise ValueError(Errors.R154.format(path=path, name=component.name, problem="its model has other layers"))
    for key, shim in shims.items():
        saved = parts["shims"][key]
        state = unpack_state(load_tensors(members[f"{folder}/{key}.safetensors"]))
        if isinstance(shim, TorchShim) and saved["kind"] == "torch":
            module = shim.build(**saved["sizes"])
            check_state(module.state_dict(), state, component.name, path)
            module.load_state_dict(state)
        elif isinstance(shim, HFShim) and saved["kind"] == "encoder":
            unpack_encoder(shim, state, saved, f"{folder}/{key}", members, component.name, path)
        else:
            raise ValueError(Errors.R154.format(path=path, name=component.name, problem="its model has other layers"))


def check_state(wanted: Dict[str, Tensor], state: Dict[str, Tensor], name: str, path: Path) -> None:
    """RAISES (ValueError): If names or shapes of tensors differ."""
    for key in sorted(set(wanted) | set(state)):
        shapes = [tuple(s[key].shape) if key in s else None for s in (wanted, state)]
        if shapes[0] != shapes[1]:
            problem = f"the weights {key!r} have shape {shapes[1]} in the file, {shapes[0]} in the model"
            raise ValueError(Errors.R154.format(path=path, name=name, problem=problem))


def pack_encoder(name: str, shim: HFShim, folder: str, members: Members) -> Dict[str, Any]:
    """Add an encoder's config and tokenizer files. RETURNS (Dict[str, Any]): How the tokenizer is to be loaded."""
    msg = srsly.msgpack_loads(shim.to_bytes())  # spacy-transformers knows best which files a tokenizer needs
    members[f"{folder}/config.json"] = dump_json({**msg["config"], "_name_or_path": ""})
    kwargs = msg["tokenizer"].pop("kwargs", {})
    for file_name, data in msg["tokenizer"].items():
        if not TOKENIZER_FILE.fullmatch(file_name):
            raise ValueError(Errors.R151.format(name=name, problem=f"the tokenizer's file {file_name!r} is not data"))
        if file_name == "tokenizer_config.json":  # its only paths: where the tokenizer once came from
            settings = json.loads(data)
            data = dump_json({k: strip_folders(v) if isinstance(v, str) else v for k, v in settings.items()})
        members[f"{folder}/tokenizer/{file_name}"] = data
    return {"use_fast": bool(kwargs.get("use_fast", True))}


def unpack_encoder(
    shim: HFShim, state: Dict[str, Tensor], saved: Dict[str, Any], folder: str, members: Members, name: str, path: Path
) -> None:
    """Give an encoder its config, tokenizer and weights back, by spacy-transformers' own loading."""
    config = json.loads(members[f"{folder}/config.json"])
    prefix = f"{folder}/tokenizer/"
    files = {member[len(prefix) :]: data for member, data in members.items() if member.startswith(prefix)}
    for file_name, data in files.items():
        # With "auto_map" transformers would look for code beside the weights.
        is_code = file_name.endswith(".json") and has_key(json.loads(data), "auto_map")
        if is_code or not TOKENIZER_FILE.fullmatch(file_name):
            raise ValueError(Errors.R152.format(path=path, member=prefix + file_name))
    if has_key(config, "auto_map"):
        raise ValueError(Errors.R152.format(path=path, member=f"{folder}/config.json"))
    buffer = io.BytesIO()
    torch.save(state, buffer)
    msg = {
        "config": config,
        "state": buffer.getvalue(),
        "tokenizer": {**files, "kwargs": {"use_fast": bool(saved["use_fast"])}},
        "_init_tokenizer_config": {},
        "_init_transformer_config": {},
    }
    shim.from_bytes(srsly.msgpack_dumps(msg))
    check_state(shim._hfmodel.transformer.state_dict(), state, name, path)


# Everything else


def plain_state(name: str, component: Any) -> Any:
    """Turn a component without a model into JSON data; None if it has no state.

    RAISES (ValueError): If its state is more than plain settings.
    """
    data = component.to_bytes() if hasattr(component, "to_bytes") else b""
    state = srsly.msgpack_loads(data) if data else None
    try:
        json.dumps(state)
    except TypeError:
        raise ValueError(Errors.R151.format(name=name, problem="it holds more than plain settings")) from None
    return state


def tokenizer_to_json(nlp: Language) -> Dict[str, Any]:
    """Turn the patterns and exceptions of spaCy's tokenizer into JSON data. JSON keys are text, so the attributes of an
    exception's tokens become pairs."""
    if not isinstance(nlp.tokenizer, Tokenizer):
        raise ValueError(Errors.R151.format(name="tokenizer", problem=f"it is a {type(nlp.tokenizer).__name__}"))
    msg = srsly.msgpack_loads(nlp.tokenizer.to_bytes(exclude=["vocab"]))
    msg["exceptions"] = {
        text: [[[k, v] for k, v in token.items()] for token in tokens] for text, tokens in msg["exceptions"].items()
    }
    return msg


def tokenizer_from_json(nlp: Language, msg: Dict[str, Any]) -> None:
    tokenizer: Any = nlp.tokenizer
    exceptions = {text: [{k: v for k, v in token} for token in tokens] for text, tokens in msg["exceptions"].items()}
    tokenizer.from_bytes(srsly.msgpack_dumps({**msg, "exceptions": exceptions}))


def clean_config(config: Config) -> Config:
    """Copy a config, and take the folders off the absolute paths of encoders and data."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: clean(v) for key, v in value.items()}
        return ",".join(map(strip_folders, value.split(","))) if isinstance(value, str) else value

    return Config(clean(dict(Config().from_str(config.to_str(interpolate=False), interpolate=False))))


def strip_folders(value: str) -> str:
    """Take the last part of an absolute path; any other text stays as it is."""
    return re.split(r"[\\/]", value.rstrip("\\/"))[-1] if len(value) > 1 and ABSOLUTE.fullmatch(value) else value


def read_meta(meta: Dict[str, Any], path: Path) -> Dict[str, Any]:
    """Check a pipeline's meta.json, and take its harmless part: no requirements for pip, no paths."""
    for key, pattern in (("lang", r"[a-z]{2,3}"), ("name", r"[A-Za-z][A-Za-z0-9_]*"), ("version", r"[A-Za-z0-9.+\-]+")):
        if not isinstance(meta[key], str) or not re.fullmatch(pattern, meta[key]):
            raise ValueError(Errors.R159.format(path=path, problem=f"{key} is {meta[key]!r}."))
    return {key: meta[key] for key in (*META_KEYS, "lang", "name", "version", "performance") if key in meta}


def read_config(data: bytes, path: Path) -> Config:
    """Read a pipeline's config.

    RAISES (ValueError): If a component is named like a path, or is to be taken from another pipeline.
    """
    config = Config().from_str(data.decode("utf8"), interpolate=False)
    if not re.fullmatch(r"[a-z]{2,3}", str(config["nlp"]["lang"])):
        raise ValueError(Errors.R159.format(path=path, problem=f"its language is {config['nlp']['lang']!r}."))
    for name, block in config["components"].items():
        if not NAME.fullmatch(name) or "source" in block:
            raise ValueError(Errors.R159.format(path=path, problem=f"its config has the component {name!r}."))
    return config


def has_key(value: Any, key: str) -> bool:
    """RETURNS (bool): Whether JSON data has a key somewhere."""
    if isinstance(value, dict):
        return key in value or any(has_key(v, key) for v in value.values())
    return isinstance(value, list) and any(has_key(v, key) for v in value)


def dump_json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=False) + "\n").encode("utf8")
