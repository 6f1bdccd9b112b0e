"""Scorers of the three entity levels in JEREX's strict sense: mentions, clusters of exact mentions, typed clusters."""

from typing import Any, Callable, Dict, Iterable, Optional

from spacy import registry
from spacy.scorer import PRFScore
from spacy.training import Example

from ..attributes import CLUSTER_PREFIX, MENTIONS_KEY, has_clusters, has_mentions, has_types
from .layers import check_same_text, cluster_set, entity_set, mention_set

ScorerFn = Callable[..., Dict[str, Any]]


def as_dict(score: PRFScore) -> Dict[str, Optional[float]]:
    """RETURNS (Dict[str, Optional[float]]): p, r and f in [0, 1]; None where there was nothing to find and nothing was
    found, so that a corpus without a layer does not look like a model that fails on it.
    """
    return dict(score.to_dict()) if len(score) else {"p": None, "r": None, "f": None}


def as_keys(name: str, score: PRFScore) -> Dict[str, Optional[float]]:
    """RETURNS (Dict[str, Optional[float]]): The values under `name_p`, `name_r` and `name_f`."""
    return {f"{name}_{key}": value for key, value in as_dict(score).items()}


@registry.scorers("spacy-docre.mention_scorer.v1")
def make_mention_scorer() -> ScorerFn:
    """RETURNS (ScorerFn): Scores mentions by their exact span."""
    return score_mentions


@registry.scorers("spacy-docre.cluster_scorer.v1")
def make_cluster_scorer() -> ScorerFn:
    """RETURNS (ScorerFn): Scores clusters by their exact set of spans."""
    return score_clusters


@registry.scorers("spacy-docre.type_scorer.v1")
def make_type_scorer() -> ScorerFn:
    """RETURNS (ScorerFn): Scores entities: exact cluster and type."""
    return score_types


@registry.scorers("spacy-docre.entity_scorer.v1")
def make_entity_scorer() -> ScorerFn:
    """RETURNS (ScorerFn): Scores mentions, clusters and entities, for a component that writes all three."""
    return score_entities


def score_entities(examples: Iterable[Example], **cfg: Any) -> Dict[str, Any]:
    """Score mentions, clusters and entities; see score_mentions, score_clusters and score_types.

    RETURNS (Dict[str, Any]): What the three return.
    """
    examples = list(examples)
    return {k: v for score in (score_mentions, score_clusters, score_types) for k, v in score(examples, **cfg).items()}


def score_mentions(examples: Iterable[Example], *, spans_key: str = MENTIONS_KEY, **cfg: Any) -> Dict[str, Any]:
    """Score mentions over the examples whose reference has them.

    spans_key (str): Span group of the mentions.
    RETURNS (Dict[str, Any]): mentions_p, mentions_r, mentions_f.

    Source: Eberts and Ulges (EACL 2021), section 4, https://arxiv.org/abs/2102.05980
    """
    score = PRFScore()
    for example in examples:
        check_same_text(example)
        if has_mentions(example.reference, spans_key):
            score.score_set(mention_set(example.predicted, spans_key), mention_set(example.reference, spans_key))
    return as_keys("mentions", score)


def score_clusters(
    examples: Iterable[Example],
    *,
    spans_key: str = MENTIONS_KEY,
    span_cluster_prefix: str = CLUSTER_PREFIX,
    **cfg: Any,
) -> Dict[str, Any]:
    """Score clusters, singletons among them, over the examples whose reference has them.

    spans_key (str): Span group of the mentions: a reference with an empty one has no clusters, and says so.
    span_cluster_prefix (str): Prefix of the clusters' span groups.
    RETURNS (Dict[str, Any]): clusters_p, clusters_r, clusters_f.
    """
    score = PRFScore()
    for example in examples:
        check_same_text(example)
        if has_clusters(example.reference, spans_key, span_cluster_prefix):
            pred = cluster_set(example.predicted, span_cluster_prefix)
            score.score_set(pred, cluster_set(example.reference, span_cluster_prefix))
    return as_keys("clusters", score)


def score_types(
    examples: Iterable[Example],
    *,
    spans_key: str = MENTIONS_KEY,
    span_cluster_prefix: str = CLUSTER_PREFIX,
    **cfg: Any,
) -> Dict[str, Any]:
    """Score entities, cluster and type together, over the examples whose reference types every cluster.

    spans_key (str): Span group of the mentions.
    span_cluster_prefix (str): Prefix of the clusters' span groups; the labels of their spans are the types.
    RETURNS (Dict[str, Any]): types_p, types_r, types_f.
    """
    score = PRFScore()
    for example in examples:
        check_same_text(example)
        if has_types(example.reference, spans_key, span_cluster_prefix):
            pred = entity_set(example.predicted, span_cluster_prefix)
            score.score_set(pred, entity_set(example.reference, span_cluster_prefix))
    return as_keys("types", score)
