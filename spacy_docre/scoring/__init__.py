"""Scores: set arithmetic on mentions, clusters, entities and relations. Knows no model."""

from .entities import make_cluster_scorer, make_mention_scorer, make_type_scorer
from .facts import collect_facts, load_facts, save_facts
from .relations import make_relation_scorer

__all__ = [
    "collect_facts",
    "load_facts",
    "make_cluster_scorer",
    "make_mention_scorer",
    "make_relation_scorer",
    "make_type_scorer",
    "save_facts",
]
