"""Loading of encoders, and the way to their last layer's attention."""

import contextlib
import importlib.util
import textwrap
import warnings
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Tuple
from weakref import WeakKeyDictionary

import torch
from spacy_transformers.data_classes import HFObjects
from thinc.api import get_torch_default_device
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as transformers_logging

from ...errors import Errors, Warnings
from ...layers.planes import Planes
from .from_pipeline import is_pipeline, read_pipeline, rebuild

Projections = Tuple[nn.Module, nn.Module]

_PACKAGE = "package:"
_DROPOUT = "hidden_dropout_prob dropout hidden_dropout resid_pdrop embd_pdrop embedding_dropout mlp_dropout".split()
_ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout", "attn_pdrop")
_QUERY_AND_KEY = {"query": "key", "q_lin": "k_lin"}
_PROBE_LENGTH = 160  # beyond the reach of most kinds of local attention
_known: "WeakKeyDictionary[PreTrainedModel, Optional[Projections]]" = WeakKeyDictionary()


def resolve_encoder(name: str) -> str:
    """Turn an encoder name of a config into what transformers loads.

    name (str): A Hugging Face name, a folder, or "package:NAME" for weights inside an installed Python package. Folder
        and package may hold a spaCy pipeline instead, whose transformer is meant then.
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
        configs = sorted(Path(location).rglob("config.*"), key=lambda p: (len(p.parts), str(p)))
        found = [c.parent for c in configs if _holds_encoder(c)]
        if found:
            return str(found[0])
    problem = f"package {package!r} holds no config.json with weights, and no pipeline"
    raise ValueError(Errors.R303.format(name=name, problem=problem))


def _holds_encoder(config: Path) -> bool:
    folder = config.parent
    if config.name == "config.json":
        return any(folder.glob("*.safetensors")) or any(folder.glob("*.bin"))
    return config.name == "config.cfg" and is_pipeline(str(folder))


def public_name(name: str) -> str:
    """Shorten a folder's name to its last part; other names of encoders stay."""
    return Path(name).resolve().name if Path(name).is_dir() else name


def load_encoder(name: str, *, dropout: float, attention_dropout: float, options: Dict[str, Any]) -> HFObjects:
    """Load a pretrained encoder and its tokenizer.

    dropout, attention_dropout (float): Rates in training; set where the encoder's config has such a setting.
    options (Dict[str, Any]): Other settings of the encoder's config.
    RAISES (ValueError): If there is no such encoder, or its attention can't be had.
    """
    source = resolve_encoder(name)
    if is_pipeline(source):
        held = read_pipeline(source, name)
        with _telling(name), _quiet():
            objects = rebuild(held, {**_rates(held.transformer.config, dropout, attention_dropout), **options})
        _check_family(objects.transformer.config, name)
    else:
        objects = _read_files(source, name, dropout, attention_dropout, options)
    objects.transformer.to(get_torch_default_device())
    forget_origin(objects)
    find_query_key(objects.transformer, name)
    return objects


def _read_files(source: str, name: str, dropout: float, attention_dropout: float, options: Dict[str, Any]) -> HFObjects:
    if Path(source).is_dir() and not (Path(source) / "config.json").is_file():
        raise ValueError(Errors.R303.format(name=name, problem="the folder holds no config.json"))
    with _telling(name):
        config = AutoConfig.from_pretrained(source)
        settings = {**_rates(config, dropout, attention_dropout), **options}
        config = AutoConfig.from_pretrained(source, **settings)
    _check_family(config, name)
    with _telling(
        name, "no tokenizer could be made of its files, which should hold a tokenizer.json or a vocabulary: "
    ):
        tokenizer, vocabulary = _self_contained(AutoTokenizer.from_pretrained(source, use_fast=True))
    with _telling(name), _quiet():
        transformer, loading = AutoModel.from_pretrained(source, config=config, output_loading_info=True)
    # The pooler, which no head reads, is left out of many published encoders.
    missing = sorted(key for key in loading["missing_keys"] if not key.startswith("pooler."))
    if missing:
        warnings.warn(Warnings.RW10.format(name=name, n=len(missing), first=", ".join(missing[:3])), stacklevel=3)
    return HFObjects(tokenizer, transformer, vocabulary)


def _rates(config: PretrainedConfig, dropout: float, attention_dropout: float) -> Dict[str, float]:
    """Choose the dropout rates that an encoder's config has, under its own names for them."""
    rates = {key: dropout for key in _DROPOUT if hasattr(config, key)}
    rates.update({key: attention_dropout for key in _ATTENTION_DROPOUT if hasattr(config, key)})
    return rates


def _check_family(config: PretrainedConfig, name: str) -> None:
    if config.is_encoder_decoder:
        problem = "it is an encoder with a decoder"
        raise ValueError(Errors.R307.format(name=name, family=config.model_type, problem=problem))


@contextlib.contextmanager
def _telling(name: str, what: str = "") -> Iterator[None]:
    """Turn any error in transformers while an encoder is loaded into one that names the encoder."""
    try:
        yield
    except Exception as error:
        problem = textwrap.shorten(what + (str(error) or type(error).__name__), 300, placeholder=" [...]").rstrip(".")
        raise ValueError(Errors.R303.format(name=name, problem=problem)) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from remarks on poolers and on the attention kernel."""
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)


def _self_contained(tokenizer: Any) -> Tuple[Any, Optional[bytes]]:
    """Make a tokenizer that spacy-transformers can save, with the vocabulary file that this takes. Fast tokenizers have
    all in their tokenizer.json, though some classes ask for another file, too."""
    if not hasattr(tokenizer, "vocab_file"):
        return tokenizer, None
    if tokenizer.is_fast:
        backend = tokenizer.backend_tokenizer
        return PreTrainedTokenizerFast(tokenizer_object=backend, **tokenizer.special_tokens_map), None
    return tokenizer, Path(tokenizer.vocab_file).read_bytes()


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


def max_positions(transformer: PreTrainedModel) -> int:
    """Find how many word pieces an encoder takes at once, special ones included; 0 where it has no limit."""
    limit = max(getattr(transformer.config, "max_position_embeddings", 0) or 0, 0)
    for name, module in transformer.named_modules():
        # RoBERTa and its kin count from the position after the padding piece.
        if limit and name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            return limit - int(module.padding_idx) - 1
    return limit


def find_query_key(transformer: PreTrainedModel, name: str = "") -> Optional[Projections]:
    """Find the last layer's query and key projections, where attention rows follow from them alone.

    This is tested once per loaded encoder. Where it fails (relative positions, projections of unknown build), attention
    is asked for by `output_attentions`, with the slower attention kernel.

    name (str): Name of the encoder in error messages.
    RAISES (ValueError): If the encoder does not give its last layer's attention either.
    """
    if transformer not in _known:
        _known[transformer] = _try_out(transformer, name)
    return _known[transformer]


@torch.no_grad()
def _try_out(transformer: PreTrainedModel, name: str) -> Optional[Projections]:
    """Compare the rows that queries and keys give with the encoder's own, on one window that ends in padding."""
    config, was_training = transformer.config, transformer.training
    length = min(_PROBE_LENGTH, max_positions(transformer) or _PROBE_LENGTH)
    n_pieces = length - length // 8
    projections = _last_projections(transformer)
    kernel, config._attn_implementation = config._attn_implementation, "eager"  # the others give no attention
    try:
        ids = torch.arange(length, device=transformer.device)[None] % config.vocab_size
        mask = (torch.arange(length, device=transformer.device) < n_pieces)[None]
        with _quiet(), _capture(projections) as captured:
            output = transformer.eval()(input_ids=ids, attention_mask=mask.long(), output_attentions=True)
        hidden, own = output.last_hidden_state, output.attentions[-1]
        problem = _find_misfit(hidden, own, n_pieces, config)
    except Exception as error:
        problem = f"it can't be run on word pieces alone, or gives no attention ({error!r})"
    if problem:
        raise ValueError(Errors.R307.format(name=name or config.model_type, family=config.model_type, problem=problem))
    transformer.train(was_training)
    if [t.shape for t in captured.values()] == [hidden.shape] * 2:
        query, key = (_by_head(captured[projection], transformer) for projection in projections or ())
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
        rows = scores.masked_fill(~mask[:, None, None], -torch.inf).softmax(-1)
        if torch.allclose(rows[:, :, :n_pieces], own[:, :, :n_pieces], rtol=1e-3, atol=1e-7):
            config._attn_implementation = kernel
            return projections
    return None


def _find_misfit(hidden: Tensor, attention: Optional[Tensor], n_pieces: int, config: Any) -> str:
    """Say why an encoder's output cannot be used; "" if it can."""
    n = hidden.shape[1]
    expected = (1, config.num_attention_heads, n, n)
    if hidden.shape[-1] != config.hidden_size:
        return f"its vectors have width {hidden.shape[-1]}, not {config.hidden_size} as its config says"
    if attention is None:
        return "it gives no attention"
    if attention.shape != expected:
        return f"its attention between {n} word pieces has the shape {tuple(attention.shape)}, not {expected}"
    total = attention[:, :, :n_pieces, :n_pieces].sum(-1)
    if not torch.allclose(total, torch.ones_like(total), atol=1e-3):
        return "its attention rows do not add up to 1"
    return ""


def _last_projections(transformer: PreTrainedModel) -> Optional[Projections]:
    """Find the query and key projections that come last, if they have a known name."""
    modules = {name: module for name, module in transformer.named_modules() if isinstance(module, nn.Linear)}
    for name in reversed(modules):
        parent, _, own = name.rpartition(".")
        key = modules.get(f"{parent}.{_QUERY_AND_KEY.get(own, '')}")
        if key is not None:
            return modules[name], key
    return None


@contextlib.contextmanager
def _capture(projections: Optional[Projections]) -> Iterator[Dict[nn.Module, Tensor]]:
    """Keep the outputs of modules while the encoder runs; of a module that runs several times (ALBERT), the last."""
    captured: Dict[nn.Module, Tensor] = {}

    def keep(module: nn.Module, args: Any, output: Tensor) -> None:
        captured[module] = output

    handles = [module.register_forward_hook(keep) for module in projections or ()]
    try:
        yield captured
    finally:
        for handle in handles:
            handle.remove()


def _by_head(tensor: Tensor, transformer: PreTrainedModel) -> Tensor:
    return tensor.float().unflatten(-1, (transformer.config.num_attention_heads, -1)).transpose(1, 2)


@contextlib.contextmanager
def _without_cudnn_attention() -> Iterator[None]:
    """Keep torch from cuDNN's attention, which it prefers for bfloat16 on some GPUs: cuDNN plans anew for each shape of
    a batch, a tenth of a second or more, and here almost every batch has a new shape."""
    allowed = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(False)
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(allowed)


def encode_windows(transformer: PreTrainedModel, input_ids: Tensor, mask: Tensor, half: bool) -> Planes:
    """Run an encoder on windows of word pieces.

    input_ids (Tensor): Shape (windows, S), int64.
    mask (Tensor): Which positions are not padding. Shape (windows, S), int64.
    half (bool): Compute in bfloat16 where torch's autocast does so.
    RETURNS (Planes): Hidden states, float32, with queries and keys or, where attention rows do not follow from these
        alone, with attention.
    """
    projections = find_query_key(transformer)
    autocast = torch.autocast(input_ids.device.type, dtype=torch.bfloat16, enabled=half)
    with _capture(projections) as captured, _without_cudnn_attention(), autocast:
        output = transformer(input_ids=input_ids, attention_mask=mask, output_attentions=projections is None)
    hidden = output.last_hidden_state.float()
    if projections is None:
        return Planes(hidden, attention=output.attentions[-1].float())
    query, key = (_by_head(captured[projection], transformer) for projection in projections)
    return Planes(hidden, query, key)
