"""Relation extraction between the entities of a document (JEREX 3.1 d, with any relation head)."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

import numpy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer
from wasabi import msg

from ..arrays import Floats1d, Ints1d, SpanIndices
from ..attributes import (
    CLUSTER_PREFIX,
    ENTITIES_ATTR,
    MENTIONS_KEY,
    RELATIONS_ATTR,
    get_clusters,
    get_relation_data,
    get_title,
    get_types,
    has_clusters,
    has_relations,
    install_extensions,
    note_skipped,
    relation_record,
    set_relation_data,
)
from ..batches import PairBatch
from ..errors import Warnings, check_number
from ..layers.encoded import EncodedBatch
from ..layers.segments import expand_ranges
from ..models.relation_head import Explanation
from ..models.relation_model import explain, relation_scores, score
from ..models.torch_model import ModelInput, Scores, encode
from ..scoring.facts import collect_facts, facts_from_data, facts_to_data, hash_fact
from .docre_pipe import DEFAULT_MAX_BATCH_ITEMS, LISTENER, LabelledPipe, check_share, warn_unsplit
from .em_schedule import E, describe_steps, phase_by_steps, start_state
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
        "alpha": 0.5,
        "temperature": 1.0,
        "top_k": 4,
        "n_negatives": 0,
        "max_pair_distance": 512,
        "max_entities": 0,
        "max_pairs": 16384,
        "evidence_mass": 0.8,
        "sentence_mass": 0.2,
        "loss_weight": 1.0,
        "keep_facts": True,
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
    alpha: float,
    temperature: float,
    top_k: int,
    n_negatives: int,
    max_pair_distance: int,
    max_entities: int,
    max_pairs: int,
    evidence_mass: float,
    sentence_mass: float,
    loss_weight: float,
    keep_facts: bool,
    spans_key: str,
    span_cluster_prefix: str,
    relations_attr: str,
    entities_attr: str,
    max_batch_items: int,
    scorer: Optional[Callable],
) -> "DocreRelations":
    """Build the component that finds relations between entities, with any relation head.

    model (Model[ModelInput, Scores]): Scores the relations of entity pairs.
    threshold (float): Score from which a relation is kept.
    alpha (float): Probability that has the score 0.5; not used if the head's loss has a threshold class.
    temperature (float): Divides the logits of the scores: `tune --calibrate` fits it, so that of the relations scored
        0.8 between right entities about 80 percent are right. The threshold counts calibrated scores.
    top_k (int): Most relations of an ordered entity pair.
    n_negatives (int): Pairs without a relation drawn from each document in training; 0 for all.
    max_pair_distance (int): Most tokens between the closest mentions of a pair, 0 for no limit. Documents no longer
        than that are not concerned; in longer ones, the number of pairs would grow with the square of the length.
    max_entities (int): Most entities of a document that take part, those with most mentions first; 0 for no limit.
    max_pairs (int): Entity pairs scored at a time.
    evidence_mass (float): Share of a relation's support that its evidence carries at least; 0 for no evidence.
    sentence_mass (float): Share of the context's attention from which a sentence supports a relation.
    loss_weight (float): Factor of this component's loss in joint training.
    keep_facts (bool): Keep the facts of the training data, as hashes, in a file of about nine bytes a fact: Ign F1
        leaves them out. Without them that score is None.
    spans_key (str): Key of `doc.spans` that tells whether mentions are annotated.
    span_cluster_prefix (str): Prefix of the keys of `doc.spans` that hold the clusters.
    relations_attr (str): Name of the Doc extension to write.
    entities_attr (str): Name of the Doc extension that shows the clusters.
    max_batch_items (int): Word pieces in a batch at run time.
    scorer (Optional[Callable]): Scores this component's annotation in evaluation; None for no scores.
    """
    cfg: Dict[str, Any] = {
        "labels": [],
        "kb_ids": {},
        "entity_types": [],
        "frequencies": None,
        "threshold": threshold,
        "alpha": alpha,
        "temperature": temperature,
        "top_k": top_k,
        "n_negatives": n_negatives,
        "max_pair_distance": max_pair_distance,
        "max_entities": max_entities,
        "max_pairs": max_pairs,
        "evidence_mass": evidence_mass,
        "sentence_mass": sentence_mass,
        "loss_weight": loss_weight,
        "keep_facts": keep_facts,
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
    extras = ("facts",)
    least = {"top_k": 1, "max_pairs": 1, "max_pair_distance": 0, "max_entities": 0, "n_negatives": 0}

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
        check_share(name, "alpha", cfg["alpha"])
        check_share(name, "evidence_mass", cfg["evidence_mass"])
        check_share(name, "sentence_mass", cfg["sentence_mass"])
        check_number("temperature", cfg["temperature"], above=0, where=name)
        if model.attrs["phases"]:
            self.cfg["em"] = start_state()
        self.facts: Optional[Set[int]] = None  # of the training data, as hashes; None where they are not known
        self._led = False  # whether a callback of the training leads through the phases
        self._learned = False  # since the last step of the optimizer
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
        types: Set[str] = set()
        counts: Counter = Counter()
        facts: Set[int] = set()
        key, prefix, attr = (self.cfg[name] for name in ("spans_key", "span_cluster_prefix", "relations_attr"))
        for eg in get_examples():
            docs = docs or [eg.predicted]
            types.update(label for label in get_types(eg.reference, prefix) if label)
            for record in get_relation_data(eg.reference, attr) or ():
                kb_ids.setdefault(record["label"], record.get("kb_id", ""))
                counts[record["label"]] += 1
            if self.cfg["keep_facts"] and has_clusters(eg.reference, key, prefix):
                facts.update(map(hash_fact, collect_facts([eg.reference], prefix=prefix, attr=attr)))
        self.set_labels(None if labels is None else list(labels), set(kb_ids))
        # Of a corpus that is streamed, spaCy shows the first 100 documents only.
        streamed = nlp is not None and nlp.config["training"].get("max_epochs") == -1
        self.facts = facts if self.cfg["keep_facts"] and not streamed else None
        self.cfg["frequencies"] = None if streamed else {label: counts[label] for label in self.labels}
        self.cfg["kb_ids"] = {label: (labels or kb_ids).get(label, "") for label in self.labels}
        if self.model.has_dim("n_types") is None:  # a head that looks at types
            self.cfg["entity_types"] = sorted(types)
            self.model.set_dim("n_types", len(types))
        self._build_model(docs, len(self.labels) + self.model.attrs["threshold_class"])

    def get_extras(self) -> Dict[str, Any]:
        return {} if self.facts is None else {"facts": facts_to_data(self.facts, self.cfg["frequencies"])}

    def set_extras(self, extras: Dict[str, Any]) -> None:
        self.facts = facts_from_data(extras["facts"], self.name)[0] if "facts" in extras else None

    def score(self, examples: Iterable[Example], **kwargs: Any) -> Dict[str, Any]:
        """Score a batch of examples, with the facts of the training data unless the caller gives others."""
        return super().score(examples, **{"facts": self.facts, **kwargs})

    @property
    def label_data(self) -> Dict[str, str]:  # type: ignore[override]
        return {label: self.cfg["kb_ids"].get(label, "") for label in self.labels}

    def make_batch(self, docs: Sequence[Doc]) -> PairBatch:
        """RETURNS (PairBatch): Ordered pairs of the Docs' clusters, of long Docs those with mentions close together."""
        prefix = self.cfg["span_cluster_prefix"]
        clusters = [get_clusters(doc, prefix) for doc in docs]
        batch = self._pair_up(docs, clusters, [get_types(doc, prefix) for doc in docs])
        n_pairs = numpy.bincount(batch.doc, minlength=len(docs))
        for doc, known, n in zip(docs, clusters, n_pairs.tolist()):
            note_skipped(doc, self.name, "entity pairs", len(known) * (len(known) - 1) - n)
        warn_unsplit(self, [doc for doc, n in zip(docs, n_pairs) if n and not self._found_by_ours(doc)])
        return batch

    def _found_by_ours(self, doc: Doc) -> bool:
        """RETURNS (bool): Whether `docre_mentions`, which tells of Docs without sentences itself, found the mentions:
        they have scores then."""
        key = self.cfg["spans_key"]
        return key in doc.spans and "scores" in doc.spans[key].attrs

    def _pair_up(
        self, docs: Sequence[Doc], clusters: Sequence[Sequence[Any]], types: Sequence[Sequence[str]]
    ) -> PairBatch:
        """RETURNS (PairBatch): Ordered pairs of entities, with the numbers of their types."""
        number = {label: i for i, label in enumerate(self.cfg["entity_types"])}
        labels = [[number.get(label, -1) for label in found] for found in types]
        entities = make_entity_batch(clusters, labels, [number_sentences(doc) for doc in docs])
        pairs, offset = [], 0
        limit = self.cfg["max_pair_distance"]
        for doc, known in zip(docs, clusters):
            rows = most_mentioned(known, self.cfg["max_entities"])
            far = limit and len(doc) > limit
            found = near_pairs([known[i] for i in rows], limit) if far else all_pairs(len(rows))
            pairs.append(rows[found] + offset)
            offset += len(known)
            n, total = len(found), len(known) * (len(known) - 1)
            if n < total:
                title = get_title(doc)
                self.warn_once(Warnings.RW09.format(name=self.name, n=total - n, total=total, limit=limit, title=title))
        head, tail = numpy.concatenate([numpy.zeros((0, 2), dtype="int64"), *pairs]).T
        return PairBatch(entities, head, tail)

    def make_training_batch(
        self, examples: Sequence[Example]
    ) -> Optional[Tuple[PairBatch, Tuple[numpy.ndarray, Ints1d]]]:
        """RETURNS (Optional[Tuple]): Pairs of gold clusters, their relations (P, R) and documents (P,); None where no
        Example has gold relations."""
        prefix, attr = self.cfg["span_cluster_prefix"], self.cfg["relations_attr"]
        number = {label: i for i, label in enumerate(self.labels)}
        clusters: List[list] = []
        types: List[List[str]] = []
        triples: List[List[Tuple[int, str, int]]] = []
        for eg in examples:
            clusters.append([])
            types.append([])
            triples.append([])
            if has_relations(eg.reference, attr) and has_clusters(eg.reference, self.cfg["spans_key"], prefix):
                entities = get_gold_entities(eg, prefix)
                clusters[-1], types[-1] = entities.clusters, entities.types
                triples[-1] = get_gold_triples(eg, entities, attr)
        self.warn_unknown(label for found in triples for _, label, _ in found)
        batch = self._pair_up([eg.predicted for eg in examples], clusters, types)
        if not len(batch):
            return None
        gold = numpy.zeros((len(batch), len(self.labels)), dtype=bool)
        n = len(batch.entities)
        keys = batch.head * n + batch.tail  # rising
        offset = 0
        for found, known in zip(triples, clusters):
            for head, label, tail in found:
                key = (offset + head) * n + offset + tail
                row = numpy.searchsorted(keys, key)
                if label in number and row < len(keys) and keys[row] == key:
                    gold[row, number[label]] = True
            offset += len(known)
        if self.cfg["n_negatives"]:
            rows = draw_pairs(gold, batch.doc, self.cfg["n_negatives"])
            batch, gold = PairBatch(batch.entities, batch.head[rows], batch.tail[rows]), gold[rows]
        return batch, (gold, batch.doc)

    def enter_phase(self, phase: str) -> None:
        """Begin a phase of a head that has phases, or go on in it. Who calls this leads from then on; else the
        component counts its steps."""
        self._led = True
        self._enter_phase(phase)

    def _enter_phase(self, phase: str) -> None:
        if phase != self.cfg["em"]["phase"]:
            self.cfg["em"]["phase"] = phase
            msg.info(f"'{self.name}': phase {phase}; steps so far: {describe_steps(self.cfg['em'])}")

    def _hand_over_state(self) -> None:
        """Tell the head's module the phase, and the steps from which its threshold follows."""
        if "em" in self.cfg:
            module: Any = self.model.shims[0].module  # type: ignore[attr-defined]
            module.set_state(self.cfg["em"]["phase"], self.cfg["em"][E])

    def update(self, examples: Iterable[Example], **kwargs: Any) -> Dict[str, float]:
        """Learn from a batch; see DocrePipe.update. A head with phases learns what its phase says."""
        if "em" in self.cfg and not self._led:
            self._enter_phase(phase_by_steps(self.cfg["em"], self.model.attrs["phases"]))
        self._hand_over_state()
        self._learned = True
        return super().update(examples, **kwargs)

    def finish_update(self, sgd: Optimizer) -> None:
        super().finish_update(sgd)
        if "em" in self.cfg:
            self.cfg["em"][self.cfg["em"]["phase"]] += self._learned
        self._learned = False

    def predict(self, docs: Iterable[Doc]) -> List[Records]:
        """RETURNS (List[Records]): Plain relation data of each Doc, best first."""
        docs = list(docs)
        self.check_trained()
        self._hand_over_state()
        batch = self.make_batch(docs)
        records: List[Records] = [[] for _ in docs]
        if not len(batch):
            return records
        encoded = encode(self.model, (docs, batch))
        sentences = [number_sentences(doc) for doc in docs]
        first_entity = numpy.searchsorted(batch.entities.doc, numpy.arange(len(docs)))
        for start in range(0, len(batch), self.cfg["max_pairs"]):
            rows = numpy.arange(start, min(start + self.cfg["max_pairs"], len(batch)))
            part, entities = batch.select(rows)
            kept, explanation = self.extract(encoded, part, numpy.concatenate(sentences))
            number = entities - first_entity[part.entities.doc]
            for d, record in self.decode(kept, explanation, sentences, number):
                records[d].append(record)
        return [sorted(found, key=lambda r: (-r["score"], r["head"], r["tail"], r["label"])) for found in records]

    def extract(
        self, encoded: EncodedBatch, batch: PairBatch, sentence: Ints1d
    ) -> Tuple["Kept", Optional[Explanation]]:
        """RETURNS (Tuple[Kept, Optional[Explanation]]): Relations of some pairs, and what speaks for them."""
        kept = self.select(batch, score(self.model, encoded, batch))
        if not self.cfg["evidence_mass"]:
            return kept, None
        column = kept.label + self.model.attrs["threshold_class"]
        return kept, explain(self.model, encoded, kept.batch, column, sentence)

    def select(self, batch: PairBatch, scores: Scores) -> "Kept":
        """RETURNS (Kept): The relations above the threshold, best of each pair first come."""
        alpha = None if self.model.attrs["threshold_class"] else self.cfg["alpha"]
        score = relation_scores(scores["logits"], alpha, self.cfg["temperature"])
        pair, label = keep_best(score, self.cfg["threshold"], self.cfg["top_k"], strict=alpha is None)
        return Kept(PairBatch(batch.entities, batch.head[pair], batch.tail[pair]), label, score[pair, label])

    def decode(  # type: ignore[override]
        self, kept: "Kept", explanation: Optional[Explanation], sentences: Sequence[Ints1d], number: Ints1d
    ) -> Iterator[Tuple[int, Dict[str, Any]]]:
        """Write relations as plain data.

        sentences (Sequence[Ints1d]): Number of each token's sentence, of each Doc.
        number (Ints1d): Number of each entity of the batch in its Doc.
        YIELDS (Tuple[int, Dict[str, Any]]): Row of the Doc and record.
        """
        evidence = self.find_evidence(kept, explanation, sentences)
        for i, d in enumerate(kept.batch.doc.tolist()):
            label = self.labels[kept.label[i]]
            numbers, mention_pairs = evidence[i]
            yield (
                d,
                relation_record(
                    number[kept.batch.head[i]],
                    label,
                    number[kept.batch.tail[i]],
                    kb_id=self.cfg["kb_ids"].get(label, ""),
                    score=float(kept.score[i]),
                    sentences=numbers,
                    evidence=mention_pairs,
                ),
            )

    def find_evidence(
        self, kept: "Kept", explanation: Optional[Explanation], sentences: Sequence[Ints1d]
    ) -> List[Tuple[List[int], List[MentionPair]]]:
        """Choose the fewest mention pairs that carry `evidence_mass` of each relation, and its sentences: those of
        these mentions, and those with `sentence_mass` of the context's attention.

        RETURNS: Sentence numbers and mention pairs with their weights, strongest first, of each relation.
        """
        found: List[Tuple[List[int], List[MentionPair]]] = [([], []) for _ in range(len(kept.batch))]
        if explanation is None:
            return found
        m = kept.batch.entities.mentions
        order = numpy.lexsort((-explanation.weight, explanation.pair))
        bounds = numpy.searchsorted(explanation.pair[order], numpy.arange(len(found) + 1))
        attended: Dict[int, List[int]] = {}
        if explanation.sentences is not None:
            much = explanation.sentences.share >= self.cfg["sentence_mass"]
            for i, s in zip(explanation.sentences.pair[much].tolist(), explanation.sentences.sentence[much].tolist()):
                attended.setdefault(i, []).append(s)
        for i, (numbers, pairs) in enumerate(found):
            rows = order[bounds[i] : bounds[i + 1]]
            before = numpy.cumsum(explanation.weight[rows]) - explanation.weight[rows]
            for row in rows[before < self.cfg["evidence_mass"] - 1e-6]:
                h, t = explanation.head[row], explanation.tail[row]
                spans = (int(m.start[h]), int(m.end[h])), (int(m.start[t]), int(m.end[t]))
                pairs.append((*spans, float(explanation.weight[row])))
            doc = sentences[int(kept.batch.doc[i])]
            chosen = {int(doc[span[0]]) for pair in pairs for span in pair[:2]}
            chosen.update(attended.get(i, ()))
            numbers.extend(sorted(chosen))
        return found

    def set_annotations(self, docs: Sequence[Doc], predictions: Sequence[Records]) -> None:
        for doc, records in zip(docs, predictions):
            set_relation_data(doc, records, self.cfg["relations_attr"])
            self.release(doc)


def all_pairs(n: int) -> numpy.ndarray:
    """RETURNS (numpy.ndarray): All ordered pairs of n different entities, by first, then second. Shape (P, 2)."""
    pairs = numpy.stack(numpy.divmod(numpy.arange(n * n), max(n, 1)), axis=1)
    return pairs[pairs[:, 0] != pairs[:, 1]]


def near_pairs(clusters: Sequence[Sequence[SpanIndices]], limit: int) -> numpy.ndarray:
    """Find pairs of entities without looking at all of them.

    limit (int): Most tokens between the starts of the closest mentions of a pair.
    RETURNS (numpy.ndarray): Ordered pairs of different entities, by first, then second. Shape (P, 2).
    """
    entity = numpy.repeat(numpy.arange(len(clusters)), [len(c) for c in clusters])
    start = numpy.asarray([s for c in clusters for s, _ in c], dtype="int64")
    order = numpy.argsort(start, kind="stable")
    entity, start = entity[order], start[order]
    # For each mention, those behind it that are near enough.
    other, one = expand_ranges(numpy.arange(1, len(start) + 1), numpy.searchsorted(start, start + limit, "right"))
    n = len(clusters)
    keys = numpy.concatenate([entity[one] * n + entity[other], entity[other] * n + entity[one]])
    pairs = numpy.stack(numpy.divmod(numpy.unique(keys), max(n, 1)), axis=1)
    return pairs[pairs[:, 0] != pairs[:, 1]]


def most_mentioned(clusters: Sequence[Sequence[Any]], n: int) -> Ints1d:
    """RETURNS (Ints1d): Rows of the n entities with most mentions, rising; of all where n is 0."""
    order = numpy.argsort([-len(c) for c in clusters], kind="stable")
    return numpy.sort(order[:n] if n else order).astype("int64")


def draw_pairs(gold: numpy.ndarray, doc: Ints1d, n: int) -> Ints1d:
    """Draw pairs without a relation.

    gold (numpy.ndarray): Whether a relation holds. Shape (P, R), bool.
    doc (Ints1d): Document of each pair, rising. Shape (P,).
    n (int): Pairs to draw from each document.
    RETURNS (Ints1d): Rows of all pairs with a relation and of those drawn, rising.
    """
    positive = gold.any(1)
    drawn = numpy.random.permutation(numpy.flatnonzero(~positive))
    drawn = drawn[numpy.argsort(doc[drawn], kind="stable")]  # document by document, in the order drawn
    rank = numpy.arange(len(drawn)) - numpy.searchsorted(doc[drawn], doc[drawn])
    return numpy.sort(numpy.concatenate([numpy.flatnonzero(positive), drawn[rank < n]]))


def keep_best(
    score: numpy.ndarray, threshold: float, top_k: int, *, strict: bool
) -> Tuple[numpy.ndarray, numpy.ndarray]:
    """Keep the relations that reach the threshold, at most top_k of a pair; ties by column.

    score (numpy.ndarray): Shape (P, R).
    strict (bool): Whether they have to lie above it: a score of 0.5 equals that of the threshold class.
    RETURNS (Tuple[numpy.ndarray, numpy.ndarray]): Pair and relation of each kept score.
    """
    kept = score > threshold if strict else score >= threshold
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
