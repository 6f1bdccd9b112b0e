"""Count what gold documents hold, and say in plain words what is wrong with them."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, Iterator, List, Optional, Set, Tuple

from spacy.tokens import Doc

from ..doc.layers import get_clusters, get_mentions, get_types
from ..doc.names import normalize_space
from ..doc.notes import get_title
from ..doc.places import DEFAULT, Places
from ..doc.records import RelationRecord, get_relation_data
from ..doc.sentences import has_sentences, number_sentences
from .corpus import HAS_LAYER

LAYERS = ("sents", "mentions", "clusters", "types", "relations")
N_NAMED = 5  # labels or titles that a warning names


@dataclass
class Statistics:
    """Counts of a corpus. A fact is a relation between two entities, counted once a document; a pair is ordered."""

    documents: int = 0
    sentences: int = 0
    tokens: int = 0
    entities: int = 0
    mentions: int = 0
    memberships: int = 0  # mentions, each in as many entities as it is in
    multi_mention_entities: int = 0
    pairs: int = 0
    related_pairs: int = 0
    facts: int = 0
    facts_with_evidence: int = 0
    facts_within_sentence: int = 0
    facts_in_sentences: int = 0  # facts of documents that have sentences
    broken_relations: int = 0
    crossing_mentions: int = 0
    untyped_entities: int = 0
    without_layer: Counter = field(default_factory=Counter)
    too_few_entities: int = 0
    types: Counter = field(default_factory=Counter)
    labels: Counter = field(default_factory=Counter)
    texts: Dict[int, str] = field(default_factory=dict)  # by hash, one title
    repeated: List[str] = field(default_factory=list)  # titles of documents whose text was there before

    def add(self, doc: Doc, places: Places = DEFAULT) -> None:
        """Count one more document.

        places (Places): Where its layers are kept.
        """
        key = hash(normalize_space(doc.text).casefold())
        if key in self.texts:
            self.repeated.append(get_title(doc))
        self.texts.setdefault(key, get_title(doc))
        self.documents += 1
        self.tokens += len(doc)
        self.without_layer.update(layer for layer in LAYERS if not HAS_LAYER[layer](doc, places))
        clusters, types = get_clusters(doc, places), get_types(doc, places)
        sentence = number_sentences(doc).tolist() if has_sentences(doc) else []
        self.sentences += max(sentence, default=-1) + 1
        self.entities += len(clusters)
        self.mentions += len(get_mentions(doc, places))
        self.memberships += sum(map(len, clusters))
        self.multi_mention_entities += sum(len(spans) > 1 for spans in clusters)
        self.untyped_entities += sum(not label for label in types)
        self.types.update(label for label in types if label)
        if sentence:
            self.crossing_mentions += sum(sentence[s] != sentence[e - 1] for s, e in get_mentions(doc, places))
        relations = get_relation_data(doc, places)
        if relations is not None:
            self.pairs += len(clusters) * (len(clusters) - 1)
            self.too_few_entities += len(clusters) < 2
            self._add_relations(
                relations, [{sentence[s] for s, _ in spans} if sentence else set() for spans in clusters]
            )

    def _add_relations(self, relations: List[RelationRecord], sentences: List[Set[int]]) -> None:
        """sentences (List[Set[int]]): Where each entity is mentioned."""
        facts: Dict[Tuple[int, str, int], bool] = {}
        for relation in relations:
            head, tail = relation["head"], relation["tail"]
            if head == tail or not (0 <= head < len(sentences) and 0 <= tail < len(sentences)):
                self.broken_relations += 1
                continue
            key = (head, relation["label"], tail)
            facts[key] = facts.get(key, False) or bool(relation.get("sentences") or relation.get("evidence"))
        self.facts += len(facts)
        self.facts_with_evidence += sum(facts.values())
        self.related_pairs += len({(head, tail) for head, _, tail in facts})
        self.labels.update(label for _, label, _ in facts)
        if any(sentences):
            self.facts_in_sentences += len(facts)
            self.facts_within_sentence += sum(bool(sentences[head] & sentences[tail]) for head, _, tail in facts)

    def to_dict(self) -> Dict[str, Any]:
        """List all figures as plain data. A share of nothing is None."""
        annotated = self.documents - self.without_layer["relations"]
        return {
            "documents": self.documents,
            "sentences": self.sentences,
            "tokens": self.tokens,
            "entities": self.entities,
            "mentions": self.mentions,
            "mentions_per_entity": _share(self.memberships, self.entities),
            "multi_mention_entities": _share(self.multi_mention_entities, self.entities),
            "documents_with_relations": annotated,
            "facts": self.facts,
            "facts_per_document": _share(self.facts, annotated),
            "pairs": self.pairs,
            "pairs_without_relation": _share(self.pairs - self.related_pairs, self.pairs),
            "facts_with_evidence": _share(self.facts_with_evidence, self.facts),
            "facts_within_sentence": _share(self.facts_within_sentence, self.facts_in_sentences),
            "types": dict(self.types.most_common()),
            "labels": dict(self.labels.most_common()),
        }

    def warnings(self, other: Optional["Statistics"] = None) -> List[str]:
        """Say what is wrong, and what to do about it. other: a corpus to compare with."""
        return [*self._missing(), *self._doubtful(), *(self._shared(other) if other else ())]

    def _missing(self) -> Iterator[str]:
        n = self.documents
        if not self.entities:
            yield (
                "No document has entities, so nothing can be trained or scored. Look at what the conversion dropped; "
                "if the files keep entities under other names, say so with --places."
            )
        for layer, remedy in REMEDIES.items():
            n_without = self.without_layer[layer]
            if n_without and not (layer == "types" and self.without_layer["clusters"] == n_without):
                yield f"{n_without} of {n} documents have no annotated {layer}: {remedy}"
        if n > self.without_layer["relations"] and not self.facts:
            yield (
                "Relations are annotated, but there is not one: all scores of relations will be zero. If they are not "
                "annotated yet, leave the key out (null), so that they do not count as none."
            )
        if self.untyped_entities:
            yield (
                f"{self.untyped_entities} of {self.entities} entities have no type: their documents do not train "
                "types. Give each entity a label."
            )

    def _doubtful(self) -> Iterator[str]:
        if self.too_few_entities:
            yield (
                f"{self.too_few_entities} documents have annotated relations, but fewer than two entities: they teach "
                "relations nothing."
            )
        if self.broken_relations:
            yield (
                f"{self.broken_relations} relations do not join two different entities of their document, and break "
                "training. Convert the corpus anew from its source."
            )
        if self.crossing_mentions:
            yield (
                f"{self.crossing_mentions} mentions run over the end of a sentence, where docre_mentions never finds "
                "them. Correct the sentences."
            )
        rare = sorted(label for label, count in self.labels.items() if count == 1)
        if rare:
            yield (
                f"{len(rare)} relations have one example only, too few to learn: {_name(rare)}. Add some, or leave "
                "them out."
            )
        if self.repeated:
            yield (
                f"{len(self.repeated)} documents have the text of an earlier one: {_name(self.repeated)}. Keep one of "
                "each."
            )

    def _shared(self, other: "Statistics") -> Iterator[str]:
        titles = [title for key, title in self.texts.items() if key in other.texts]
        if titles:
            yield (
                f"{len(titles)} texts are in both corpora: {_name(titles)}. Scores on them say nothing: "
                "take them out of one."
            )
        new = [label for label in self.labels if label not in other.labels]
        if new and other.labels:
            yield f"{len(new)} relations are not in the other corpus, and can't be learned there: {_name(new)}."


REMEDIES = {
    "sents": "each counts as one sentence here, and the pipeline finds its own.",
    "mentions": "they train nothing.",
    "clusters": "they train mentions only.",
    "types": "they do not train types.",
    "relations": "they train all but relations. Where nothing is related, annotate it as an empty list.",
}


def count_documents(docs: Iterable[Doc], places: Places = DEFAULT) -> Statistics:
    """Count what documents hold in these places."""
    statistics = Statistics()
    for doc in docs:
        statistics.add(doc, places)
    return statistics


def _share(part: int, whole: int) -> Optional[float]:
    return part / whole if whole else None


def _name(values: List[str]) -> str:
    more = len(values) - N_NAMED
    return ", ".join(f"{value!r}" for value in values[:N_NAMED]) + (f" and {more} more" if more > 0 else "")
