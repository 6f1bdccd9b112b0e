"""All that a page shows of a Doc, as plain data."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

from spacy.tokens import Doc

from ..arrays import Floats1d
from ..doc.notes import TITLE_ATTR
from ..doc.places import DEFAULT, Places
from ..doc.sentences import get_sentences, number_by_start
from ..doc.views import Entity, Relation, get_entities, get_relations
from ..errors import Errors
from .graph import Graph, draw_graph
from .nesting import Piece, Stretch, nest

KNOWN_TYPES = ("PER", "ORG", "LOC", "TIME", "NUM", "MISC")  # each has its own colour on every page
N_COLOURS = 8

# Label of a relation -> weight of each mention, those of one entity after those of the one before.
MentionWeights = Mapping[str, Union[Sequence[float], Floats1d]]


@dataclass(frozen=True)
class Mention:
    """A mention; its number counts through all entities."""

    id: int
    entity: int
    text: str


@dataclass(frozen=True)
class EntityView:
    """An entity and its colour."""

    id: int
    text: str
    label: str
    colour: int
    mentions: Tuple[Mention, ...]


@dataclass(frozen=True)
class RelationView:
    """A row of the table.

    evidence (Tuple[Tuple[int, int, float], ...]): Head mention, tail mention, weight.
    sentences (Tuple[int, ...]): Numbers of supporting sentences, from 0.
    """

    id: int
    head: EntityView
    label: str
    kb_id: str
    tail: EntityView
    score: float
    evidence: Tuple[Tuple[int, int, float], ...]
    sentences: Tuple[int, ...]


@dataclass(frozen=True)
class Heatmap:
    """How much each relation looks at each mention of an entity.

    rows (Tuple[Tuple[str, Tuple[float, ...]], ...]): Label of a relation, weight of each mention.
    """

    entity: EntityView
    rows: Tuple[Tuple[str, Tuple[float, ...]], ...]


@dataclass(frozen=True)
class DocView:
    """All that a page shows of one document."""

    title: str
    lang: str
    pieces: Tuple[Piece, ...]
    entities: Tuple[EntityView, ...]
    types: Tuple[Tuple[str, int, int], ...]  # label, colour, number of entities
    mentions: Tuple[Mention, ...]
    relations: Tuple[RelationView, ...]
    labels: Tuple[Tuple[str, int], ...]  # label, number of relations; frequent ones first
    graph: Graph
    heatmaps: Tuple[Heatmap, ...]


def view_doc(
    doc: Doc, colours: Mapping[str, int], weights: Optional[MentionWeights], places: Places = DEFAULT
) -> DocView:
    """Collect what is shown of a document.

    colours (Mapping[str, int]): Colour of each entity type; see `choose_colours`.
    weights (Optional[MentionWeights]): For heatmaps.
    places (Places): Where the layers are kept on the Doc.
    RAISES (ValueError): If there are not as many weights as mentions.
    """
    found = get_entities(doc, places)
    sentences = get_sentences(doc) if len(doc) else []
    entities = _view_entities(found, colours)
    mentions = tuple(m for e in entities for m in e.mentions)
    stretches = [Stretch(s.start_char, s.end_char, "sentence", i) for i, s in enumerate(sentences)]
    spans = (span for entity in found for span in entity.mentions)
    stretches += [Stretch(s.start_char, s.end_char, "mention", m.id) for m, s in zip(mentions, spans)]
    number = number_by_start(doc)
    relations = tuple(
        _view_relation(i, relation, entities, number) for i, relation in enumerate(get_relations(doc, places))
    )
    return DocView(
        title=doc._.get(TITLE_ATTR) or "",
        lang="" if doc.lang_ == "xx" else doc.lang_,
        pieces=tuple(nest(doc.text, stretches)),
        entities=entities,
        types=tuple((*key, n) for key, n in _count((e.label, e.colour) for e in entities)),
        mentions=mentions,
        relations=relations,
        labels=tuple(_count(r.label for r in relations)),
        graph=draw_graph([(r.head.id, r.label, r.tail.id) for r in relations], [e.text for e in entities]),
        heatmaps=_view_heatmaps(entities, relations, weights or {}),
    )


def choose_colours(docs: Sequence[Doc], places: Places) -> Dict[str, int]:
    """Choose a colour for each entity type, the same in all documents."""
    types = {entity.label for doc in docs for entity in get_entities(doc, places)}
    return {label: i % N_COLOURS for i, label in enumerate([*KNOWN_TYPES, *sorted(types - {*KNOWN_TYPES})])}


def _view_entities(entities: Sequence[Entity], colours: Mapping[str, int]) -> Tuple[EntityView, ...]:
    views: List[EntityView] = []
    n = 0
    for e in entities:
        mentions = tuple(Mention(n + i, e.id, span.text) for i, span in enumerate(e.mentions))
        n += len(mentions)
        views.append(EntityView(e.id, e.text, e.label, colours[e.label], mentions))
    return tuple(views)


def _view_relation(
    i: int, relation: Relation, entities: Sequence[EntityView], number: Mapping[int, int]
) -> RelationView:
    head, tail = entities[relation.head.id], entities[relation.tail.id]
    of_head = {span: m.id for span, m in zip(relation.head.mentions, head.mentions)}
    of_tail = {span: m.id for span, m in zip(relation.tail.mentions, tail.mentions)}
    evidence = tuple(
        (of_head[e.head], of_tail[e.tail], round(e.weight, 4))
        for e in relation.evidence
        if e.head in of_head and e.tail in of_tail
    )
    sentences = tuple(number[s.start] for s in relation.sentences)
    return RelationView(i, head, relation.label, relation.kb_id, tail, relation.score, evidence, sentences)


def _view_heatmaps(
    entities: Sequence[EntityView], relations: Sequence[RelationView], weights: MentionWeights
) -> Tuple[Heatmap, ...]:
    """Heatmaps of entities with several mentions, a row for each kind of relation that the entity has."""
    heatmaps = []
    n_mentions = sum(len(e.mentions) for e in entities)
    for label, row in weights.items():
        if len(row) != n_mentions:
            raise ValueError(Errors.R160.format(label=label, n=len(row), n_mentions=n_mentions))
    for entity in entities:
        labels = dict.fromkeys(r.label for r in relations if entity in (r.head, r.tail) and r.label in weights)
        if labels and len(entity.mentions) > 1:
            rows = tuple((label, tuple(float(weights[label][m.id]) for m in entity.mentions)) for label in labels)
            heatmaps.append(Heatmap(entity, rows))
    return tuple(heatmaps)


def _count(values: Iterable[Any]) -> List[Tuple[Any, int]]:
    """Count each value, frequent ones first."""
    return sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))
