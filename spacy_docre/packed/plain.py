"""The parts of a packed file that are plain data: meta, config, tokenizer, components without a model."""

import json
import re
from pathlib import Path
from typing import Any, Dict

import srsly
from spacy.language import Language
from spacy.tokenizer import Tokenizer
from thinc.api import Config

from ..errors import Errors
from .archive import NAME

META_KEYS = ("description", "author", "email", "url", "license", "sources", "notes")
ABSOLUTE = re.compile(r"(/|~|\\\\|[A-Za-z]:[\\/]).*")

Members = Dict[str, bytes]


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
