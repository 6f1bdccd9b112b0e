"""Former home of what is now in `spacy_docre.doc`; kept until 0.3, with the arguments that it had."""

from functools import wraps
from typing import Any, Callable

from .doc import extensions, layers, records, views
from .doc.layers import LAYERS, sort_clusters
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

KEYWORDS = {"key": "mentions", "prefix": "clusters", "attr": "relations"}


def _take_names(function: Callable[..., Any], n: int, *keywords: str) -> Callable[..., Any]:
    """Let a function take the names of places one by one, by keyword or position.

    n (int): Number of positional arguments before the first of these keywords.
    keywords (str): The keywords in the order of positions.
    """

    @wraps(function)
    def with_names(*args: Any, **kwargs: Any) -> Any:
        given = dict(zip(keywords, args[n:]))
        if len(args) > n + len(keywords) or given.keys() & kwargs.keys():
            raise TypeError(f"{function.__name__} got too many arguments, or one of {', '.join(keywords)} twice")
        kwargs.update(given)
        names = {KEYWORDS[key]: kwargs.pop(key) for key in keywords if key in KEYWORDS and key in kwargs}
        return function(*args[:n], **kwargs, **({"places": Places(**names)} if names else {}))

    return with_names


get_mentions = _take_names(layers.get_mentions, 1, "key")
set_mentions = _take_names(layers.set_mentions, 3, "key")
cluster_keys = _take_names(lambda doc, places=DEFAULT: layers.cluster_keys(doc, places.clusters), 1, "prefix")
get_clusters = _take_names(layers.get_clusters, 1, "prefix")
get_types = _take_names(layers.get_types, 1, "prefix")
set_clusters = _take_names(layers.set_clusters, 3, "prefix", "scores")
get_entities = _take_names(views.get_entities, 1, "prefix")
get_relation_data = _take_names(records.get_relation_data, 1, "attr")
set_relation_data = _take_names(records.set_relation_data, 2, "attr")
get_relations = _take_names(views.get_relations, 1, "attr", "prefix")
set_relations = _take_names(views.set_relations, 2, "attr", "prefix")
has_mentions = _take_names(layers.has_mentions, 1, "key")
has_clusters = _take_names(layers.has_clusters, 1, "key", "prefix")
has_types = _take_names(layers.has_types, 1, "key", "prefix")
has_relations = _take_names(records.has_relations, 1, "attr")


def install_extensions(
    relations_attr: str = RELATIONS_ATTR, entities_attr: str = ENTITIES_ATTR, prefix: str = CLUSTER_PREFIX
) -> None:
    """Register the Doc extensions of some names; see `spacy_docre.doc.extensions`."""
    extensions.install_extensions(Places(clusters=prefix, relations=relations_attr, entities=entities_attr))
