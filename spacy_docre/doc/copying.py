"""Carry layers from one place on a Doc to another."""

from spacy.tokens import Doc

from .layers import (
    cluster_keys,
    get_clusters,
    get_mentions,
    get_types,
    has_clusters,
    has_mentions,
    set_clusters,
    set_mentions,
)
from .places import Places
from .records import get_relation_data, has_relations, set_relation_data


def copy_layers(doc: Doc, source: Places, target: Places) -> None:
    """Write mentions, clusters, types and relations to other places as well. What is there already stays.

    source (Places): Where the layers are read; one that is missing is not written.
    target (Places): Where they are written.
    """
    if has_clusters(doc, source) and not has_clusters(doc, target):
        set_clusters(doc, get_clusters(doc, source), get_types(doc, source), places=target)
    if has_mentions(doc, source) and not has_mentions(doc, target):
        set_mentions(doc, get_mentions(doc, source), places=target)
    if has_relations(doc, source) and not has_relations(doc, target):
        set_relation_data(doc, get_relation_data(doc, source), target)


def move_layers(doc: Doc, source: Places, target: Places) -> Doc:
    """Write mentions, clusters, types and relations to other places instead.

    RETURNS (Doc): The Doc itself.
    """
    if source != target:
        copy_layers(doc, source, target)
        for key in [*cluster_keys(doc, source.clusters), *([source.mentions] if has_mentions(doc, source) else [])]:
            del doc.spans[key]
        set_relation_data(doc, None, source)
    return doc
