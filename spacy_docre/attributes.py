"""Where results live on a Doc: span groups for mentions and clusters, plain data for relations.

Everything stored is plain spaCy storage, so that it survives to_bytes, DocBin, pickle, copy and multiprocessing;
Entity, Evidence and Relation are views built on access.
"""

import operator
import re
import warnings
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple, Union

from spacy.tokens import Doc, Span, SpanGroup

from .arrays import SpanIndices
from .errors import Errors, Warnings
from .ty import Entity, Evidence, Relation

MENTIONS_KEY = "mentions"
CLUSTER_PREFIX = "coref_clusters"
RELATIONS_ATTR = "relations"
ENTITIES_ATTR = "entities"
DATA_SUFFIX = "_data"
GIVEN_ATTR = "docre_given"
TITLE_ATTR = "docre_title"
SKIPPED_ATTR = "docre_skipped"
LAYERS = ("tokens", "sents", "mentions", "clusters", "types")

Triple = Tuple[int, str, int]


def get_title(doc: Doc) -> str:
    """RETURNS (str): Title or id of a document, else its first words; for messages."""
    title = doc._.get(TITLE_ATTR)
    return title or doc.text[:40].strip() or "(empty document)"


def note_skipped(doc: Doc, component: str, what: str, n: int) -> None:
    """Count on the Doc, under `doc._.docre_skipped["component: what"]`, what a component did not look at."""
    counts = dict(doc._.get(SKIPPED_ATTR) or {})
    key = f"{component}: {what}"
    if n or key in counts:
        counts[key] = int(n)
        doc._.set(SKIPPED_ATTR, counts)


# Mentions


def get_mentions(doc: Doc, key: str = MENTIONS_KEY) -> List[SpanIndices]:
    """RETURNS (List[SpanIndices]): Token indices of the mentions in stored order; empty where there are none."""
    return [(span.start, span.end) for span in doc.spans[key]] if key in doc.spans else []


def set_mentions(
    doc: Doc, spans: Sequence[SpanIndices], scores: Optional[Sequence[float]] = None, key: str = MENTIONS_KEY
) -> None:
    """Write mentions to `doc.spans[key]`, in place of earlier ones.

    spans (Sequence[SpanIndices]): Token indices [start, end).
    scores (Optional[Sequence[float]]): One per span, kept in `SpanGroup.attrs["scores"]`.
    """
    attrs: Dict[str, Any] = {} if scores is None else {"scores": [float(s) for s in scores]}
    doc.spans[key] = SpanGroup(doc, name=key, attrs=attrs, spans=[Span(doc, s, e) for s, e in spans])


# Clusters and entities


def cluster_keys(doc: Doc, prefix: str = CLUSTER_PREFIX) -> List[str]:
    """RETURNS (List[str]): Keys `prefix_N` of `doc.spans`, ordered by N."""
    pattern = re.compile(re.escape(prefix) + r"_(\d+)")
    numbered = [(int(m.group(1)), key) for key in doc.spans for m in [pattern.fullmatch(key)] if m]
    return [key for _, key in sorted(numbered)]


def get_clusters(doc: Doc, prefix: str = CLUSTER_PREFIX) -> List[List[SpanIndices]]:
    """RETURNS (List[List[SpanIndices]]): Token indices of each cluster's mentions, by cluster number."""
    return [[(span.start, span.end) for span in doc.spans[key]] for key in cluster_keys(doc, prefix)]


def get_types(doc: Doc, prefix: str = CLUSTER_PREFIX) -> List[str]:
    """RETURNS (List[str]): Entity type of each cluster, "" where none is set."""
    return [next((span.label_ for span in doc.spans[key]), "") for key in cluster_keys(doc, prefix)]


def set_clusters(
    doc: Doc,
    clusters: Sequence[Sequence[SpanIndices]],
    labels: Optional[Sequence[str]] = None,
    prefix: str = CLUSTER_PREFIX,
    scores: Optional[Sequence[float]] = None,
) -> None:
    """Write clusters to `doc.spans[prefix_1]`, `prefix_2`, ..., in place of earlier ones.

    clusters (Sequence[Sequence[SpanIndices]]): Token indices [start, end) of each cluster's mentions.
    labels (Optional[Sequence[str]]): Entity type of each cluster, becomes the label of its spans.
    scores (Optional[Sequence[float]]): Probability of each type, kept in `SpanGroup.attrs["type_score"]`.
    """
    for key in cluster_keys(doc, prefix):
        del doc.spans[key]
    for i, spans in enumerate(clusters):
        label = labels[i] if labels is not None else ""
        attrs: Dict[str, Any] = {} if scores is None else {"type_score": float(scores[i])}
        key = f"{prefix}_{i + 1}"
        # The groups are built anew: a label set on a span taken out of a group is lost.
        doc.spans[key] = SpanGroup(doc, name=key, attrs=attrs, spans=[Span(doc, s, e, label=label) for s, e in spans])


def get_entities(doc: Doc, prefix: str = CLUSTER_PREFIX) -> Tuple[Entity, ...]:
    """RETURNS (Tuple[Entity, ...]): View of the clusters, by cluster number."""
    entities = []
    for i, key in enumerate(cluster_keys(doc, prefix)):
        spans = tuple(doc.spans[key])
        entities.append(Entity(i, spans[0].label_ if spans else "", spans))
    return tuple(entities)


def sort_clusters(clusters: Iterable[Iterable[SpanIndices]]) -> List[List[SpanIndices]]:
    """Order mentions within clusters, and clusters by their first mention."""
    return sorted(sorted(set(cluster)) for cluster in clusters if cluster)


# Relations


def get_relation_data(doc: Doc, attr: str = RELATIONS_ATTR) -> Optional[List[Dict[str, Any]]]:
    """RETURNS (Optional[List[Dict[str, Any]]]): Stored relations, best first; None where relations were never
    annotated. Keys: head, label, kb_id, tail, score, sentences, evidence.
    """
    data = doc._.get(attr + DATA_SUFFIX)
    return None if data is None else [dict(d) for d in data]


def set_relation_data(doc: Doc, data: Optional[Iterable[Dict[str, Any]]], attr: str = RELATIONS_ATTR) -> None:
    """Write plain relation data (None: not annotated), in place of earlier data."""
    doc._.set(attr + DATA_SUFFIX, None if data is None else list(data))


def get_sentences(doc: Doc) -> List[Span]:
    """RETURNS (List[Span]): The sentences; a Doc without any is one."""
    return list(doc.sents) if doc.has_annotation("SENT_START") else [doc[:]]


def relation_record(
    head: int,
    label: str,
    tail: int,
    *,
    kb_id: str = "",
    score: float = 1.0,
    sentences: Sequence[int] = (),
    evidence: Sequence[Tuple[SpanIndices, SpanIndices, float]] = (),
) -> Dict[str, Any]:
    """Build the plain data of one relation.

    head, tail (int): Entity indices.
    sentences (Sequence[int]): Indices of supporting sentences.
    evidence (Sequence): (head mention, tail mention, weight), mentions as token indices.
    """
    return {
        "head": int(head),
        "label": label,
        "kb_id": kb_id,
        "tail": int(tail),
        "score": float(score),
        "sentences": [int(s) for s in sentences],
        "evidence": [
            {"head": [int(i) for i in h], "tail": [int(i) for i in t], "weight": float(w)} for h, t, w in evidence
        ],
    }


def get_relations(doc: Doc, attr: str = RELATIONS_ATTR, prefix: str = CLUSTER_PREFIX) -> Tuple[Relation, ...]:
    """RETURNS (Tuple[Relation, ...]): View of the stored relations, best first."""
    data = get_relation_data(doc, attr)
    if not data:
        return ()
    entities = get_entities(doc, prefix)
    sents = get_sentences(doc)
    relations = []
    for d in data:
        if not (0 <= d["head"] < len(entities) and 0 <= d["tail"] < len(entities)):
            raise ValueError(
                Errors.R101.format(
                    title=get_title(doc), relation=d["label"], head=d["head"], tail=d["tail"], n_entities=len(entities)
                )
            )
        evidence = tuple(
            Evidence(
                _match(doc, entities[d["head"]], e["head"]), _match(doc, entities[d["tail"]], e["tail"]), e["weight"]
            )
            for e in d.get("evidence", ())
        )
        relations.append(
            Relation(
                entities[d["head"]],
                d["label"],
                entities[d["tail"]],
                d.get("score", 1.0),
                d.get("kb_id", ""),
                tuple(sorted(evidence, key=lambda e: -e.weight)),
                tuple(sents[i] for i in sorted(set(d.get("sentences", ()))) if i < len(sents)),
            )
        )
    relations.sort(key=lambda r: -r.score)
    return tuple(relations)


def _match(doc: Doc, entity: Entity, indices: Sequence[int]) -> Span:
    """The entity's mention with these token indices, so that evidence equals mentions; else a new Span."""
    start, end = indices
    for mention in entity.mentions:
        if mention.start == start and mention.end == end:
            return mention
    return Span(doc, start, end, label=entity.label)


def set_relations(
    doc: Doc,
    relations: Iterable[Union[Relation, Triple]],
    attr: str = RELATIONS_ATTR,
    prefix: str = CLUSTER_PREFIX,
) -> None:
    """Annotate relations, from Relation objects or triples (head entity index, label, tail entity index).

    RAISES (ValueError): If a value is neither, or names an entity the Doc does not have.
    """
    n_entities = len(cluster_keys(doc, prefix))
    sent_starts = {s.start: i for i, s in enumerate(doc.sents)} if doc.has_annotation("SENT_START") else {0: 0}
    data = []
    try:
        values = list(relations)
    except TypeError:
        raise ValueError(Errors.R102.format(value=relations)) from None
    for relation in values:
        if isinstance(relation, Relation):
            record = relation_record(
                relation.head.id,
                relation.label,
                relation.tail.id,
                kb_id=relation.kb_id,
                score=relation.score,
                sentences=[sent_starts[s.start] for s in relation.sentences if s.start in sent_starts],
                evidence=[
                    ((e.head.start, e.head.end), (e.tail.start, e.tail.end), e.weight) for e in relation.evidence
                ],
            )
        else:
            record = relation_record(*_read_triple(relation))
        if not (0 <= record["head"] < n_entities and 0 <= record["tail"] < n_entities):
            raise ValueError(
                Errors.R101.format(
                    title=get_title(doc),
                    relation=record["label"],
                    head=record["head"],
                    tail=record["tail"],
                    n_entities=n_entities,
                )
            )
        data.append(record)
    set_relation_data(doc, data, attr)


def _read_triple(value: Any) -> Triple:
    try:
        head, label, tail = value
        head, tail = operator.index(head), operator.index(tail)
    except (TypeError, ValueError):
        raise ValueError(Errors.R102.format(value=value)) from None
    if not isinstance(label, str) or not label:
        raise ValueError(Errors.R102.format(value=value))
    return head, label, tail


# Which layers are there


def has_mentions(doc: Doc, key: str = MENTIONS_KEY) -> bool:
    """RETURNS (bool): Whether mentions are annotated, though perhaps none."""
    return key in doc.spans


def has_clusters(doc: Doc, key: str = MENTIONS_KEY, prefix: str = CLUSTER_PREFIX) -> bool:
    """RETURNS (bool): Whether clusters are annotated: there are some, or there is no mention to cluster."""
    return bool(cluster_keys(doc, prefix)) or (key in doc.spans and len(doc.spans[key]) == 0)


def has_types(doc: Doc, key: str = MENTIONS_KEY, prefix: str = CLUSTER_PREFIX) -> bool:
    """RETURNS (bool): Whether every cluster has an entity type."""
    return has_clusters(doc, key, prefix) and all(get_types(doc, prefix))


def has_relations(doc: Doc, attr: str = RELATIONS_ATTR) -> bool:
    """RETURNS (bool): Whether relations are annotated, though perhaps none."""
    return doc._.get(attr + DATA_SUFFIX) is not None


def is_given(doc: Doc, layer: str) -> bool:
    """RETURNS (bool): Whether the corpus gave this gold layer, which components then leave alone."""
    return layer in (doc._.get(GIVEN_ATTR) or ())


# Installation


def install_extensions(
    relations_attr: str = RELATIONS_ATTR, entities_attr: str = ENTITIES_ATTR, prefix: str = CLUSTER_PREFIX
) -> None:
    """Register the Doc extensions of one naming, once, never in place of another package's.

    relations_attr (str): Name of the view `doc._.<name>`; the plain data live under `<name>_data`.
    entities_attr (str): Name of the view on the clusters.
    prefix (str): Prefix of the cluster span groups the views read.
    """
    for attr in (GIVEN_ATTR, TITLE_ATTR, SKIPPED_ATTR, relations_attr + DATA_SUFFIX):
        if not Doc.has_extension(attr):
            Doc.set_extension(attr, default=None)
    _install_view(relations_attr, _RelationsGetter(relations_attr, prefix), _RelationsSetter(relations_attr, prefix))
    _install_view(entities_attr, _EntitiesGetter(prefix), None)


class _RelationsGetter:
    """Picklable getter; classes rather than closures, so that Docs cross process borders under spawn."""

    def __init__(self, attr: str, prefix: str) -> None:
        self.attr, self.prefix = attr, prefix

    def __call__(self, doc: Doc) -> Tuple[Relation, ...]:
        return get_relations(doc, self.attr, self.prefix)


class _RelationsSetter(_RelationsGetter):
    def __call__(self, doc: Doc, value: Iterable[Union[Relation, Triple]]) -> None:  # type: ignore[override]
        set_relations(doc, value, self.attr, self.prefix)


class _EntitiesGetter:
    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def __call__(self, doc: Doc) -> Tuple[Entity, ...]:
        return get_entities(doc, self.prefix)


def _install_view(attr: str, getter: Any, setter: Any) -> None:
    if not Doc.has_extension(attr):
        Doc.set_extension(attr, getter=getter, setter=setter)
        return
    _, _, existing, _ = Doc.get_extension(attr)
    # One of ours that reads other keys is as much in the way as another package's.
    if type(existing) is not type(getter) or vars(existing) != vars(getter):
        setting = "entities_attr" if isinstance(getter, _EntitiesGetter) else "relations_attr"
        warnings.warn(Warnings.RW04.format(attr=attr, setting=setting), stacklevel=3)
