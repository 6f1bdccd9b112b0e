"""A component with a model as members of a packed file: settings as JSON, weights as safetensors; and back."""

import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import srsly
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from spacy_transformers.layers.hf_shim import HFShim
from thinc.api import Model
from thinc.shims import Shim
from torch import Tensor

from ..errors import Errors
from ..models.torch_model import TorchShim
from .plain import Members, dump_json, has_key, strip_folders
from .quantize import pack_state, relative_error, unpack_state

TOKENIZER_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_\-]*(\.[A-Za-z0-9_\-]+)*\.(json|txt|model)")


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
    load_cfg = getattr(component, "load_cfg", component.cfg.update)
    load_cfg(json.loads(members[f"{folder}/cfg.json"]))
    extras = {name: f"{folder}/{name}.json" for name in getattr(component, "extras", ())}
    if extras:
        component.set_extras({name: json.loads(members[m]) for name, m in extras.items() if m in members})
    other_layers = Errors.R154.format(path=path, name=component.name, problem="its model has other layers")
    nodes = list(component.model.walk())
    if [node.name for node in nodes] != [node["name"] for node in parts["nodes"]]:
        raise ValueError(other_layers)
    for node, saved in zip(nodes, parts["nodes"]):
        for dim, value in saved["dims"].items():
            node.set_dim(dim, value, force=True)
    shims = dict(walk_shims(component.model))
    if set(shims) != set(parts["shims"]):
        raise ValueError(other_layers)
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
            raise ValueError(other_layers)


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
