"""The views that users read (Entity, Evidence, Relation), and the batches that components hand to models."""

from dataclasses import dataclass, field
from typing import Any, Dict, Tuple

import numpy
from spacy.tokens import Span
from thinc.types import Ints1d, Ints2d

SpanIndices = Tuple[int, int]  # token indices [start, end) into a Doc


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
        """The longest mention that holds a capitalised token, else the longest; the earliest on ties."""
        if not self.mentions:
            return ""
        capitalised = [m for m in self.mentions if any(t.text[:1].isupper() for t in m)]
        candidates = capitalised or list(self.mentions)
        return max(candidates, key=lambda m: (len(m.text), -m.start)).text

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


@dataclass(frozen=True)
class SpanBatch:
    """Token spans of a batch of documents."""

    doc: Ints1d  # row of the document, (N,)
    start: Ints1d  # first token in the document, (N,)
    end: Ints1d  # token behind the last, (N,)

    def __len__(self) -> int:
        return len(self.doc)


@dataclass(frozen=True)
class CandidateBatch:
    """Spans that may be mentions."""

    spans: SpanBatch  # N spans
    orthography: Ints2d  # letter case of the tokens before, first, last, after; see models.mention_scorer, (N, 4)

    def __len__(self) -> int:
        return len(self.spans)


@dataclass(frozen=True)
class MentionPairBatch:
    """Unordered pairs of mentions that may corefer."""

    mentions: SpanBatch  # M mentions
    first: Ints1d  # row of one mention, (K,)
    second: Ints1d  # row of the other, (K,)
    distance: Ints1d  # edit distance between the texts, in characters, (K,)

    def __len__(self) -> int:
        return len(self.first)


@dataclass(frozen=True)
class EntityBatch:
    """Entities and their mentions; mentions of one entity follow one another."""

    mentions: SpanBatch  # M mentions
    entity: Ints1d  # row of each mention's entity, rising, (M,)
    doc: Ints1d  # row of each entity's document, (E,)
    label: Ints1d  # number of each entity's type, -1 where unknown, (E,)
    sentence: Ints1d  # sentence of each mention, counted within its document, (M,)

    def __len__(self) -> int:
        return len(self.doc)

    def select(self, rows: Ints1d) -> "EntityBatch":
        """RETURNS (EntityBatch): The entities of these rows, which rise."""
        number = numpy.full(len(self), -1)
        number[rows] = numpy.arange(len(rows))
        m, kept = self.mentions, number[self.entity] >= 0
        mentions = SpanBatch(m.doc[kept], m.start[kept], m.end[kept])
        return EntityBatch(mentions, number[self.entity[kept]], self.doc[rows], self.label[rows], self.sentence[kept])


@dataclass(frozen=True)
class PairBatch:
    """Ordered entity pairs of one batch, flattened over documents."""

    entities: EntityBatch  # E entities
    head: Ints1d  # row of the subject entity, (P,)
    tail: Ints1d  # row of the object entity, (P,)

    @property
    def doc(self) -> Ints1d:
        """Row of the document each pair comes from, (P,)."""
        return self.entities.doc[self.head]

    def __len__(self) -> int:
        return len(self.head)

    def select(self, rows: Ints1d) -> Tuple["PairBatch", Ints1d]:
        """RETURNS (Tuple[PairBatch, Ints1d]): The pairs of these rows with their entities alone, and the rows these
        entities have here."""
        entities = numpy.unique([self.head[rows], self.tail[rows]])
        head, tail = numpy.searchsorted(entities, [self.head[rows], self.tail[rows]])
        return PairBatch(self.entities.select(entities), head, tail), entities
