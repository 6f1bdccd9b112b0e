"""Carry layers from one place on a Doc to another."""

from spacy.tokens import Doc

from .layers import cluster_keys, get_clusters, get_mentions, get_types, has_mentions, set_clusters, set_mentions
from .places import Places
from .records import get_relation_data, has_relations, set_relation_data


def copy_layers(doc: Doc, source: Places, target: Places) -> None:
    """Write mentions, clusters, types and relations to other places as well.

    Layers refer to each other, so those of two annotations are never mixed: where the target holds one of them already,
    nothing is written. Names that source and target share are not concerned.

    source (Places): Where the layers are read; one that is missing is not written.
    target (Places): Where they are written.
    """
    moves = find_moves(source, target)
    if any(holds(doc, layer, target) for layer in moves):
        return
    if "clusters" in moves and cluster_keys(doc, source.clusters):
        set_clusters(doc, get_clusters(doc, source), get_types(doc, source), places=target)
    if "mentions" in moves and has_mentions(doc, source):
        set_mentions(doc, get_mentions(doc, source), places=target)
    if "relations" in moves and has_relations(doc, source):
        set_relation_data(doc, get_relation_data(doc, source), target)


def move_layers(doc: Doc, source: Places, target: Places) -> Doc:
    """Write mentions, clusters, types and relations to other places instead.

    RETURNS (Doc): The Doc itself.
    """
    copy_layers(doc, source, target)
    moves = find_moves(source, target)
    if "clusters" in moves:
        set_clusters(doc, [], places=source)
    if "mentions" in moves and has_mentions(doc, source):
        del doc.spans[source.mentions]
    if "relations" in moves and has_relations(doc, source):
        set_relation_data(doc, None, source)
    return doc


def find_moves(source: Places, target: Places) -> set:
    """List the layers that have another name in the target."""
    return {
        layer for layer in ("mentions", "clusters", "relations") if getattr(source, layer) != getattr(target, layer)
    }


def holds(doc: Doc, layer: str, places: Places) -> bool:
    """RETURNS (bool): Whether something is written under the name of a layer."""
    if layer == "clusters":
        return bool(cluster_keys(doc, places.clusters))
    return has_mentions(doc, places) if layer == "mentions" else has_relations(doc, places)
