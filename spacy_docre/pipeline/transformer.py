"""The shared encoder component."""

from functools import partial
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional

import srsly
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example, validate_examples
from spacy.vocab import Vocab
from spacy_transformers.pipeline_component import Transformer
from thinc.api import Model, Optimizer
from torch import Tensor

from ..layers.encoded import DocEncoding, EncodedBatch
from ..models.transformer.listener import DocreListener, Gradients, batch_id, output_key
from .batching import batch_by_items, pipe_batches

DEFAULT_MODEL = {"@architectures": "spacy-docre.TransformerModel.v1", "name": "bert-base-cased"}


@Language.factory("docre_transformer", default_config={"model": DEFAULT_MODEL, "max_batch_items": 4096})
def make_docre_transformer(
    nlp: Language, name: str, model: Model[List[Doc], EncodedBatch], max_batch_items: int
) -> "DocreTransformer":
    """Build the component.

    model (Model[List[Doc], EncodedBatch]): The encoder.
    max_batch_items (int): Tokens in a batch at run time.
    """
    return DocreTransformer(nlp.vocab, model, name=name, max_batch_items=max_batch_items)


class DocreTransformer(Transformer):
    """Encodes Docs once for all docre components that listen to it, with gradient through hidden states and attention.

    The output lies in `doc.user_data` under a key of this component's name, until the last live component that reads
    it has done so. In training listeners only add their gradients; the backward pass through the encoder runs once a
    batch: in this component's `finish_update`, or before its next `update` at the latest.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model[List[Doc], EncodedBatch],
        *,
        name: str = "docre_transformer",
        max_batch_items: int,
    ) -> None:
        super().__init__(vocab, model, name=name, max_batch_items=max_batch_items)  # type: ignore[arg-type]
        self.model: Any = model  # gives EncodedBatch where the base class has FullTransformerBatch
        self._pending: Optional[_PendingBatch] = None
        self._owed: Optional[Optimizer] = None

    def find_listeners(self, component: Any) -> None:
        """Adopt the docre listeners of a component that name exactly this transformer."""
        if isinstance(getattr(component, "model", None), Model):
            for node in component.model.walk():
                if isinstance(node, DocreListener) and node.upstream_name == self.name:
                    node.component_name = component.name
                    self.add_listener(node, component.name)  # type: ignore[arg-type]

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 16) -> Iterator[Doc]:
        """Encode a stream of Docs, in batches of about `max_batch_items` tokens, in order."""
        batches = batch_by_items(stream, len, self.cfg["max_batch_items"], batch_size)
        yield from pipe_batches(_Streaming(self), batches, self.get_error_handler())

    def __call__(self, doc: Doc) -> Doc:
        return next(iter(pipe_batches(self, [[doc]], self.get_error_handler())), doc)

    def predict(self, docs: Iterable[Doc]) -> List[DocEncoding]:  # type: ignore[override]
        """RETURNS (List[DocEncoding]): Encoder output of each Doc, to be set by `set_annotations`."""
        self._settle()
        return self.model.predict(list(docs)).split()

    def set_annotations(  # type: ignore[override]
        self, docs: Iterable[Doc], predictions: List[DocEncoding], *, streaming: bool = False
    ) -> None:
        """Leave the encoder's output on the Docs until all listening components have read it.

        streaming (bool): Whether to count on those only that take part in a stream of Docs at the moment. Neither names
            nor the pipeline would tell: components are renamed, disabled, and sourced into several pipelines.
        """
        listeners: List[Any] = self.listeners
        readers = {id(listener) for listener in listeners if not streaming or listener.n_streams}
        for doc, encoding in zip(docs, predictions):
            encoding.readers.update(readers or map(id, listeners))
            doc.user_data[output_key(self.name)] = encoding

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
        self._settle()
        docs = [eg.predicted for eg in examples]
        encoded, backprop = self.model.begin_update(docs)
        self._pending = _PendingBatch(backprop, losses, self.name)
        ids = batch_id(docs)
        for listener in self.listeners:
            listener.receive(ids, encoded, self._pending.add)
        if sgd is not None:
            self._owed = sgd
        return losses

    def finish_update(self, sgd: Optimizer) -> None:
        """Run the backward pass and let the optimizer change the weights.

        `nlp.update(sgd=...)` calls this before the listeners had their turn: then it is made up for before anything
        else is done with the encoder.
        """
        if self._pending is not None and not self._pending.has_gradient:
            self._owed = sgd
            return
        self._backprop()
        self.model.finish_update(sgd)

    def _settle(self) -> None:
        """Do what an earlier batch left over."""
        if self._pending is not None and self._pending.has_gradient:
            self._backprop()
            if self._owed is not None:
                self.model.finish_update(self._owed)
                self._owed = None

    def _backprop(self) -> None:
        if self._pending is not None:
            for listener in self.listeners:
                listener.clear()  # type: ignore[attr-defined]
            self._pending.backprop()
            self._pending = None

    def initialize(self, get_examples: Callable[[], Iterable[Example]], *, nlp: Optional[Language] = None) -> None:
        """Load the pretrained encoder, and connect the listeners."""
        self.model.initialize()
        if nlp is not None:
            for _, component in nlp.pipeline:
                self.find_listeners(component)
        for listener in self.listeners:
            listener.set_dim("nO", self.model.get_dim("nO"), force=True)

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        self._settle()
        return super().to_bytes(exclude=exclude)

    def to_disk(self, path: Any, *, exclude: Iterable[str] = ()) -> None:
        self._settle()
        super().to_disk(path, exclude=exclude)


class _Streaming:
    """A transformer at work on a stream; its listeners' components have entered theirs before it sees the first Doc."""

    def __init__(self, transformer: DocreTransformer) -> None:
        self.name = transformer.name
        self.predict = transformer.predict
        self.set_annotations = partial(transformer.set_annotations, streaming=True)


class _PendingBatch:
    """A batch whose forward pass is done and whose gradients are being collected."""

    def __init__(self, backprop: Callable[[Gradients], Any], losses: Dict[str, float], name: str) -> None:
        self._backprop = backprop
        self._losses = losses
        self._name = name
        self._gradients: List[Optional[Tensor]] = []

    @property
    def has_gradient(self) -> bool:
        return any(g is not None for g in self._gradients)

    def add(self, gradients: Gradients) -> None:
        if not self._gradients:
            self._gradients = [None] * len(gradients)
        for i, gradient in enumerate(gradients):
            if gradient is not None:
                known = self._gradients[i]
                self._gradients[i] = gradient if known is None else known + gradient

    def backprop(self) -> None:
        if self.has_gradient:
            # As spaCy's own shared encoders do, report the size of the gradient in place of a loss.
            self._losses[self._name] += sum(float((g**2).sum()) for g in self._gradients if g is not None)
            self._backprop(self._gradients)


def _drop_encoding(obj: Any, chain: Optional[Callable[[Any], Any]] = None) -> Any:
    """An encoder output that is still on a Doc is left out when the Doc is serialised."""
    if isinstance(obj, DocEncoding):
        return None
    return obj if chain is None else chain(obj)


srsly.msgpack_encoders("spacy_docre_encoding", func=_drop_encoding)
