"""What components hand to models: spans, mention pairs, entities and entity pairs of a batch of documents."""

from dataclasses import dataclass
from typing import Tuple

import numpy

from .arrays import Ints1d, Ints2d


@dataclass(frozen=True)
class SpanBatch:
    """Token spans of a batch of documents."""

    doc: Ints1d  # row of the document, (N,)
    start: Ints1d  # first token in the document, (N,)
    end: Ints1d  # token after the last, (N,)

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
        """Select the entities of some rows, which rise."""
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
        """Select the pairs of some rows, and the entities that they join.

        RETURNS (Tuple[PairBatch, Ints1d]): The pairs, and the rows that their entities have here.
        """
        entities = numpy.unique([self.head[rows], self.tail[rows]])
        head, tail = numpy.searchsorted(entities, [self.head[rows], self.tail[rows]])
        return PairBatch(self.entities.select(entities), head, tail), entities
