"""The shared encoder component."""

import contextlib
from functools import partial
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence

import srsly
import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example, validate_examples
from spacy.vocab import Vocab
from spacy_transformers.pipeline_component import Transformer
from thinc.api import Model, Optimizer

from ..errors import Errors
from ..layers.encoded import DocEncoding, EncodedBatch
from ..layers.planes import Gradients
from ..models.torch_model import get_module
from ..models.transformer.listener import DocreListener, batch_id, output_key
from ..models.transformer.stock import AdoptedListener, adopt_listeners, find_wildcards, name_upstream
from .batching import batch_by_items, pipe_batches

KEEP = -1  # among the readers of an output: none, so that it is kept

DEFAULT_MODEL = {"@architectures": "spacy-docre.TransformerModel.v1", "name": "bert-base-cased"}


@Language.factory(
    "docre_transformer",
    default_config={"model": DEFAULT_MODEL, "max_batch_items": 4096, "adopt_wildcards": False},
)
def make_docre_transformer(
    nlp: Language, name: str, model: Model[List[Doc], EncodedBatch], max_batch_items: int, adopt_wildcards: bool
) -> "DocreTransformer":
    """Build the encoder that components share: it reads each document once, a long one in overlapping windows.

    model (Model[List[Doc], EncodedBatch]): The encoder.
    max_batch_items (int): Tokens in a batch at run time.
    adopt_wildcards (bool): Whether stock listeners to any transformer (`upstream = "*"`) listen to this one: at
        initialisation their upstream becomes this component's name, in the pipeline's config too.
    """
    return DocreTransformer(
        nlp.vocab, model, name=name, max_batch_items=max_batch_items, adopt_wildcards=adopt_wildcards
    )


class DocreTransformer(Transformer):
    """Encodes Docs once for all components that listen to it, with gradient through hidden states and attention.

    Docre components listen through `spacy-docre.TransformerListener.v1`; stock ones through
    `spacy-transformers.TransformerListener.v1`, whose upstream has to be this component's name.

    The output lies in `doc.user_data` under a key of this component's name (`doc._.trf_data` is not touched), until the
    last live component that reads it has done so. Where a reader is disabled in a call of `nlp(text)`, or a stock one
    in `nlp.pipe`, it stays there as long as the Doc; `nlp.pipe` knows which docre components are live.

    In training listeners only add their gradients; the backward pass through the encoder runs once a batch: in this
    component's `finish_update`, or before its next `update` at the latest.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model[List[Doc], EncodedBatch],
        *,
        name: str = "docre_transformer",
        max_batch_items: int,
        adopt_wildcards: bool = False,
    ) -> None:
        super().__init__(vocab, model, name=name, max_batch_items=max_batch_items)  # type: ignore[arg-type]
        self.cfg["adopt_wildcards"] = adopt_wildcards
        self.model: Any = model  # gives EncodedBatch where the base class has FullTransformerBatch
        self._pending: Optional[_PendingBatch] = None
        self._unused_optimizer: Optional[Optimizer] = None  # of an update whose gradients came later

    @property
    def module(self) -> Any:
        """RETURNS (Any): The encoder, a transformers model; None before it is loaded."""
        return get_module(self.model)

    def find_listeners(self, component: Any) -> None:
        """Adopt the listeners of a component, docre or stock, that name exactly this transformer."""
        if isinstance(getattr(component, "model", None), Model):
            adopt_listeners(component.model, self.name)
            for node in component.model.walk():
                if isinstance(node, DocreListener) and node.upstream_name == self.name:
                    node.component_name = component.name
                    self.add_listener(node, component.name)  # type: ignore[arg-type]

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 16) -> Iterator[Doc]:
        """Encode a stream of Docs, in batches of about `max_batch_items` tokens, in order."""
        batches = batch_by_items(stream, len, self.cfg["max_batch_items"], batch_size)
        yield from pipe_batches(self, batches, self.get_error_handler(), partial(self.set_annotations, streaming=True))

    def __call__(self, doc: Doc) -> Doc:
        return next(iter(pipe_batches(self, [[doc]], self.get_error_handler())), doc)

    def predict(self, docs: Iterable[Doc]) -> List[DocEncoding]:  # type: ignore[override]
        """RETURNS (List[DocEncoding]): Encoder output of each Doc, to be set by `set_annotations`."""
        self._finish_pending()
        return self.model.predict(list(docs)).split()

    def set_annotations(  # type: ignore[override]
        self, docs: Iterable[Doc], predictions: List[DocEncoding], *, streaming: bool = False
    ) -> None:
        """Leave the encoder's output on the Docs until all listening components have read it.

        streaming (bool): Whether to wait only for components that take part in a stream of Docs now, and for stock
            ones, which do not tell. Names or the pipeline cannot tell either: components are renamed, disabled, and
            sourced into several pipelines.
        """
        listeners: List[Any] = self.listeners
        if streaming and any(listener.n_streams for listener in listeners):
            listeners = [ln for ln in listeners if ln.n_streams or isinstance(ln, AdoptedListener)]
        for doc, encoding in zip(docs, predictions):
            encoding.readers.update(map(id, listeners))
            doc.user_data[output_key(self.name)] = encoding

    @contextlib.contextmanager
    def keep_output(self, docs: Sequence[Doc]) -> Iterator[None]:
        """Encode Docs, and keep the output on them for a while, whoever reads it."""
        encodings = self.predict(docs)
        for encoding in encodings:
            encoding.readers.add(KEEP)
        self.set_annotations(docs, encodings)
        try:
            yield
        finally:
            for doc in docs:
                doc.user_data.pop(output_key(self.name), None)

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optional[Optimizer] = None,
        losses: Optional[Dict[str, float]] = None,
    ) -> Dict[str, float]:
        """Encode a batch and hand it to the listeners. Dropout rates are the model's own; `drop` is not used."""
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "DocreTransformer.update")
        self._finish_pending()
        docs = [eg.predicted for eg in examples]
        encoded, backprop = self.model.begin_update(docs)
        self._pending = _PendingBatch(backprop, losses, self.name)
        self._unused_optimizer = sgd
        ids = batch_id(docs)
        for listener in self.listeners:
            listener.receive(ids, encoded, self._pending.add)
        return losses

    def finish_update(self, sgd: Optimizer) -> None:
        """Run the backward pass and let the optimizer change the weights.

        `nlp.update(sgd=...)` calls this before the listeners are updated: then the step is made later, before anything
        else is done with the encoder.
        """
        if self._pending is not None and not self._pending.has_gradient:
            self._unused_optimizer = sgd
        else:
            self._backprop()
        self.model.finish_update(sgd)

    def use_params(self, params: Dict[Any, Any]) -> Iterator[None]:
        self._finish_pending()
        yield from super().use_params(params)

    def _finish_pending(self) -> None:
        """Finish an earlier batch. One without a gradient stays: its listeners may still be updated."""
        if self._pending is not None and self._pending.has_gradient:
            self._backprop()
            if self._unused_optimizer is not None:
                self.model.finish_update(self._unused_optimizer)

    def _backprop(self) -> None:
        if self._pending is not None:
            for listener in self.listeners:
                listener.clear()  # type: ignore[attr-defined]
            self._pending.backprop()
            self._pending = None

    def initialize(self, get_examples: Callable[[], Iterable[Example]], *, nlp: Optional[Language] = None) -> None:
        """Load the pretrained encoder, and connect the listeners.

        RAISES (ValueError): If stock listeners to any transformer are left without one, or with several.
        """
        self.model.initialize()
        if nlp is not None:
            self._bind_wildcards(nlp)
            for _, component in nlp.pipeline:
                self.find_listeners(component)
        for listener in self.listeners:
            listener.set_dim("nO", self.model.get_dim("nO"), force=True)

    def _bind_wildcards(self, nlp: Language) -> None:
        wildcards = [(name, component) for name, component in nlp.components if find_wildcards(component)]
        transformers = [name for name, component in nlp.components if _takes_wildcards(component)]
        names = "', '".join(name for name, _ in wildcards)
        if wildcards and not transformers:
            raise ValueError(Errors.R214.format(listeners=names, name=self.name))
        if not wildcards or not self.cfg["adopt_wildcards"]:
            return
        if len(transformers) > 1:
            raise ValueError(Errors.R213.format(listeners=names, transformers=", ".join(transformers)))
        for name, component in wildcards:
            config = nlp.config.interpolate()["components"][name]
            if not name_upstream(component, config, self.name):
                raise ValueError(Errors.R214.format(listeners=name, name=self.name))
            nlp.get_pipe_config(name).update(config)

    def __reduce__(self) -> Any:
        """Copies and pickles hold no half-done batch."""
        self._finish_pending()
        self._backprop()
        self._unused_optimizer = None
        return super().__reduce__()

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        self._finish_pending()
        return super().to_bytes(exclude=exclude)

    def to_disk(self, path: Any, *, exclude: Iterable[str] = ()) -> None:
        self._finish_pending()
        super().to_disk(path, exclude=exclude)


def _takes_wildcards(component: Any) -> bool:
    if isinstance(component, DocreTransformer):
        return bool(component.cfg["adopt_wildcards"])
    return isinstance(component, Transformer)


class _PendingBatch:
    """A batch whose forward pass is done and whose gradients are being collected."""

    def __init__(self, backprop: Callable[[Gradients], Any], losses: Dict[str, float], name: str) -> None:
        self._backprop = backprop
        self._losses = losses
        self._name = name
        self._gradients: Gradients = {}

    @property
    def has_gradient(self) -> bool:
        return bool(self._gradients)

    def add(self, gradients: Gradients) -> None:
        for name, gradient in gradients.items():
            known = self._gradients.get(name)
            self._gradients[name] = gradient if known is None else known + gradient

    def backprop(self) -> None:
        if self.has_gradient:
            # As spaCy's own shared encoders do, report the size of the gradient in place of a loss.
            squares = [(g**2).sum() for g in self._gradients.values()]
            self._losses[self._name] += float(torch.stack(squares).sum())
            self._backprop(self._gradients)


def _drop_encoding(obj: Any, chain: Optional[Callable[[Any], Any]] = None) -> Any:
    """An encoder output that is still on a Doc is left out when the Doc is serialised."""
    if isinstance(obj, DocEncoding):
        return None
    return obj if chain is None else chain(obj)


srsly.msgpack_encoders("spacy_docre_encoding", func=_drop_encoding)
