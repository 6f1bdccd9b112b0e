"""Views for users: entities, relations and their evidence, built on access."""

import operator
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, Mapping, Sequence, Tuple, Union

from spacy.tokens import Doc, Span

from ..errors import Errors
from .layers import cluster_keys
from .names import entity_name
from .places import DEFAULT, Places
from .records import RelationRecord, check_entities, get_relation_data, relation_record, set_relation_data
from .sentences import get_sentences, number_by_start

Triple = Tuple[int, str, int]  # head entity, label, tail entity


def _span_dict(span: Span) -> Dict[str, Any]:
    return {"start": span.start_char, "end": span.end_char, "text": span.text}


@dataclass(frozen=True)
class Entity:
    """One cluster of coreferent mentions.

    id (int): Position of the entity in `doc._.entities`: N - 1 of the span group `coref_clusters_N`.
    label (str): Entity type, "" where none was assigned.
    mentions (Tuple[Span, ...]): Mentions in document order.
    """

    id: int
    label: str
    mentions: Tuple[Span, ...]

    @property
    def text(self) -> str:
        """The entity's name: see `entity_name`."""
        return entity_name((m.start, m.text, (token.text for token in m)) for m in self.mentions)

    def to_dict(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): Plain data; offsets are characters (code points) of the text."""
        mentions = [_span_dict(m) for m in self.mentions]
        return {"id": self.id, "label": self.label, "text": self.text, "mentions": mentions}

    def __str__(self) -> str:
        return f"{self.text} ({self.label})" if self.label else self.text


@dataclass(frozen=True)
class Evidence:
    """A pair of mentions that supports a relation.

    head (Span): Mention of the head entity.
    tail (Span): Mention of the tail entity.
    weight (float): Share of the relation's support that the pair carries, in [0, 1].
    """

    head: Span
    tail: Span
    weight: float

    def to_dict(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): Plain data; offsets are characters (code points) of the text."""
        return {"head": _span_dict(self.head), "tail": _span_dict(self.tail), "weight": self.weight}

    def __str__(self) -> str:
        return f"{self.head.text} -> {self.tail.text} ({self.weight:.2f})"


@dataclass(frozen=True)
class Relation:
    """A directed relation between two entities of one Doc.

    head (Entity): Subject.
    label (str): Readable name of the relation.
    tail (Entity): Object.
    score (float): In [0, 1]; 1.0 for gold data.
    kb_id (str): Identifier of the relation in its scheme ("P108"), "" where there is none.
    evidence (Tuple[Evidence, ...]): Mention pairs, strongest first.
    sentences (Tuple[Span, ...]): Supporting sentences in document order.
    """

    head: Entity
    label: str
    tail: Entity
    score: float = 1.0
    kb_id: str = ""
    evidence: Tuple[Evidence, ...] = field(default=())
    sentences: Tuple[Span, ...] = field(default=())

    def to_dict(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): Plain data; offsets are characters (code points) of the text."""
        return {
            "head": self.head.to_dict(),
            "label": self.label,
            "kb_id": self.kb_id,
            "tail": self.tail.to_dict(),
            "score": self.score,
            "sentences": [_span_dict(s) for s in self.sentences],
            "evidence": [e.to_dict() for e in self.evidence],
        }

    def __str__(self) -> str:
        return f"{self.head} --{self.label}--> {self.tail} [{self.score:.2f}]"


def get_entities(doc: Doc, places: Places = DEFAULT) -> Tuple[Entity, ...]:
    """RETURNS (Tuple[Entity, ...]): View of the clusters, by cluster number."""
    groups = [tuple(doc.spans[key]) for key in cluster_keys(doc, places.clusters)]
    return tuple(Entity(i, spans[0].label_ if spans else "", spans) for i, spans in enumerate(groups))


def get_relations(doc: Doc, places: Places = DEFAULT) -> Tuple[Relation, ...]:
    """RETURNS (Tuple[Relation, ...]): View of the stored relations, best first."""
    data = get_relation_data(doc, places)
    if not data:
        return ()
    entities, sentences = get_entities(doc, places), get_sentences(doc)
    relations = []
    for record in data:
        check_entities(doc, record, len(entities))
        relations.append(_view(doc, record, entities, sentences))
    return tuple(sorted(relations, key=lambda r: -r.score))


def _view(doc: Doc, record: RelationRecord, entities: Sequence[Entity], sentences: Sequence[Span]) -> Relation:
    head, tail = entities[record["head"]], entities[record["tail"]]
    evidence = [
        Evidence(_find_mention(doc, head, e["head"]), _find_mention(doc, tail, e["tail"]), e["weight"])
        for e in record.get("evidence", ())
    ]
    return Relation(
        head,
        record["label"],
        tail,
        record.get("score", 1.0),
        record.get("kb_id", ""),
        tuple(sorted(evidence, key=lambda e: -e.weight)),
        tuple(sentences[i] for i in sorted(set(record.get("sentences", ()))) if i < len(sentences)),
    )


def _find_mention(doc: Doc, entity: Entity, indices: Sequence[int]) -> Span:
    """Take the entity's mention with these token indices, so that evidence equals mentions; else make a new Span."""
    start, end = indices
    for mention in entity.mentions:
        if mention.start == start and mention.end == end:
            return mention
    return Span(doc, start, end, label=entity.label)


def set_relations(doc: Doc, relations: Iterable[Union[Relation, Triple]], places: Places = DEFAULT) -> None:
    """Annotate relations.

    relations (Iterable[Union[Relation, Triple]]): Relation objects, or triples of head entity index, label, and tail
        entity index.
    places (Places): Where layers are kept.
    RAISES (ValueError): If a value is neither, or names an entity the Doc does not have.
    """
    try:
        values = list(relations)
    except TypeError:
        raise ValueError(Errors.R102.format(value=relations)) from None
    n_entities = len(cluster_keys(doc, places.clusters))
    number = number_by_start(doc)
    data = []
    for value in values:
        record = _read_view(value, number) if isinstance(value, Relation) else relation_record(*_read_triple(value))
        check_entities(doc, record, n_entities)
        data.append(record)
    set_relation_data(doc, data, places)


def _read_view(relation: Relation, number: Mapping[int, int]) -> RelationRecord:
    """number (Mapping[int, int]): Number of the sentence that begins with a token."""
    spans = [((e.head.start, e.head.end), (e.tail.start, e.tail.end), e.weight) for e in relation.evidence]
    return relation_record(
        relation.head.id,
        relation.label,
        relation.tail.id,
        kb_id=relation.kb_id,
        score=relation.score,
        sentences=[number[s.start] for s in relation.sentences if s.start in number],
        evidence=spans,
    )


def _read_triple(value: Any) -> Triple:
    try:
        head, label, tail = value
        head, tail = operator.index(head), operator.index(tail)
    except (TypeError, ValueError):
        raise ValueError(Errors.R102.format(value=value)) from None
    if not isinstance(label, str) or not label:
        raise ValueError(Errors.R102.format(value=value))
    return head, label, tail
