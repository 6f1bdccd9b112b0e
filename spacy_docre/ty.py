"""The views that users read: Entity, Evidence, Relation."""

from dataclasses import dataclass, field
from typing import Any, Dict, Tuple

from spacy.tokens import Span

from .doc.names import entity_name


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
