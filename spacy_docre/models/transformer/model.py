"""The encoder as a thinc model: Docs in, EncodedBatch out, gradient through hidden states, queries and keys."""

import logging
import warnings
from dataclasses import replace
from functools import partial
from typing import Any, Callable, Dict, List, Sequence, Tuple, cast

import numpy
import torch
from spacy.tokens import Doc
from spacy_transformers.data_classes import HFObjects
from spacy_transformers.layers.hf_shim import HFShim
from thinc.api import Model
from thinc.compat import has_cupy
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ...arrays import Ints1d, Ints2d
from ...errors import Warnings
from ...layers.encoded import EncodedBatch
from ...layers.layout import DocWindows, bucket_windows
from ...layers.planes import Gradients, Planes, cat_planes
from ..optimisation import DocreShim
from .encoder import encode_windows, find_query_key, forget_origin, load_encoder, public_name
from .stock import replace_listener, replace_listener_cfg
from .windows import WindowPlan, cut_windows, plan_windows, tokenize_docs, window_ids

logger = logging.getLogger("spacy_docre")


class TransformerShim(DocreShim, HFShim):
    """spacy-transformers' holder of an encoder and its tokenizer, with this package's optimisation.

    frozen (Sequence[str]): Beginnings of parameter names that are not trained.
    learn_rate_scale (float): Multiplies the optimizer's rate.
    """

    def __init__(self, frozen: Sequence[str], learn_rate_scale: float) -> None:
        super().__init__(HFObjects(None, None, None, {}, {}))
        self.frozen = tuple(frozen)
        self.learn_rate_scale = learn_rate_scale

    @property
    def encoder(self) -> PreTrainedModel:
        """The encoder; None before it is loaded."""
        return self._hfmodel.transformer

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return self._hfmodel.tokenizer

    def set_encoder(self, objects: HFObjects) -> None:
        """Take an encoder that was loaded, from its own files or with a pipeline."""
        if torch.cuda.is_available() and not has_cupy:
            warnings.warn(Warnings.RW05, stacklevel=2)
        self._hfmodel = objects
        self._model = objects.transformer
        for name, parameter in self._model.named_parameters():
            parameter.requires_grad_(not name.startswith(self.frozen) if self.frozen else True)

    def copy(self) -> "TransformerShim":
        copied = TransformerShim(self.frozen, self.learn_rate_scale)
        if self._model is not None:
            copied.from_bytes(self.to_bytes())
        return copied

    def from_bytes(self, bytes_data: bytes) -> "TransformerShim":
        super().from_bytes(bytes_data)
        if self.encoder is not None:
            forget_origin(self._hfmodel)
            self.set_encoder(self._hfmodel)
        return self


def build_transformer_model(
    name: str,
    *,
    window: int = 0,
    overlap: int = 128,
    max_batch_items: int = 4096,
    max_train_items: int = 16384,
    max_padding: float = 0.2,
    dropout: float = 0.1,
    attention_dropout: float = 0.0,
    mixed_precision: bool = False,
    frozen: List[str] = [],
    learn_rate_scale: float = 1.0,
    transformer_config: Dict[str, Any] = {},
) -> Model[List[Doc], EncodedBatch]:
    """Build an encoder that gives last hidden states and the last layer's attention, both with gradient.

    name (str): A Hugging Face name, a folder with weights or with a spaCy pipeline that has a transformer, or
        "package:NAME" for either inside an installed Python package.
    window (int): Word pieces of a window, special ones included; 0 for as many as the encoder takes, 512 if it has no
        limit or if its whole attention has to be held.
    overlap (int): Word pieces that neighbouring windows of a long document share.
    max_batch_items (int): Word pieces, padding included, in one forward pass of the encoder.
    max_train_items (int): Word pieces of a training batch whose activations are held for the backward pass. Those of
        larger batches (one long document, say) are computed anew there, forward pass by forward pass.
    max_padding (float): Share of padding in a forward pass.
    dropout (float): Dropout rate of the encoder's layers.
    attention_dropout (float): Dropout rate on attention; above 0 torch cannot use its fast attention on the CPU.
    mixed_precision (bool): Compute in bfloat16 in training.
    frozen (List[str]): Beginnings of names of parameters that are not trained, "embeddings.word_embeddings" say.
    learn_rate_scale (float): Multiplies the optimizer's rate for the encoder.
    transformer_config (Dict[str, Any]): Other settings of the encoder's config.
    RETURNS (Model[List[Doc], EncodedBatch]): Encoder of a batch of Docs.
    """
    return Model(
        "docre-transformer",
        forward,
        init=init,
        dims={"nO": None},
        shims=[TransformerShim(frozen, learn_rate_scale)],
        attrs={
            "name": name,
            "window": window,
            "overlap": overlap,
            "max_batch_items": max_batch_items,
            "max_train_items": max_train_items,
            "max_padding": max_padding,
            "dropout": dropout,
            "attention_dropout": attention_dropout,
            "mixed_precision": mixed_precision,
            "transformer_config": dict(transformer_config),
            "replace_listener": replace_listener,
            "replace_listener_cfg": replace_listener_cfg,
        },
    )


def init(model: Model[List[Doc], EncodedBatch], X: Any = None, Y: Any = None) -> None:
    shim = get_shim(model)
    if shim.encoder is None:
        objects = load_encoder(
            model.attrs["name"],
            dropout=model.attrs["dropout"],
            attention_dropout=model.attrs["attention_dropout"],
            options=model.attrs["transformer_config"],
        )
        shim.set_encoder(objects)
        # The name is saved with the model: it must not be a path of this machine.
        model.attrs["name"] = public_name(model.attrs["name"])
    way = "queries and keys" if find_query_key(shim.encoder) is not None else "output_attentions (slower)"
    logger.info("Encoder %s: attention rows from %s", shim.encoder.config.model_type, way)
    model.set_dim("nO", shim.encoder.config.hidden_size)
    get_plan(model)  # raises an error now if the settings leave no room for a window


def get_shim(model: Model[Any, EncodedBatch]) -> TransformerShim:
    """RETURNS (TransformerShim): The holder of a model's encoder and tokenizer."""
    return cast(TransformerShim, model.shims[0])


def get_plan(model: Model[List[Doc], EncodedBatch]) -> WindowPlan:
    """Plan how the model cuts documents into windows."""
    return plan_windows(
        get_shim(model).tokenizer,
        get_shim(model).encoder,
        window=model.attrs["window"],
        overlap=model.attrs["overlap"],
        name=model.attrs["name"],
    )


def forward(
    model: Model[List[Doc], EncodedBatch], docs: List[Doc], is_train: bool
) -> Tuple[EncodedBatch, Callable[[Gradients], List[Doc]]]:
    pieces = tokenize_docs(get_shim(model).tokenizer, docs, model.attrs["name"])
    encoded, backprop = encode_pieces(model, pieces, is_train)

    def backprop_docs(d_planes: Gradients) -> List[Doc]:
        backprop(d_planes)
        return docs

    return encoded, backprop_docs


def encode_pieces(
    model: Model[Any, EncodedBatch], docs: Sequence[Tuple[Any, ...]], is_train: bool
) -> Tuple[EncodedBatch, Callable[[Gradients], None]]:
    """Cut word pieces of documents into windows and encode them.

    docs (Sequence[Tuple]): Piece ids, pieces [first, last) of each token, and in marked text the Marks, of each.
    RETURNS: Encoded batch, and its backward pass.
    """
    plan = get_plan(model)
    ids: List[List[int]] = []
    windows: List[DocWindows] = []
    for doc_ids, first, last, *marks in docs:
        windows.append(replace(cut_windows(len(doc_ids), first, last, plan), marks=marks[0] if marks else None))
        ids.extend(window_ids(doc_ids, windows[-1], plan))
    get_shim(model).encoder.train(is_train)
    with torch.set_grad_enabled(is_train):
        planes = run_encoder(model, ids, is_train)

    def backprop(d_planes: Gradients) -> None:
        tensors = [(t, d_planes[name]) for name, t in planes.named().items() if name in d_planes and t.requires_grad]
        if tensors:
            torch.autograd.backward([t for t, _ in tensors], [d for _, d in tensors])

    return EncodedBatch(planes.map(lambda t: t.detach()), tuple(windows)), backprop


def run_encoder(model: Model[List[Doc], EncodedBatch], ids: List[List[int]], is_train: bool) -> Planes:
    """Encode windows in groups of similar length, a bounded number of word pieces in each forward pass.

    ids (List[List[int]]): Piece ids of each window.
    RETURNS (Planes): Those of the windows in their order, padded to the longest window.
    """
    transformer = get_shim(model).encoder
    if not ids:
        return _encode_nothing(transformer)
    lengths = numpy.asarray([len(i) for i in ids], dtype="int64")
    groups = bucket_windows(lengths, model.attrs["max_batch_items"], model.attrs["max_padding"])
    run: Callable[..., Planes] = encode_windows
    if is_train and lengths.sum() > model.attrs["max_train_items"]:
        run = partial(checkpoint, encode_windows, use_reentrant=False)
    pad_id = get_shim(model).tokenizer.pad_token_id or 0
    parts = []
    for group in groups:
        inputs = (torch.as_tensor(array, device=transformer.device) for array in pad_ids(ids, lengths, group, pad_id))
        planes = run(transformer, *inputs, half=is_train and model.attrs["mixed_precision"])
        parts.append(planes.pad(int(lengths.max())))
    order = torch.as_tensor(numpy.argsort(numpy.concatenate(groups)), device=transformer.device)
    return cat_planes(parts, order)


def pad_ids(ids: List[List[int]], lengths: Ints1d, group: Ints1d, pad_id: int) -> Tuple[Ints2d, Ints2d]:
    """Pad the piece ids of some windows to the longest of them.

    RETURNS (Tuple[Ints2d, Ints2d]): Ids, and a mask that is 0 in padding. Shape (w, S) each.
    """
    width = int(lengths[group].max())
    padded = numpy.full((len(group), width), pad_id, dtype="int64")
    for row, w in enumerate(group):
        padded[row, : lengths[w]] = ids[w]
    return padded, (numpy.arange(width)[None] < lengths[group][:, None]).astype("int64")


def _encode_nothing(transformer: PreTrainedModel) -> Planes:
    """Make the Planes of no windows, with the tensors and widths that the encoder's others have."""
    config, device = transformer.config, transformer.device
    n_heads = config.num_attention_heads
    hidden = torch.zeros(0, 0, config.hidden_size, device=device)
    if find_query_key(transformer) is None:
        return Planes(hidden, attention=torch.zeros(0, n_heads, 0, 0, device=device))
    empty = torch.zeros(0, n_heads, 0, config.hidden_size // n_heads, device=device)
    return Planes(hidden, empty, empty)
