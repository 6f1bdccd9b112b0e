"""The layers of entities on a Doc: span groups for mentions and clusters, whose labels are the types.

All of it is plain spaCy storage, so that it survives to_bytes, DocBin, pickle, copy and multiprocessing.
"""

import re
from typing import Any, Dict, Iterable, List, Optional, Sequence

from spacy.tokens import Doc, Span, SpanGroup

from ..arrays import SpanIndices
from .places import DEFAULT, Places

LAYERS = ("tokens", "sents", "mentions", "clusters", "types")


def get_mentions(doc: Doc, places: Places = DEFAULT) -> List[SpanIndices]:
    """RETURNS (List[SpanIndices]): Token indices of the mentions in stored order; empty where there are none."""
    key = places.mentions
    return [(span.start, span.end) for span in doc.spans[key]] if key in doc.spans else []


def set_mentions(
    doc: Doc, spans: Sequence[SpanIndices], scores: Optional[Sequence[float]] = None, places: Places = DEFAULT
) -> None:
    """Write mentions, in place of earlier ones.

    spans (Sequence[SpanIndices]): Token indices [start, end).
    scores (Optional[Sequence[float]]): One per span, kept in `SpanGroup.attrs["scores"]`.
    places (Places): Where layers are kept.
    """
    attrs: Dict[str, Any] = {} if scores is None else {"scores": [float(s) for s in scores]}
    key = places.mentions
    doc.spans[key] = SpanGroup(doc, name=key, attrs=attrs, spans=[Span(doc, s, e) for s, e in spans])


def cluster_keys(doc: Doc, prefix: str) -> List[str]:
    """RETURNS (List[str]): Keys `prefix_N` of `doc.spans`, ordered by N."""
    pattern = re.compile(re.escape(prefix) + r"_(\d+)")
    numbered = [(int(m.group(1)), key) for key in doc.spans for m in [pattern.fullmatch(key)] if m]
    return [key for _, key in sorted(numbered)]


def get_clusters(doc: Doc, places: Places = DEFAULT) -> List[List[SpanIndices]]:
    """RETURNS (List[List[SpanIndices]]): Token indices of each cluster's mentions, by cluster number."""
    return [[(span.start, span.end) for span in doc.spans[key]] for key in cluster_keys(doc, places.clusters)]


def get_types(doc: Doc, places: Places = DEFAULT) -> List[str]:
    """RETURNS (List[str]): Entity type of each cluster, "" where none is set."""
    return [next((span.label_ for span in doc.spans[key]), "") for key in cluster_keys(doc, places.clusters)]


def set_clusters(
    doc: Doc,
    clusters: Sequence[Sequence[SpanIndices]],
    labels: Optional[Sequence[str]] = None,
    scores: Optional[Sequence[float]] = None,
    places: Places = DEFAULT,
) -> None:
    """Write clusters, one span group each, in place of earlier ones.

    clusters (Sequence[Sequence[SpanIndices]]): Token indices [start, end) of each cluster's mentions.
    labels (Optional[Sequence[str]]): Entity type of each cluster, becomes the label of its spans.
    scores (Optional[Sequence[float]]): Probability of each type, kept in `SpanGroup.attrs["type_score"]`.
    places (Places): Where layers are kept.
    """
    for key in cluster_keys(doc, places.clusters):
        del doc.spans[key]
    for i, spans in enumerate(clusters):
        label = labels[i] if labels is not None else ""
        attrs: Dict[str, Any] = {} if scores is None else {"type_score": float(scores[i])}
        key = f"{places.clusters}_{i + 1}"
        # The groups are built anew: a label set on a span taken out of a group is lost.
        doc.spans[key] = SpanGroup(doc, name=key, attrs=attrs, spans=[Span(doc, s, e, label=label) for s, e in spans])


def sort_clusters(clusters: Iterable[Iterable[SpanIndices]]) -> List[List[SpanIndices]]:
    """Order mentions within clusters, and clusters by their first mention."""
    return sorted(sorted(set(cluster)) for cluster in clusters if cluster)


def has_mentions(doc: Doc, places: Places = DEFAULT) -> bool:
    """RETURNS (bool): Whether mentions are annotated, though perhaps none."""
    return places.mentions in doc.spans


def has_clusters(doc: Doc, places: Places = DEFAULT) -> bool:
    """RETURNS (bool): Whether clusters are annotated: there are some, or there is no mention to cluster."""
    if cluster_keys(doc, places.clusters):
        return True
    return has_mentions(doc, places) and not len(doc.spans[places.mentions])


def has_types(doc: Doc, places: Places = DEFAULT) -> bool:
    """RETURNS (bool): Whether every cluster has an entity type."""
    return has_clusters(doc, places) and all(get_types(doc, places))
