"""Relation extraction between the entities of a document (JEREX 3.1 d, with any relation head)."""

from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple

import numpy
import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Model
from thinc.types import Floats1d, Ints1d
from torch import Tensor

from ..attributes import (
    CLUSTER_PREFIX,
    ENTITIES_ATTR,
    MENTIONS_KEY,
    RELATIONS_ATTR,
    get_clusters,
    get_relation_data,
    has_clusters,
    has_relations,
    install_extensions,
    relation_record,
    set_relation_data,
)
from ..errors import Errors, Warnings
from ..models.bridge import ModelInput, Scores
from ..models.relation_model import Explanation, predict_and_explain
from ..ty import PairBatch, SpanIndices
from .docre_pipe import DEFAULT_MAX_BATCH_ITEMS, LISTENER, LabelledPipe, check_share
from .gold import get_gold_entities, get_gold_triples, make_entity_batch

DEFAULT_MODEL = {
    "@architectures": "spacy-docre.RelationModel.v1",
    "tok2vec": LISTENER,
    "head": {
        "@architectures": "spacy-docre.AtlopHead.v1",
        "loss": {"@losses": "spacy-docre.AdaptiveThreshold.v1"},
    },
}

Records = List[Dict[str, Any]]
MentionPair = Tuple[SpanIndices, SpanIndices, float]


@dataclass(frozen=True)
class Kept:
    """Relations that are reported."""

    batch: PairBatch  # the entity pair of each, K rows
    label: Ints1d  # number of each label, (K,)
    score: Floats1d  # (K,)


@Language.factory(
    "docre_relations",
    assigns=["doc._.relations"],
    requires=["doc.spans"],
    default_config={
        "model": DEFAULT_MODEL,
        "threshold": 0.5,
        "top_k": 4,
        "max_pair_distance": 512,
        "evidence_mass": 0.8,
        "sentence_mass": 0.2,
        "loss_weight": 1.0,
        "spans_key": MENTIONS_KEY,
        "span_cluster_prefix": CLUSTER_PREFIX,
        "relations_attr": RELATIONS_ATTR,
        "entities_attr": ENTITIES_ATTR,
        "max_batch_items": DEFAULT_MAX_BATCH_ITEMS,
        "scorer": {"@scorers": "spacy-docre.relation_scorer.v1"},
    },
    default_score_weights={"relations_f": 1.0, "relations_p": None, "relations_r": None, "relations_untyped_f": None},
)
def make_docre_relations(
    nlp: Language,
    name: str,
    model: Model[ModelInput, Scores],
    threshold: float,
    top_k: int,
    max_pair_distance: int,
    evidence_mass: float,
    sentence_mass: float,
    loss_weight: float,
    spans_key: str,
    span_cluster_prefix: str,
    relations_attr: str,
    entities_attr: str,
    max_batch_items: int,
    scorer: Optional[Callable],
) -> "DocreRelations":
    """Build the component.

    model (Model[ModelInput, Scores]): Scores the relations of entity pairs.
    threshold (float): Score from which a relation is kept.
    top_k (int): Most relations of an ordered entity pair.
    max_pair_distance (int): Most tokens between the closest mentions of a pair at run time, 0 for no limit. Training
        documents are shorter than a window, so that what lies farther apart was never learned.
    evidence_mass (float): Share of a relation's support that its evidence carries at least; 0 for no evidence.
    sentence_mass (float): Share of the context's attention from which a sentence supports a relation.
    loss_weight (float): Share in the joint loss.
    spans_key (str): Key of `doc.spans` that tells whether mentions are annotated.
    span_cluster_prefix (str): Prefix of the keys of `doc.spans` that hold the clusters.
    relations_attr (str): Name of the Doc extension to write.
    entities_attr (str): Name of the Doc extension that shows the clusters.
    max_batch_items (int): Word pieces in a batch at run time.
    scorer (Optional[Callable]): Scoring method.
    """
    cfg = {
        "labels": [],
        "kb_ids": {},
        "threshold": threshold,
        "top_k": top_k,
        "max_pair_distance": max_pair_distance,
        "evidence_mass": evidence_mass,
        "sentence_mass": sentence_mass,
        "loss_weight": loss_weight,
        "spans_key": spans_key,
        "span_cluster_prefix": span_cluster_prefix,
        "relations_attr": relations_attr,
        "entities_attr": entities_attr,
        "max_batch_items": max_batch_items,
    }
    return DocreRelations(nlp.vocab, model, name, cfg=cfg, scorer=scorer)


class DocreRelations(LabelledPipe):
    """Finds relations between clusters, and writes them as plain data behind `doc._.relations`.

    It learns from gold mentions and clusters, and runs on predicted ones.
    """

    what = "relations"

    def __init__(
        self,
        vocab: Vocab,
        model: Model[ModelInput, Scores],
        name: str,
        *,
        cfg: Dict[str, Any],
        scorer: Optional[Callable[..., Dict[str, Any]]] = None,
    ) -> None:
        super().__init__(vocab, model, name, cfg=cfg, scorer=scorer)
        if cfg["top_k"] < 1:
            raise ValueError(Errors.R206.format(name=name, setting="top_k", expected="at least 1", value=cfg["top_k"]))
        check_share(name, "evidence_mass", cfg["evidence_mass"])
        check_share(name, "sentence_mass", cfg["sentence_mass"])
        install_extensions(cfg["relations_attr"], cfg["entities_attr"], cfg["span_cluster_prefix"])

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Optional[Language] = None,
        labels: Optional[Dict[str, str]] = None,
    ) -> None:
        """Fix the labels and build the model's layers.

        get_examples (Callable[[], Iterable[Example]]): Returns gold-standard Examples.
        nlp (Optional[Language]): The current nlp object.
        labels (Optional[Dict[str, str]]): Relation labels, and the identifier of each in its scheme ("" for none);
            from the data where None.
        """
        docs: List[Doc] = []
        kb_ids: Dict[str, str] = {}
        for eg in get_examples():
            docs = docs or [eg.predicted]
            for record in get_relation_data(eg.reference, self.cfg["relations_attr"]) or ():
                kb_ids.setdefault(record["label"], record.get("kb_id", ""))
        self.set_labels(None if labels is None else list(labels), set(kb_ids))
        self.cfg["kb_ids"] = {label: (labels or kb_ids).get(label, "") for label in self.labels}
        self._build_model(docs, len(self.labels) + 1)

    @property
    def label_data(self) -> Dict[str, str]:  # type: ignore[override]
        return {label: self.cfg["kb_ids"].get(label, "") for label in self.labels}

    def make_batch(self, docs: Sequence[Doc]) -> PairBatch:
        """RETURNS (PairBatch): All ordered pairs of the Docs' clusters with mentions close enough together."""
        batch = make_pairs([get_clusters(doc, self.cfg["span_cluster_prefix"]) for doc in docs])
        limit = self.cfg["max_pair_distance"]
        if not limit or not len(batch) or max(map(len, docs)) <= limit:
            return batch
        near = pair_distances(batch) <= limit
        if not near.all():
            n_far = int((~near).sum())
            self.warn_once(Warnings.RW09.format(name=self.name, n=n_far, total=len(batch), limit=limit))
        return PairBatch(batch.entities, batch.head[near], batch.tail[near])

    def make_training_batch(self, examples: Sequence[Example]) -> Optional[Tuple[PairBatch, Tuple[Tensor]]]:
        """RETURNS (Optional[Tuple]): All pairs of gold clusters and their relations; None where no Example has gold
        relations."""
        prefix, attr = self.cfg["span_cluster_prefix"], self.cfg["relations_attr"]
        number = {label: i + 1 for i, label in enumerate(self.labels)}
        clusters: List[list] = []
        triples: List[List[Tuple[int, str, int]]] = []
        for eg in examples:
            clusters.append([])
            triples.append([])
            if has_relations(eg.reference, attr) and has_clusters(eg.reference, self.cfg["spans_key"], prefix):
                entities = get_gold_entities(eg, prefix)
                clusters[-1] = entities.clusters
                triples[-1] = get_gold_triples(eg, entities, attr)
        self.warn_unknown(label for found in triples for _, label, _ in found)
        batch = make_pairs(clusters)
        if not len(batch):
            return None
        # The pair (h, t) of a document with E entities is its row h * (E - 1) + t - (t > h).
        gold = torch.zeros(len(batch), len(self.labels) + 1, dtype=torch.bool)
        offset = 0
        for found, known in zip(triples, clusters):
            n = len(known)
            for head, label, tail in found:
                if head != tail and label in number:
                    gold[offset + head * (n - 1) + tail - (tail > head), number[label]] = True
            offset += n * max(n - 1, 0)
        return batch, (gold,)

    def predict(self, docs: Iterable[Doc]) -> List[Records]:
        """RETURNS (List[Records]): Plain relation data of each Doc, best first."""
        docs = list(docs)
        self.check_trained()
        batch = self.make_batch(docs)
        if not len(batch):
            return [[] for _ in docs]
        if not self.cfg["evidence_mass"]:
            scores = self.model.predict((docs, batch))
            return self.decode(docs, batch, self.select(batch, scores), None)
        kept: List[Kept] = []

        def choose(scores: Scores) -> Tuple[PairBatch, numpy.ndarray, numpy.ndarray]:
            kept.append(self.select(batch, scores))
            sentence = numpy.concatenate([number_sentences(doc) for doc in docs])
            return kept[0].batch, kept[0].label + 1, sentence

        _, explanation = predict_and_explain(self.model, docs, batch, choose)
        return self.decode(docs, batch, kept[0], explanation)

    def select(self, batch: PairBatch, scores: Scores) -> "Kept":
        """RETURNS (Kept): The relations above the threshold, best of each pair first come."""
        score = relation_scores(scores["logits"])
        pair, label = keep_best(score, self.cfg["threshold"], self.cfg["top_k"])
        return Kept(PairBatch(batch.entities, batch.head[pair], batch.tail[pair]), label, score[pair, label])

    def decode(  # type: ignore[override]
        self, docs: Sequence[Doc], batch: PairBatch, kept: "Kept", explanation: Optional[Explanation]
    ) -> List[Records]:
        """RETURNS (List[Records]): Plain relation data of each Doc, best first."""
        records: List[Records] = [[] for _ in docs]
        evidence = self.find_evidence(docs, kept, explanation)
        first_entity = numpy.searchsorted(batch.entities.doc, numpy.arange(len(docs)))
        for i, d in enumerate(kept.batch.doc.tolist()):
            label = self.labels[kept.label[i]]
            sentences, mention_pairs = evidence[i]
            records[d].append(
                relation_record(
                    kept.batch.head[i] - first_entity[d],
                    label,
                    kept.batch.tail[i] - first_entity[d],
                    kb_id=self.cfg["kb_ids"].get(label, ""),
                    score=float(kept.score[i]),
                    sentences=sentences,
                    evidence=mention_pairs,
                )
            )
        return [sorted(found, key=lambda r: (-r["score"], r["head"], r["tail"], r["label"])) for found in records]

    def find_evidence(
        self, docs: Sequence[Doc], kept: "Kept", explanation: Optional[Explanation]
    ) -> List[Tuple[List[int], List[MentionPair]]]:
        """Choose the fewest mention pairs that carry `evidence_mass` of each relation, and its sentences: those of
        these mentions, and those with `sentence_mass` of the context's attention.

        RETURNS: Sentence numbers and mention pairs with their weights, strongest first, of each relation.
        """
        found: List[Tuple[List[int], List[MentionPair]]] = [([], []) for _ in range(len(kept.batch))]
        if explanation is None:
            return found
        m = kept.batch.entities.mentions
        sentence = [number_sentences(doc) for doc in docs]
        order = numpy.lexsort((-explanation.weight, explanation.pair))
        bounds = numpy.searchsorted(explanation.pair[order], numpy.arange(len(found) + 1))
        for i, (sentences, pairs) in enumerate(found):
            rows = order[bounds[i] : bounds[i + 1]]
            before = numpy.cumsum(explanation.weight[rows]) - explanation.weight[rows]
            for row in rows[before < self.cfg["evidence_mass"] - 1e-6]:
                h, t = explanation.head[row], explanation.tail[row]
                spans = (int(m.start[h]), int(m.end[h])), (int(m.start[t]), int(m.end[t]))
                pairs.append((*spans, float(explanation.weight[row])))
            doc = sentence[int(kept.batch.doc[i])]
            chosen = {int(doc[span[0]]) for pair in pairs for span in pair[:2]}
            if explanation.sentence_mass is not None:
                chosen.update(numpy.flatnonzero(explanation.sentence_mass[i] >= self.cfg["sentence_mass"]).tolist())
            sentences.extend(sorted(chosen))
        return found

    def set_annotations(self, docs: Sequence[Doc], predictions: Sequence[Records]) -> None:
        for doc, records in zip(docs, predictions):
            set_relation_data(doc, records, self.cfg["relations_attr"])
            self.release(doc)


def make_pairs(clusters: Sequence[Sequence[Any]]) -> PairBatch:
    """RETURNS (PairBatch): All ordered pairs of different entities of each document, head by head."""
    entities = make_entity_batch(clusters)
    heads, tails, offset = [], [], 0
    for cluster in clusters:
        n = len(cluster)
        head, tail = numpy.divmod(numpy.arange(n * n), max(n, 1))
        different = head != tail
        heads.append(head[different] + offset)
        tails.append(tail[different] + offset)
        offset += n
    empty = numpy.zeros(0, dtype="int64")
    return PairBatch(entities, numpy.concatenate([empty, *heads]), numpy.concatenate([empty, *tails]))


def pair_distances(batch: PairBatch) -> Ints1d:
    """RETURNS (Ints1d): Tokens between the starts of the closest mentions of each pair. Shape (P,)."""
    e = batch.entities
    first = numpy.searchsorted(e.entity, numpy.arange(len(e)))
    distance = numpy.zeros(len(batch), dtype="int64")
    for doc in numpy.unique(batch.doc):
        members = numpy.flatnonzero(e.doc == doc)
        rows = slice(first[members[0]], numpy.searchsorted(e.entity, members[-1], side="right"))
        start, bounds = e.mentions.start[rows], first[members] - first[members[0]]
        table = numpy.abs(start[:, None] - start[None])
        table = numpy.minimum.reduceat(numpy.minimum.reduceat(table, bounds, axis=0), bounds, axis=1)
        pairs = numpy.flatnonzero(batch.doc == doc)
        distance[pairs] = table[batch.head[pairs] - members[0], batch.tail[pairs] - members[0]]
    return distance


def relation_scores(logits: Tensor) -> numpy.ndarray:
    """Score relations against the threshold class: sigmoid(f_r - f_TH).

    logits (Tensor): Column 0 is TH. Shape (P, R + 1).
    RETURNS (numpy.ndarray): Shape (P, R).
    """
    return (logits[:, 1:] - logits[:, :1]).double().sigmoid().cpu().numpy()


def keep_best(score: numpy.ndarray, threshold: float, top_k: int) -> Tuple[numpy.ndarray, numpy.ndarray]:
    """Keep the relations that lie above the threshold, at most top_k of a pair; ties by column.

    score (numpy.ndarray): Shape (P, R). A score of 0.5 equals that of the threshold class, and is not above it.
    RETURNS (Tuple[numpy.ndarray, numpy.ndarray]): Pair and relation of each kept score.
    """
    kept = score > threshold
    crowded = numpy.flatnonzero(kept.sum(1) > top_k)
    if len(crowded):
        order = numpy.argsort(-score[crowded], axis=1, kind="stable")
        kept[crowded[:, None], order[:, top_k:]] = False
    pair, relation = numpy.nonzero(kept)
    return pair, relation


def number_sentences(doc: Doc) -> Ints1d:
    """RETURNS (Ints1d): Number of each token's sentence; all 0 where no sentences are set. Shape (T,)."""
    starts = doc.to_array("SENT_START").astype("int64") == 1 if len(doc) else numpy.zeros(0, dtype=bool)
    return numpy.maximum(numpy.cumsum(starts) - 1, 0)
