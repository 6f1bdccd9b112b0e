"""Former home of what is now in `spacy_docre.doc`; kept until 0.3, with the names of keywords that it had."""

from functools import wraps
from typing import Any, Callable, Optional, TypeVar, cast

from .doc import extensions, layers, records, views
from .doc.layers import LAYERS, cluster_keys, sort_clusters
from .doc.notes import GIVEN_ATTR, SKIPPED_ATTR, TITLE_ATTR, get_title, is_given, note_skipped
from .doc.places import DEFAULT, Places
from .doc.records import relation_record
from .doc.sentences import get_sentences
from .doc.views import Triple

MENTIONS_KEY = DEFAULT.mentions
CLUSTER_PREFIX = DEFAULT.clusters
RELATIONS_ATTR = DEFAULT.relations
ENTITIES_ATTR = DEFAULT.entities
DATA_SUFFIX = "_data"

F = TypeVar("F", bound=Callable[..., Any])


def _take_names(function: F) -> F:
    """Let a function take the names of places one by one, by keyword."""

    @wraps(function)
    def with_names(
        *args: Any, key: Optional[str] = None, prefix: Optional[str] = None, attr: Optional[str] = None, **kwargs: Any
    ) -> Any:
        if key or prefix or attr:
            names = {"mentions": key, "clusters": prefix, "relations": attr}
            kwargs["places"] = Places(**{field: name for field, name in names.items() if name})
        return function(*args, **kwargs)

    return cast(F, with_names)


get_mentions = _take_names(layers.get_mentions)
set_mentions = _take_names(layers.set_mentions)
get_clusters = _take_names(layers.get_clusters)
set_clusters = _take_names(layers.set_clusters)
get_types = _take_names(layers.get_types)
has_mentions = _take_names(layers.has_mentions)
has_clusters = _take_names(layers.has_clusters)
has_types = _take_names(layers.has_types)
get_relation_data = _take_names(records.get_relation_data)
set_relation_data = _take_names(records.set_relation_data)
has_relations = _take_names(records.has_relations)
get_entities = _take_names(views.get_entities)
get_relations = _take_names(views.get_relations)
set_relations = _take_names(views.set_relations)


def install_extensions(
    relations_attr: str = RELATIONS_ATTR, entities_attr: str = ENTITIES_ATTR, prefix: str = CLUSTER_PREFIX
) -> None:
    """Register the Doc extensions of some names; see `spacy_docre.doc.extensions`."""
    extensions.install_extensions(Places(clusters=prefix, relations=relations_attr, entities=entities_attr))


__all__ = [
    "CLUSTER_PREFIX",
    "DATA_SUFFIX",
    "ENTITIES_ATTR",
    "GIVEN_ATTR",
    "LAYERS",
    "MENTIONS_KEY",
    "RELATIONS_ATTR",
    "SKIPPED_ATTR",
    "TITLE_ATTR",
    "Triple",
    "cluster_keys",
    "get_clusters",
    "get_entities",
    "get_mentions",
    "get_relation_data",
    "get_relations",
    "get_sentences",
    "get_title",
    "get_types",
    "has_clusters",
    "has_mentions",
    "has_relations",
    "has_types",
    "install_extensions",
    "is_given",
    "note_skipped",
    "relation_record",
    "set_clusters",
    "set_mentions",
    "set_relation_data",
    "set_relations",
    "sort_clusters",
]
