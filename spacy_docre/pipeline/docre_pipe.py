"""What all docre components share: streams, training steps, labels on disk, the encoder's output after use."""

import contextlib
import warnings
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple, Union

import srsly
from spacy import util
from spacy.pipeline.pipe import deserialize_config
from spacy.pipeline.trainable_pipe import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_examples
from spacy.vocab import Vocab
from spacy_transformers.layers import TransformerListener
from thinc.api import Model, Optimizer
from torch import Tensor

from ..doc.places import Places
from ..doc.sentences import has_sentences
from ..errors import Errors, Warnings, check_number
from ..layers.encoded import DocEncoding
from ..models.torch_model import ModelInput, Scores, differentiate, get_module
from ..models.transformer.listener import DocreListener, output_key
from ..models.transformer.stock import AdoptedListener
from .batching import batch_by_items, pipe_batches

Batch = Any  # one of the data classes of batches.py
Gold = Tuple[Any, ...]  # arguments of the loss after the scores
Gradient = Dict[str, Optional[Tensor]]  # of each score

DEFAULT_MAX_BATCH_ITEMS = 8192
LISTENER = {"@architectures": "spacy-docre.TransformerListener.v1", "upstream": "docre_transformer"}


class DocrePipe(TrainablePipe):
    """Base of the components.

    A subclass defines how Docs become a batch for the model (`make_batch`), what the gold labels of Examples are
    (`make_training_batch`), and how scores become annotations (`decode`, `set_annotations`).

    vocab (Vocab): The shared vocabulary.
    model (Model[ModelInput, Scores]): Scores a batch.
    name (str): Name of the component in its pipeline.
    cfg (Dict[str, Any]): Settings; kept with the model, and handed to the scorer.
    scorer (Optional[Callable]): Scoring method.
    """

    what = "annotated documents"  # what training needs, for messages
    extras: Tuple[str, ...] = ()  # names of plain data that are stored beside settings and weights
    minima: Dict[str, int] = {}  # smallest values of settings

    def __init__(
        self,
        vocab: Vocab,
        model: Model[ModelInput, Scores],
        name: str,
        *,
        cfg: Dict[str, Any],
        scorer: Optional[Callable[..., Dict[str, Any]]] = None,
    ) -> None:
        self.vocab = vocab
        self.model = model
        self.name = name
        self.cfg: Dict[str, Any] = dict(cfg)
        self.scorer = scorer
        self._warned: Set[str] = set()
        check_share(name, "threshold", self.cfg.get("threshold"))
        for setting, n in self.minima.items():
            check_number(setting, cfg[setting], least=n, where=name)

    @property
    def places(self) -> Places:
        """RETURNS (Places): Where the layers are kept that the component reads and writes."""
        return Places.of(self.cfg)

    @property
    def module(self) -> Any:
        """RETURNS (Any): The model's torch module; None before initialisation."""
        return get_module(self.model)

    @contextlib.contextmanager
    def with_settings(self, **settings: Any) -> Iterator[None]:
        """Change settings for a while. A setting that is changed in the meantime has its earlier value again, too.

        settings (Any): Names of settings in `cfg`, and their values.
        """
        saved = dict(self.cfg)
        self.cfg.update(settings)
        try:
            yield
        finally:
            self.cfg.clear()
            self.cfg.update(saved)

    # Subclasses implement these

    def make_batch(self, docs: Sequence[Doc]) -> Batch:
        raise NotImplementedError

    def make_training_batch(self, examples: Sequence[Example]) -> Optional[Tuple[Batch, Gold]]:
        raise NotImplementedError

    def decode(self, docs: Sequence[Doc], batch: Batch, scores: Scores) -> List[Any]:
        raise NotImplementedError

    # Run time

    def __call__(self, doc: Doc) -> Doc:
        next(pipe_batches(self, [[doc]], self.get_error_handler()), None)
        self.release(doc)  # as after success, if an error handler let a failure pass
        return doc

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 16) -> Iterator[Doc]:
        """Annotate a stream of Docs in order, regrouped to at most `max_batch_items` word pieces a batch."""
        listeners = self.listeners
        for listener in listeners:  # known to the encoder before it sees the stream's first Doc
            listener.n_streams += 1
        try:
            batches = batch_by_items(stream, self._count_items, self.cfg["max_batch_items"], batch_size)
            yield from pipe_batches(self, batches, self.get_error_handler())
        finally:
            for listener in listeners:
                listener.n_streams -= 1

    def predict(self, docs: Iterable[Doc]) -> List[Any]:
        """Score Docs, and decode the scores to what `set_annotations` writes for each."""
        docs = list(docs)
        self.check_trained()
        batch = self.make_batch(docs)
        scores: Scores = self.model.predict((docs, batch)) if len(batch) else {}
        return self.decode(docs, batch, scores)

    def check_trained(self) -> None:
        """RAISES (ValueError): If the model's layers were not built yet."""
        if self.module is None:
            raise ValueError(Errors.R205.format(name=self.name))

    def release(self, doc: Doc) -> None:
        """Mark the encoder's output on a Doc as read by this component; the last reader drops it."""
        for listener in self.listeners:
            listener.release(doc)

    def warn_once(self, message: str) -> None:
        if message.split("]")[0] not in self._warned:
            self._warned.add(message.split("]")[0])
            warnings.warn(message, stacklevel=2)

    @property
    def listeners(self) -> List[DocreListener]:
        """RETURNS (List[DocreListener]): The listeners to a shared encoder; a model may have its own instead."""
        return [node for node in self.model.walk() if isinstance(node, DocreListener)]

    def _count_items(self, doc: Doc) -> int:
        for listener in self.listeners:
            encoding = doc.user_data.get(output_key(listener.upstream_name))
            if isinstance(encoding, DocEncoding):
                return encoding.windows.n_pieces
        return len(doc)

    # Training

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optional[Optimizer] = None,
        losses: Optional[Dict[str, float]] = None,
    ) -> Dict[str, float]:
        """Learn from a batch. Examples that lack this component's gold layer are skipped.

        drop (float): Not used: the model has dropout rates of its own.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, f"{type(self).__name__}.update")
        training = self.make_training_batch(examples)
        if training is not None and len(training[0]):
            batch, gold = training
            backprop: Any
            scores, backprop = self.model.begin_update(([eg.predicted for eg in examples], batch))
            loss, gradient = self.get_loss(examples, scores, gold=gold)
            backprop(gradient)
            losses[self.name] += loss
        if sgd is not None:
            self.finish_update(sgd)
        return losses

    def get_loss(
        self, examples: Iterable[Example], scores: Scores, *, gold: Optional[Gold] = None
    ) -> Tuple[float, Gradient]:
        """Compute the loss of a batch, and the gradient of each score.

        examples (Iterable[Example]): The batch.
        scores (Scores): What the model gave for it.
        gold (Optional[Gold]): Gold labels, which `make_training_batch` returned beside the batch that was scored; made
            anew where None, which fits components that draw no negative samples.
        RETURNS (Tuple[float, Gradient]): The loss, and its gradient times the setting `loss_weight`.
        """
        if gold is None:
            training = self.make_training_batch(list(examples))
            if training is None:
                return 0.0, {}
            gold = training[1]
        return differentiate(self.model.attrs["loss"], scores, *gold, weight=self.cfg["loss_weight"])

    def rehearse(self, examples: Iterable[Example], **kwargs: Any) -> Dict[str, float]:
        """RAISES (ValueError): Always; rehearsal is not defined for span and pair scores."""
        raise ValueError(Errors.R207.format(name=self.name))

    def _build_model(self, docs: List[Doc], n_out: int = 1) -> None:
        node: Any
        for node in self.model.walk():
            unconnected = isinstance(node, DocreListener) and node.has_dim("nO") is None
            if unconnected or isinstance(node, (TransformerListener, AdoptedListener)):
                raise ValueError(Errors.R219.format(name=self.name, upstream=node.upstream_name))
        if self.model.has_dim("nO") is None:
            self.model.set_dim("nO", n_out)
        self.model.initialize(X=(docs, None))

    def finish_update(self, sgd: Optimizer) -> None:
        self.model.finish_update(sgd)

    # Storage

    def get_extras(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): Plain data by the names in `extras`, as far as there are any."""
        return {}

    def set_extras(self, extras: Dict[str, Any]) -> None:
        """Take what `get_extras` gave before saving."""

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        serialize: Dict[str, Callable[[], Any]] = {
            "cfg": lambda: srsly.json_dumps(self.cfg),
            "model": self.model.to_bytes,
            **{name: partial(dict, data) for name, data in self.get_extras().items()},
        }
        if "vocab" not in exclude:
            serialize["vocab"] = self.vocab.to_bytes
        return util.to_bytes(serialize, exclude)

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "DocrePipe":
        msg = srsly.msgpack_loads(bytes_data)
        self.load_cfg(srsly.json_loads(msg["cfg"]))
        self.set_extras({name: msg[name] for name in self.extras if name in msg and name not in exclude})
        util.from_bytes(bytes_data, {"vocab": self.vocab.from_bytes, "model": self._load_model}, exclude)
        return self

    def to_disk(self, path: Union[str, Path], *, exclude: Iterable[str] = ()) -> None:
        serialize = {
            "cfg": lambda p: srsly.write_json(p, self.cfg),
            "model": self.model.to_disk,
            "vocab": lambda p: self.vocab.to_disk(p, exclude=exclude),
        }
        util.to_disk(path, serialize, exclude)
        extras = self.get_extras()
        for name in self.extras:
            if name in extras and name not in exclude:
                srsly.write_msgpack(Path(path) / name, extras[name])
            else:  # of a component saved here before
                (Path(path) / name).unlink(missing_ok=True)

    def from_disk(self, path: Union[str, Path], *, exclude: Iterable[str] = ()) -> "DocrePipe":
        self.load_cfg(deserialize_config(Path(path) / "cfg"))
        names = [name for name in self.extras if (Path(path) / name).is_file() and name not in exclude]
        self.set_extras({name: srsly.read_msgpack(Path(path) / name) for name in names})
        deserialize: Dict[str, Callable[[Path], Any]] = {
            "vocab": lambda p: self.vocab.from_disk(p, exclude=exclude),
            "model": lambda p: self._load_model(p.read_bytes()),
        }
        util.from_disk(path, deserialize, exclude)
        return self

    def load_cfg(self, cfg: Dict[str, Any]) -> None:
        """Take saved settings, those of earlier versions too."""
        self.cfg.update(cfg)

    def _load_model(self, data: bytes) -> None:
        self.model.from_bytes(data)


class LabelledPipe(DocrePipe):
    """A component with labels, from data or from a file."""

    @property
    def labels(self) -> Tuple[str, ...]:
        return tuple(self.cfg["labels"])

    @property
    def label_data(self) -> List[str]:
        return list(self.cfg["labels"])

    def add_label(self, label: str) -> int:
        """Add a label before the model is built. RETURNS (int): 0 if it was there already, else 1."""
        if label in self.cfg["labels"]:
            return 0
        if self.module is not None:
            raise ValueError(Errors.R211.format(name=self.name, label=label))
        self.cfg["labels"] = [*self.cfg["labels"], label]
        return 1

    def set_labels(self, given: Optional[Sequence[str]], found: Set[str]) -> None:
        """Fix the labels.

        given (Optional[Sequence[str]]): From the config's label file.
        found (Set[str]): In the training data.
        RAISES (ValueError): If there is none, or the data has one that is not given.
        """
        labels = list(given) if given is not None else sorted(found)
        if not labels:
            raise ValueError(Errors.R203.format(name=self.name, what=self.what))
        unknown = sorted(found - set(labels))
        if unknown:
            raise ValueError(Errors.R204.format(name=self.name, labels=", ".join(unknown)))
        self.cfg["labels"] = labels

    def warn_unknown(self, found: Iterable[str]) -> None:
        """Warn once that training documents have labels the model does not know."""
        unknown = sorted(set(found) - set(self.labels))
        if unknown:
            self.warn_once(Warnings.RW06.format(name=self.name, labels=", ".join(unknown)))


def check_share(name: str, setting: str, value: Any) -> None:
    """RAISES (ValueError): If a setting that is a probability lies outside [0, 1]."""
    if value is not None:
        check_number(setting, value, least=0, most=1, where=name)


def warn_missing(pipe: DocrePipe, n: int, what: str) -> None:
    """Warn once that documents lack what an earlier component should have set."""
    if n:
        pipe.warn_once(Warnings.RW02.format(name=pipe.name, n=n, what=what))


def warn_unsplit(pipe: DocrePipe, docs: Sequence[Doc]) -> None:
    """Warn once that documents have no sentence boundaries."""
    n = sum(len(doc) > 1 and not has_sentences(doc) for doc in docs)
    if n:
        pipe.warn_once(Warnings.RW01.format(name=pipe.name, n=n))
