"""spacy-transformers' own listeners, by which stock components (`ner`, `textcat`, `tagger`, …) read a transformer."""

from typing import Any, Callable, Dict, List, Optional, Tuple

import torch
from spacy.tokens import Doc
from spacy.util import replace_model_node
from spacy_transformers.data_classes import TransformerData, WordpieceBatch
from spacy_transformers.layers import TransformerListener, trfs2arrays
from thinc.api import Model, chain, torch2xp, xp2torch
from thinc.types import Ragged
from transformers.modeling_outputs import BaseModelOutput

from ...arrays import Floats2d
from ...layers.encoded import EncodedBatch
from ...layers.layout import make_layout
from ...layers.planes import Gradients
from ...layers.segments import expand_ranges
from .listener import BatchId, DocreListener, batch_id, forward, output_key

STOCK_LISTENER = "spacy-transformers.TransformerListener.v1"

StockOutput = Tuple[List[TransformerData], Callable[[List[TransformerData]], Any]]


class AdoptedListener(DocreListener):
    """Takes the place of a stock listener that names a `docre_transformer` as its upstream.

    It reads where docre components read, in training and at run time, and gives what the stock listener would give.
    `doc._.trf_data` is neither read nor written: it belongs to a transformer of spacy-transformers, if there is one.
    """

    name = "transformer-listener"  # the stock one's

    def __init__(self, upstream_name: str) -> None:
        super().__init__(upstream_name, forward=forward_stock, init=init_stock)
        self._sample: Optional[BatchId] = None

    def receive(self, ids: BatchId, encoded: EncodedBatch, accumulate: Callable[[Gradients], None]) -> None:
        super().receive(ids, encoded, accumulate)
        self._sample = None


def init_stock(model: AdoptedListener, X: Optional[List[Doc]] = None, Y: Any = None) -> None:
    model._sample = None if X is None else batch_id(X)


def forward_stock(model: AdoptedListener, docs: List[Doc], is_train: bool) -> StockOutput:
    key = output_key(model.upstream_name)
    if not is_train and model._sample == batch_id(docs) and not any(key in doc.user_data for doc in docs):
        # A stock component finds its layers' sizes by running on some Docs, which no transformer has seen.
        return [TransformerData.zeros(len(doc), model.get_dim("nO"), xp=model.ops.xp) for doc in docs], list
    encoded, backprop = forward(model, docs, is_train)
    if not is_train:
        for doc in docs:
            model.release(doc)
    return as_stock(encoded, backprop)


def as_stock(encoded: EncodedBatch, backprop: Callable[[Gradients], List[Doc]]) -> StockOutput:
    """Give an encoder's output, and the way back, the form that stock layers know."""
    return split_batch(encoded), lambda d_data: backprop(join_gradients(d_data, encoded))


def split_batch(encoded: EncodedBatch) -> List[TransformerData]:
    """Give each Doc the data that stock layers read: vectors, and each token's rows among them. A piece in several
    windows counts once, in the window with the middle closest to it. A Doc without pieces has one row for no token.
    """
    data, start = [], 0
    for windows in encoded.windows:
        end = start + windows.n_windows
        hidden = encoded.hidden[start:end] if start < end else encoded.hidden.new_zeros(1, 1, encoded.width)
        lengths = windows.token_last - windows.token_first
        pieces, _ = expand_ranges(windows.token_first, windows.token_last)
        rows = make_layout([windows], hidden.shape[1]).piece_rows[pieces]
        data.append(
            TransformerData(
                WordpieceBatch.empty(),
                BaseModelOutput(last_hidden_state=torch2xp(hidden)),
                Ragged(rows.astype("int32"), lengths.astype("int32")),
            )
        )
        start = end
    return data


def join_gradients(d_data: List[TransformerData], encoded: EncodedBatch) -> Gradients:
    """Join the gradients of a batch's hidden states; there are none if it has no windows.

    d_data (List[TransformerData]): Gradients of the output of `split_batch`.
    """
    parts = [xp2torch(d.model_output["last_hidden_state"]) for d, w in zip(d_data, encoded.windows) if w.n_windows]
    return {"hidden": torch.cat(parts).to(encoded.hidden)} if parts else {}


def adopt_listeners(model: Model, upstream: str) -> None:
    """Put an AdoptedListener in the place of each stock listener in a component's model that names `upstream`."""
    for node in list(model.walk()):
        if isinstance(node, TransformerListener) and node.upstream_name == upstream:
            replace_model_node(model, node, AdoptedListener(upstream))


def find_wildcards(component: Any) -> List[TransformerListener]:
    """Find a component's stock listeners to any transformer ("*")."""
    nodes = component.model.walk() if isinstance(getattr(component, "model", None), Model) else ()
    return [node for node in nodes if isinstance(node, TransformerListener) and node.upstream_name == "*"]


def name_upstream(component: Any, config: Dict[str, Any], upstream: str) -> bool:
    """Let a component's stock listeners to any transformer listen to this one, in its model and in its config.

    RETURNS (bool): Whether the config has them all.
    """
    nodes = find_wildcards(component)
    for node in nodes:
        node.upstream_name = upstream
    return name_in_config(config, upstream) == len(nodes)


def name_in_config(config: Any, upstream: str) -> int:
    """Name one transformer as upstream of the stock listeners to any in a config.

    RETURNS (int): Number of these listeners.
    """
    if not isinstance(config, dict):
        return 0
    n = sum(name_in_config(section, upstream) for section in config.values())
    if config.get("@architectures") == STOCK_LISTENER and config.get("upstream", "*") == "*":
        config["upstream"] = upstream
        n += 1
    return n


# What `nlp.replace_listeners` asks the encoder for


def build_tok2vec_transformer(
    encoder: Model[List[Doc], EncodedBatch], pooling: Model[Ragged, Floats2d], *, grad_factor: float = 1.0
) -> Model[List[Doc], List[Floats2d]]:
    """Build an encoder of its own for a stock component, in the place of a listener.

    encoder (Model[List[Doc], EncodedBatch]): A docre encoder.
    pooling (Model[Ragged, Floats2d]): Makes a token's vector from those of its word pieces.
    grad_factor (float): Multiplies the gradient that reaches the encoder.
    """
    return chain(make_stock_encoder(encoder), trfs2arrays(pooling, grad_factor))


def make_stock_encoder(encoder: Model[List[Doc], EncodedBatch]) -> Model[List[Doc], List[TransformerData]]:
    """Make an encoder give what stock layers read."""
    return Model("docre-stock-encoder", forward_stock_encoder, init=init_stock_encoder, layers=[encoder])


def init_stock_encoder(model: Model, X: Any = None, Y: Any = None) -> None:
    model.layers[0].initialize(X=X)


def forward_stock_encoder(model: Model, docs: List[Doc], is_train: bool) -> StockOutput:
    return as_stock(*model.layers[0](docs, is_train))


def replace_listener(encoder: Model[List[Doc], EncodedBatch], listener: DocreListener, pipe: Any) -> Model:
    """Make the model that takes a listener's place: the encoder, in the form that the listener's model reads."""
    return make_stock_encoder(encoder) if isinstance(listener, AdoptedListener) else encoder


def replace_listener_cfg(encoder_cfg: Dict[str, Any], listener_cfg: Dict[str, Any]) -> Dict[str, Any]:
    """Make the config of the model that takes a listener's place."""
    if listener_cfg["@architectures"] != STOCK_LISTENER:
        return dict(encoder_cfg)
    config = {key: listener_cfg[key] for key in ("pooling", "grad_factor")}
    return {"@architectures": "spacy-docre.Tok2VecTransformer.v1", "encoder": dict(encoder_cfg), **config}
