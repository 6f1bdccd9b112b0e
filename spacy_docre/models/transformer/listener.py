"""The layer by which a component reads the shared encoder."""

from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from spacy.tokens import Doc
from thinc.api import Model

from ...errors import Errors
from ...layers.encoded import DocEncoding, EncodedBatch, join_encodings
from ...layers.planes import Gradients

BatchId = Tuple[Tuple[int, int], ...]


def batch_id(docs: Sequence[Doc]) -> BatchId:
    """Identify a batch by the length and the sum of the token ids of each Doc."""
    return tuple((len(doc), int(doc.to_array("ORTH").sum())) for doc in docs)


def output_key(upstream: str) -> str:
    """RETURNS (str): Key of `doc.user_data` under which a transformer leaves its output."""
    return f"spacy_docre:{upstream}"


def forward(
    model: "DocreListener", docs: List[Doc], is_train: bool
) -> Tuple[EncodedBatch, Callable[[Gradients], List[Doc]]]:
    if is_train and model._batch is not None:
        ids, encoded, accumulate = model._batch
        if ids == batch_id(docs):

            def backprop(d_planes: Gradients) -> List[Doc]:
                accumulate(d_planes)
                return docs

            return encoded, backprop
        if not all(output_key(model.upstream_name) in doc.user_data for doc in docs):
            raise ValueError(Errors.R202.format(name=model.component_name, upstream=model.upstream_name))
    # Run time, or training with a frozen transformer among the annotating components.
    return join_encodings([get_encoding(model, doc) for doc in docs]), lambda d_planes: docs


class DocreListener(Model):
    """Gives a component the output of the `docre_transformer` with exactly this name.

    In training the transformer hands over its batch and collects gradients; at run time the output lies on the Doc.

    upstream_name (str): Name of the transformer component.
    """

    name = "docre-listener"

    def __init__(self, upstream_name: str, *, forward: Callable = forward, init: Optional[Callable] = None) -> None:
        super().__init__(self.name, forward, init=init, dims={"nO": None})
        self.upstream_name = upstream_name
        self.component_name = ""
        self.n_streams = 0  # streams of Docs that the component is working on
        self._batch: Optional[Tuple[BatchId, EncodedBatch, Callable[[Gradients], None]]] = None

    def receive(self, ids: BatchId, encoded: EncodedBatch, accumulate: Callable[[Gradients], None]) -> None:
        """Take the transformer's current batch, in place of an earlier one."""
        self._batch = (ids, encoded, accumulate)

    def clear(self) -> None:
        self._batch = None

    def release(self, doc: Doc) -> None:
        """Tell the encoder's output that this listener's component has read it; the last reader drops it."""
        key = output_key(self.upstream_name)
        encoding = doc.user_data.get(key)
        if isinstance(encoding, DocEncoding):
            encoding.readers.discard(id(self))
            if not encoding.readers:
                del doc.user_data[key]

    def _copy(self, seen: Optional[Dict[int, Any]] = None) -> "DocreListener":
        """Copy this node, for `Model.copy`; thinc's own method would make a plain Model, which knows no upstream."""
        copied = type(self)(self.upstream_name)
        copied.set_dim("nO", self.maybe_get_dim("nO"))  # type: ignore[arg-type]
        return copied


def build_listener(upstream: str) -> Model[List[Doc], EncodedBatch]:
    """Build what a component has in the place of an encoder of its own: it reads a shared one.

    upstream (str): Name of the `docre_transformer` component to read; there is no wildcard.
    """
    return DocreListener(upstream)


def get_encoding(model: DocreListener, doc: Doc) -> DocEncoding:
    encoding = doc.user_data.get(output_key(model.upstream_name))
    if not isinstance(encoding, DocEncoding) or len(encoding.windows.token_first) != len(doc):
        raise ValueError(Errors.R201.format(name=model.component_name, upstream=model.upstream_name, n_tokens=len(doc)))
    return encoding
