"""The relation component: entity pairs in, relations with their evidence out (JEREX 3.1 d, with any relation head)."""

from collections import Counter
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

import numpy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Model

from ..arrays import Bools2d, Ints1d
from ..batches import PairBatch
from ..doc.extensions import install_extensions
from ..doc.layers import get_clusters, get_types, has_clusters, has_mentions
from ..doc.notes import get_title, note_skipped
from ..doc.records import RelationRecord, get_relation_data, has_relations, relation_record, set_relation_data
from ..doc.sentences import number_sentences
from ..errors import Warnings, check_number
from ..layers.encoded import EncodedBatch
from ..models.relation_model import explain, relation_scores, score
from ..models.torch_model import ModelInput, Scores, encode
from ..scoring.facts import collect_facts, facts_from_data, facts_to_data, hash_fact
from .docre_pipe import LabelledPipe, check_share, warn_unsplit
from .entity_pairs import all_pairs, draw_pairs, mark_relations, most_mentioned, near_pairs
from .evidence import Kept, Support, choose_evidence, keep_best
from .gold import get_gold_entities, get_gold_triples, make_entity_batch

Records = List[RelationRecord]


class DocreRelations(LabelledPipe):
    """Finds relations between clusters, and writes them as plain data from which `doc._.relations` is built.

    It learns from gold mentions and clusters, and runs on predicted ones.
    """

    what = "relations"
    extras: Tuple[str, ...] = ("facts",)
    minima = {"top_k": 1, "max_pairs": 1, "max_pair_distance": 0, "max_entities": 0, "n_negatives": 0}

    def __init__(self, vocab: Vocab, model: Model[ModelInput, Scores], name: str, **settings: Any) -> None:
        super().__init__(vocab, model, name, **settings)
        for share in ("alpha", "evidence_mass", "sentence_mass"):
            check_share(name, share, self.cfg[share])
        check_number("temperature", self.cfg["temperature"], above=0, where=name)
        self.facts: Optional[Set[int]] = None  # of the training data, as hashes; None where they are not known
        install_extensions(self.places)

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
        for eg in get_examples():
            docs = docs or [eg.predicted]
            types.update(label for label in get_types(eg.reference, self.places) if label)
            for record in get_relation_data(eg.reference, self.places) or ():
                kb_ids.setdefault(record["label"], record.get("kb_id", ""))
                counts[record["label"]] += 1
            if self.cfg["keep_facts"] and has_clusters(eg.reference, self.places):
                facts.update(map(hash_fact, collect_facts([eg.reference], self.places)))
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
        """Pair up the clusters of each Doc, those of a long Doc only where mentions are close together."""
        clusters = [get_clusters(doc, self.places) for doc in docs]
        batch = self._pair_up(docs, clusters, [get_types(doc, self.places) for doc in docs])
        n_pairs = numpy.bincount(batch.doc, minlength=len(docs))
        for doc, known, n in zip(docs, clusters, n_pairs.tolist()):
            note_skipped(doc, self.name, "entity pairs", len(known) * (len(known) - 1) - n)
        warn_unsplit(self, [doc for doc, n in zip(docs, n_pairs) if n and not self._found_by_ours(doc)])
        return batch

    def _found_by_ours(self, doc: Doc) -> bool:
        """Tell whether `docre_mentions` found the mentions: then they have scores, and it has warned of Docs without
        sentences itself."""
        return has_mentions(doc, self.places) and "scores" in doc.spans[self.places.mentions].attrs

    def _pair_up(
        self, docs: Sequence[Doc], clusters: Sequence[Sequence[Any]], types: Sequence[Sequence[str]]
    ) -> PairBatch:
        """Pair up entities in both orders, and number their types."""
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

    def make_training_batch(self, examples: Sequence[Example]) -> Optional[Tuple[PairBatch, Tuple[Bools2d, Ints1d]]]:
        """Pair up gold clusters.

        RETURNS (Optional[Tuple]): The pairs; relations (P, R), document (P,). None where no Example has relations.
        """
        number = {label: i for i, label in enumerate(self.labels)}
        clusters: List[list] = []
        types: List[List[str]] = []
        triples: List[List[Tuple[int, str, int]]] = []
        for eg in examples:
            clusters.append([])
            types.append([])
            triples.append([])
            if has_relations(eg.reference, self.places) and has_clusters(eg.reference, self.places):
                entities = get_gold_entities(eg, self.places)
                clusters[-1], types[-1] = entities.clusters, entities.types
                triples[-1] = get_gold_triples(eg, entities, self.places)
        self.warn_unknown(label for found in triples for _, label, _ in found)
        batch = self._pair_up([eg.predicted for eg in examples], clusters, types)
        if not len(batch):
            return None
        first = numpy.cumsum([0, *map(len, clusters)])  # entity of each document
        numbered = [
            (first[d] + head, number[label], first[d] + tail)
            for d, found in enumerate(triples)
            for head, label, tail in found
            if label in number
        ]
        gold = mark_relations(batch, numbered, len(self.labels))
        if self.cfg["n_negatives"]:
            rows = draw_pairs(gold, batch.doc, self.cfg["n_negatives"])
            batch, gold = PairBatch(batch.entities, batch.head[rows], batch.tail[rows]), gold[rows]
        return batch, (gold, batch.doc)

    def predict(self, docs: Iterable[Doc]) -> List[Records]:
        """Find the relations of each Doc, as plain data, best first."""
        docs = list(docs)
        self.check_trained()
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
            kept = self.select(part, score(self.model, encoded, part))
            support = self.find_support(encoded, kept, sentences)
            number = entities - first_entity[part.entities.doc]  # of each entity in its Doc
            for d, record in self.make_records(kept, support, number):
                records[d].append(record)
        return [sorted(found, key=lambda r: (-r["score"], r["head"], r["tail"], r["label"])) for found in records]

    def select(self, batch: PairBatch, scores: Scores) -> Kept:
        """Select the relations above the threshold, at most `top_k` per pair."""
        alpha = None if self.model.attrs["threshold_class"] else self.cfg["alpha"]
        score = relation_scores(scores["logits"], alpha, self.cfg["temperature"])
        pair, label = keep_best(score, self.cfg["threshold"], self.cfg["top_k"], strict=alpha is None)
        return Kept(PairBatch(batch.entities, batch.head[pair], batch.tail[pair]), label, score[pair, label])

    def find_support(self, encoded: EncodedBatch, kept: Kept, sentences: Sequence[Ints1d]) -> List[Support]:
        """Find the mention pairs and sentences that support relations.

        sentences (Sequence[Ints1d]): Number of each token's sentence, of each Doc.
        RETURNS (List[Support]): One a relation; empty where the head explains nothing or no evidence is asked for.
        """
        column = kept.label + self.model.attrs["threshold_class"]
        why = None
        if self.cfg["evidence_mass"]:
            why = explain(self.model, encoded, kept.batch, column, numpy.concatenate(sentences))
        if why is None:
            return [([], [])] * len(kept)
        masses = {name: self.cfg[name] for name in ("evidence_mass", "sentence_mass")}
        return choose_evidence(kept, why, sentences, **masses)

    def make_records(
        self, kept: Kept, support: Sequence[Support], number: Ints1d
    ) -> Iterator[Tuple[int, RelationRecord]]:
        """Write relations as plain data.

        support (Sequence[Support]): Sentences and mention pairs of each relation.
        number (Ints1d): Number of each entity of the batch in its Doc.
        YIELDS (Tuple[int, RelationRecord]): Row of the Doc and record.
        """
        head, tail = number[kept.batch.head].tolist(), number[kept.batch.tail].tolist()
        for i, d in enumerate(kept.batch.doc.tolist()):
            label = self.labels[kept.label[i]]
            sentences, pairs = support[i]
            record = relation_record(
                head[i],
                label,
                tail[i],
                kb_id=self.cfg["kb_ids"].get(label, ""),
                score=float(kept.score[i]),
                sentences=sentences,
                evidence=pairs,
            )
            yield d, record

    def set_annotations(self, docs: Sequence[Doc], predictions: Sequence[Records]) -> None:
        for doc, records in zip(docs, predictions):
            set_relation_data(doc, records, self.places)
            self.release(doc)
