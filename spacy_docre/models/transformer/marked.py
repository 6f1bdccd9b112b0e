"""An encoder of the relation model's own, which sees markers round the mentions it is asked about."""

from typing import Any, Callable, List, Tuple

import numpy
from spacy.tokens import Doc
from thinc.api import Model

from ...batches import SpanBatch
from ...layers.encoded import EncodedBatch
from ...layers.planes import Gradients
from .marks import get_marker, insert_markers
from .model import encode_pieces, get_shim
from .windows import tokenize_docs

MarkedInput = Tuple[List[Doc], SpanBatch]


def build_marked_transformer(
    encoder: Model[List[Doc], EncodedBatch], *, marker: str = "*"
) -> Model[MarkedInput, EncodedBatch]:
    """Build an encoder for a relation model alone, with markers round the mentions of its entities.

    These are gold mentions in training, at run time those that the Doc holds. A mention is read off the marker before
    it, as ATLOP has it (Zhou et al., AAAI 2021).

    encoder (Model[List[Doc], EncodedBatch]): A docre encoder, not a listener: what others read has no markers.
    marker (str): What marks mentions; one word piece of the encoder.
    RETURNS (Model[MarkedInput, EncodedBatch]): Encoder of Docs and their mentions.
    """
    return Model(
        "docre-marked-transformer",
        forward,
        init=init,
        layers=[encoder],
        dims={"nO": None},
        attrs={"marker": marker},
    )


def init(model: Model[MarkedInput, EncodedBatch], X: Any = None, Y: Any = None) -> None:
    encoder = model.layers[0]
    encoder.initialize()
    get_marker(get_shim(encoder).tokenizer, model.attrs["marker"], encoder.attrs["name"])
    model.set_dim("nO", encoder.get_dim("nO"))


def forward(
    model: Model[MarkedInput, EncodedBatch], X: MarkedInput, is_train: bool
) -> Tuple[EncodedBatch, Callable[[Gradients], MarkedInput]]:
    docs, mentions = X
    encoder = model.layers[0]
    tokenizer, name = get_shim(encoder).tokenizer, encoder.attrs["name"]
    marker = get_marker(tokenizer, model.attrs["marker"], name)
    bounds = numpy.searchsorted(mentions.doc, numpy.arange(len(docs) + 1))
    marked = []
    for i, (ids, first, last) in enumerate(tokenize_docs(tokenizer, docs, name)):
        rows = slice(bounds[i], bounds[i + 1])
        spans = list(zip(mentions.start[rows].tolist(), mentions.end[rows].tolist()))
        marked.append(insert_markers(ids, first, last, spans, marker))
    encoded, backprop = encode_pieces(encoder, marked, is_train)

    def backprop_input(d_planes: Gradients) -> MarkedInput:
        backprop(d_planes)
        return X

    return encoded, backprop_input
