"""The encoder as a thinc model: Docs in, EncodedBatch out, gradient through hidden states, queries and keys."""

import logging
import warnings
from dataclasses import replace
from functools import partial
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, cast

import numpy
import torch
from spacy.tokens import Doc
from spacy_transformers.data_classes import HFObjects
from spacy_transformers.layers.hf_shim import HFShim
from thinc.api import Model
from thinc.compat import has_cupy
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedTokenizerBase

from ...errors import Warnings
from ...layers.encoded import DocWindows, EncodedBatch, bucket_windows, make_layout
from ..bridge import DocreShim
from .encoder import encode, find_query_key, forget_origin, load_encoder, public_name
from .stock import replace_listener, replace_listener_cfg
from .windows import WindowPlan, cut_windows, plan_windows, tokenize, window_ids

logger = logging.getLogger("spacy_docre")

Gradients = Sequence[Optional[Tensor]]


class TransformerShim(DocreShim, HFShim):
    """spacy-transformers' holder of an encoder and its tokenizer, with this package's optimisation.

    frozen (Sequence[str]): Beginnings of parameter names that are not trained.
    learn_rate_scale (float): Multiplies the optimizer's rate.
    """

    def __init__(self, frozen: Sequence[str], learn_rate_scale: float) -> None:
        super().__init__(HFObjects(None, None, None, {}, {}))
        self.frozen = tuple(frozen)
        self.learn_rate_scale = learn_rate_scale

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
        if self._hfmodel.transformer is not None:
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
    shim = cast(TransformerShim, model.shims[0])
    if shim._hfmodel.transformer is None:
        objects = load_encoder(
            model.attrs["name"],
            dropout=model.attrs["dropout"],
            attention_dropout=model.attrs["attention_dropout"],
            options=model.attrs["transformer_config"],
        )
        shim.set_encoder(objects)
        # The name is saved with the model, where a path of this machine has no place.
        model.attrs["name"] = public_name(model.attrs["name"])
    transformer = shim._hfmodel.transformer
    way = "queries and keys" if find_query_key(transformer) is not None else "output_attentions (slower)"
    logger.info("Encoder %s: attention rows from %s", transformer.config.model_type, way)
    model.set_dim("nO", transformer.config.hidden_size)
    get_plan(model)  # settings that leave no room for a window are told now


def get_plan(model: Model[List[Doc], EncodedBatch]) -> WindowPlan:
    """RETURNS (WindowPlan): How the model cuts documents into windows."""
    objects = cast(TransformerShim, model.shims[0])._hfmodel
    return plan_windows(
        objects.tokenizer,
        objects.transformer,
        window=model.attrs["window"],
        overlap=model.attrs["overlap"],
        name=model.attrs["name"],
    )


def forward(
    model: Model[List[Doc], EncodedBatch], docs: List[Doc], is_train: bool
) -> Tuple[EncodedBatch, Callable[[Gradients], List[Doc]]]:
    encoded, backprop = encode_pieces(model, tokenize(get_tokenizer(model), docs, model.attrs["name"]), is_train)

    def backprop_docs(d_outputs: Gradients) -> List[Doc]:
        backprop(d_outputs)
        return docs

    return encoded, backprop_docs


def get_tokenizer(model: Model[Any, EncodedBatch]) -> PreTrainedTokenizerBase:
    return cast(TransformerShim, model.shims[0])._hfmodel.tokenizer


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
    cast(TransformerShim, model.shims[0])._hfmodel.transformer.train(is_train)
    with torch.set_grad_enabled(is_train):
        outputs, lengths = run_encoder(model, ids, is_train)
    hidden, queries, keys, attention = outputs
    assert hidden is not None
    layout = make_layout(windows, hidden.shape[1])
    encoded = EncodedBatch(hidden, queries, keys, attention, layout, tuple(windows))

    def backprop(d_outputs: Gradients) -> None:
        pairs = [(o, d) for o, d in zip(outputs, d_outputs) if o is not None and d is not None and o.requires_grad]
        if pairs:
            torch.autograd.backward([o for o, _ in pairs], [d for _, d in pairs])

    return encoded.with_tensors([t if t is None else t.detach() for t in outputs]), backprop


def run_encoder(
    model: Model[List[Doc], EncodedBatch], ids: List[List[int]], is_train: bool
) -> Tuple[List[Optional[Tensor]], numpy.ndarray]:
    """Encode windows in groups of similar length, a bounded number of word pieces in each forward pass.

    ids (List[List[int]]): Piece ids of each window.
    RETURNS: Tensors as `encode` gives them, padded to the longest window, and the windows' lengths.
    """
    objects = cast(TransformerShim, model.shims[0])._hfmodel
    transformer = objects.transformer
    device = next(transformer.parameters()).device
    lengths = numpy.asarray([len(i) for i in ids], dtype="int64")
    if not len(lengths):
        config = transformer.config
        n_heads = config.num_attention_heads
        empty = torch.zeros(0, n_heads, 0, config.hidden_size // n_heads, device=device)
        has_keys = find_query_key(transformer) is not None
        tail = [empty, empty, None] if has_keys else [None, None, torch.zeros(0, n_heads, 0, 0, device=device)]
        return [torch.zeros(0, 0, config.hidden_size, device=device), *tail], lengths
    pad = objects.tokenizer.pad_token_id or 0
    longest = int(lengths.max())
    groups = bucket_windows(lengths, model.attrs["max_batch_items"], model.attrs["max_padding"])
    run: Callable[..., List[Optional[Tensor]]] = encode
    if is_train and lengths.sum() > model.attrs["max_train_items"]:
        run = partial(checkpoint, encode, use_reentrant=False)
    parts: List[List[Optional[Tensor]]] = []
    for group in groups:
        width = int(lengths[group].max())
        input_ids = numpy.full((len(group), width), pad, dtype="int64")
        for row, w in enumerate(group):
            input_ids[row, : lengths[w]] = ids[w]
        mask = numpy.arange(width)[None] < lengths[group][:, None]
        outputs = run(
            transformer,
            torch.as_tensor(input_ids, device=device),
            torch.as_tensor(mask.astype("int64"), device=device),
            half=is_train and model.attrs["mixed_precision"],
        )
        parts.append(
            [
                None if t is None else torch.nn.functional.pad(t, _padding(kind, longest - width))
                for kind, t in enumerate(outputs)
            ]
        )
    order = torch.as_tensor(numpy.argsort(numpy.concatenate(groups)), device=device)
    joined = [None if column[0] is None else torch.cat(column)[order] for column in zip(*parts)]
    return joined, lengths


def _padding(kind: int, n: int) -> Tuple[int, ...]:
    """Padding behind the positions of (0) hidden states, (1, 2) queries and keys, (3) attention."""
    return (0, n, 0, n) if kind == 3 else (0, 0, 0, n)
