"""Entity classification: which type an entity is of (JEREX 3.1 c)."""

from typing import Callable, Iterable, List, Optional, Sequence, Set, Tuple

import numpy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Model

from ..arrays import Ints1d
from ..batches import EntityBatch
from ..doc.layers import get_clusters, get_types, has_types, set_clusters
from ..doc.notes import is_given
from ..doc.places import DEFAULT
from ..models.torch_model import ModelInput, Scores
from .docre_pipe import DEFAULT_MAX_BATCH_ITEMS, LISTENER, LabelledPipe
from .gold import get_gold_entities, make_entity_batch

DEFAULT_MODEL = {"@architectures": "spacy-docre.EntityTyper.v1", "tok2vec": LISTENER}

Types = Optional[Tuple[List[str], List[float]]]


@Language.factory(
    "docre_types",
    assigns=["doc.spans"],
    requires=["doc.spans"],
    default_config={
        "model": DEFAULT_MODEL,
        "loss_weight": 0.25,
        "spans_key": DEFAULT.mentions,
        "span_cluster_prefix": DEFAULT.clusters,
        "max_batch_items": DEFAULT_MAX_BATCH_ITEMS,
        "scorer": {"@scorers": "spacy-docre.type_scorer.v1"},
    },
    default_score_weights={"types_f": 0.0, "types_p": None, "types_r": None},
)
def make_docre_types(
    nlp: Language,
    name: str,
    model: Model[ModelInput, Scores],
    loss_weight: float,
    spans_key: str,
    span_cluster_prefix: str,
    max_batch_items: int,
    scorer: Optional[Callable],
) -> "DocreTypes":
    """Build the component that gives each entity a type (JEREX 3.1 c).

    model (Model[ModelInput, Scores]): Scores the types of entities.
    loss_weight (float): Factor of this component's loss in joint training.
    spans_key (str): Key of `doc.spans` that tells whether mentions are annotated.
    span_cluster_prefix (str): Prefix of the keys of `doc.spans` that hold the clusters.
    max_batch_items (int): Word pieces in a batch at run time.
    scorer (Optional[Callable]): Scores this component's annotation in evaluation; None for no scores.
    """
    cfg = {
        "labels": [],
        "loss_weight": loss_weight,
        "spans_key": spans_key,
        "span_cluster_prefix": span_cluster_prefix,
        "max_batch_items": max_batch_items,
    }
    return DocreTypes(nlp.vocab, model, name, cfg=cfg, scorer=scorer)


class DocreTypes(LabelledPipe):
    """Gives each cluster a type, as the label of its spans."""

    what = "entity types"

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Optional[Language] = None,
        labels: Optional[List[str]] = None,
    ) -> None:
        """Fix the labels and build the model's layers.

        get_examples (Callable[[], Iterable[Example]]): Returns gold-standard Examples.
        nlp (Optional[Language]): The current nlp object.
        labels (Optional[List[str]]): The entity types; from the data where None.
        """
        docs: List[Doc] = []
        found: Set[str] = set()
        for eg in get_examples():
            docs = docs or [eg.predicted]
            found.update(label for label in get_types(eg.reference, self.places) if label)
        self.set_labels(labels, found)
        self._build_model(docs, len(self.labels))

    def make_batch(self, docs: Sequence[Doc]) -> EntityBatch:
        """Flatten the clusters of Docs, but none of Docs whose types are given."""
        return make_entity_batch([[] if is_given(doc, "types") else get_clusters(doc, self.places) for doc in docs])

    def make_training_batch(self, examples: Sequence[Example]) -> Optional[Tuple[EntityBatch, Tuple[Ints1d, Ints1d]]]:
        """Collect gold clusters with a type that the model knows.

        RETURNS (Optional[Tuple]): The clusters; number of type (E,), document (E,). None where no Example has types.
        """
        number = {label: i for i, label in enumerate(self.labels)}
        clusters: List[list] = []
        labels: List[List[int]] = []
        for eg in examples:
            clusters.append([])
            labels.append([])
            if has_types(eg.reference, self.places):
                entities = get_gold_entities(eg, self.places)
                self.warn_unknown(entities.types)
                known = [i for i, label in enumerate(entities.types) if label in number]
                clusters[-1] = [entities.clusters[i] for i in known]
                labels[-1] = [number[entities.types[i]] for i in known]
        batch = make_entity_batch(clusters, labels)
        return (batch, (batch.label, batch.doc)) if len(batch) else None

    def decode(self, docs: Sequence[Doc], batch: EntityBatch, scores: Scores) -> List[Types]:
        """Choose the type of each cluster, with its probability; None where types are given."""
        probability = scores["logits"].softmax(-1).cpu().numpy() if scores else numpy.zeros((0, 1))
        best = probability.argmax(-1)
        types: List[Types] = []
        for i, doc in enumerate(docs):
            rows = numpy.flatnonzero(batch.doc == i)
            found = ([self.labels[n] for n in best[rows]], probability[rows, best[rows]].tolist())
            types.append(None if is_given(doc, "types") else found)
        return types

    def set_annotations(self, docs: Sequence[Doc], predictions: Sequence[Types]) -> None:
        for doc, types in zip(docs, predictions):
            if types is not None:
                set_clusters(doc, get_clusters(doc, self.places), *types, places=self.places)
            self.release(doc)
