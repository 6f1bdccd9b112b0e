"""Loading of encoders, and capture of the last layer's queries and keys."""

import importlib.util
import logging
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import torch
from spacy_transformers.data_classes import HFObjects
from spacy_transformers.layers.transformer_model import huggingface_from_pretrained
from torch import Tensor, nn
from transformers import AutoConfig, PreTrainedModel

from ...errors import Errors

logger = logging.getLogger("spacy_docre")

_PACKAGE = "package:"


def resolve_encoder(name: str) -> str:
    """Turn an encoder name of a config into what transformers loads.

    name (str): A Hugging Face name, a folder, or "package:NAME" for weights inside an installed Python package.
    RETURNS (str): A Hugging Face name or a folder.
    RAISES (ValueError): If the package or its weights cannot be found.
    """
    if not name.startswith(_PACKAGE):
        return name
    package = name[len(_PACKAGE) :]
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(Errors.R303.format(name=name, problem=f"no package {package!r} is installed"))
    for location in spec.submodule_search_locations:
        configs = sorted(Path(location).rglob("config.json"), key=lambda p: (len(p.parts), str(p)))
        found = [c.parent for c in configs if any(c.parent.glob("*.safetensors")) or any(c.parent.glob("*.bin"))]
        if found:
            return str(found[0])
    raise ValueError(Errors.R303.format(name=name, problem=f"package {package!r} holds no config.json with weights"))


def public_name(name: str) -> str:
    """RETURNS (str): The name of an encoder; of a folder, its last part."""
    return Path(name).resolve().name if Path(name).is_dir() else name


def load_encoder(name: str, *, dropout: float, attention_dropout: float, options: Dict[str, Any]) -> HFObjects:
    """Load a pretrained encoder and its tokenizer.

    dropout, attention_dropout (float): Rates in training; set where the encoder's config has such a setting.
    options (Dict[str, Any]): Other settings of the encoder's config.
    RAISES (ValueError): If there is no such encoder.
    """
    source = resolve_encoder(name)
    if Path(source).is_dir() and not (Path(source) / "config.json").is_file():
        raise ValueError(Errors.R303.format(name=name, problem="the folder holds no config.json"))
    try:
        config = AutoConfig.from_pretrained(source)
        rates = {
            **{key: dropout for key in ("hidden_dropout_prob", "dropout", "hidden_dropout") if hasattr(config, key)},
            **{
                key: attention_dropout
                for key in ("attention_probs_dropout_prob", "attention_dropout")
                if hasattr(config, key)
            },
        }
        objects = huggingface_from_pretrained(source, {"use_fast": True}, {**rates, **options})
    except (OSError, ImportError, ValueError) as error:
        problem = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ValueError(Errors.R303.format(name=name, problem=problem.rstrip("."))) from error
    forget_origin(objects)
    return objects


def forget_origin(objects: HFObjects) -> None:
    """Drop the folder an encoder came from, so that no path of this machine is saved into a model, and the
    tokenizer's saved truncation and padding."""
    objects.transformer.config._name_or_path = ""
    tokenizer = objects.tokenizer
    tokenizer.name_or_path = ""
    tokenizer.init_kwargs.pop("name_or_path", None)
    if tokenizer.is_fast:
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()


def find_query_key(transformer: PreTrainedModel) -> Optional[Tuple[nn.Module, nn.Module]]:
    """Find the last layer's query and key projections, where attention rows follow from them alone.

    RETURNS (Optional[Tuple[nn.Module, nn.Module]]): None for families with relative positions or unknown build:
        their attention is asked for by `output_attentions`, with the slower attention kernel.
    """
    config = transformer.config
    if getattr(config, "position_embedding_type", "absolute") not in ("absolute", None):
        return None
    base: Any = transformer
    if config.model_type in ("bert", "roberta", "xlm-roberta", "camembert", "electra"):
        attention = base.encoder.layer[-1].attention.self
        return attention.query, attention.key
    if config.model_type == "distilbert":
        attention = base.transformer.layer[-1].attention
        return attention.q_lin, attention.k_lin
    if config.model_type == "albert":  # one set of weights for all layers: the last call counts
        attention = base.encoder.albert_layer_groups[-1].albert_layers[-1].attention
        return attention.query, attention.key
    return None


def encode(transformer: PreTrainedModel, input_ids: Tensor, mask: Tensor, half: bool) -> List[Optional[Tensor]]:
    """Run an encoder.

    input_ids (Tensor): Shape (windows, S), int64.
    mask (Tensor): Which positions are not padding. Shape (windows, S), int64.
    half (bool): Compute in bfloat16 where torch's autocast does so.
    RETURNS (List[Optional[Tensor]]): Last hidden states (windows, S, H) float32; the last layer's queries and keys
        (windows, heads, S, D); its attention (windows, heads, S, S) where those are None.
    """
    projections = find_query_key(transformer)
    captured: Dict[str, Tensor] = {}

    def keep(key: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Tensor) -> None:
            captured[key] = output

        return hook

    handles = []
    if projections is not None:
        handles = [m.register_forward_hook(keep(k)) for k, m in zip(("query", "key"), projections)]
    try:
        with torch.autocast(input_ids.device.type, dtype=torch.bfloat16, enabled=half):
            output = transformer(input_ids=input_ids, attention_mask=mask, output_attentions=projections is None)
    finally:
        for handle in handles:
            handle.remove()
    hidden = output.last_hidden_state.float()
    if projections is None:
        return [hidden, None, None, output.attentions[-1].float()]
    n_heads = transformer.config.num_attention_heads

    def by_head(t: Tensor) -> Tensor:
        return t.float().unflatten(-1, (n_heads, -1)).transpose(1, 2)

    return [hidden, by_head(captured["query"]), by_head(captured["key"]), None]
