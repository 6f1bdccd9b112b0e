"""Scorers of the three entity levels in JEREX's strict sense: mentions, clusters of exact mentions, typed clusters."""

from itertools import chain
from typing import Any, Dict, Iterable, List

from spacy import registry
from spacy.training import Example

from ..doc.align import check_same_text
from ..doc.layers import has_clusters, has_mentions, has_types
from ..doc.places import Places
from ..doc.sets import cluster_set, entity_set, mention_set
from .coreference import CONLL, count_coreference
from .counts import ScorerFn, Tally, add_up, as_keys, compare, intervals, mean_f


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

    cfg (Any): Handed to the three.
    RETURNS (Dict[str, Any]): What the three return.
    """
    examples = list(examples)
    return {k: v for score in (score_mentions, score_clusters, score_types) for k, v in score(examples, **cfg).items()}


def score_mentions(examples: Iterable[Example], *, bootstrap: int = 0, seed: int = 0, **cfg: Any) -> Dict[str, Any]:
    """Score mentions over the examples whose reference has them.

    bootstrap, seed (int): Draws of documents for a confidence interval, 0 for none, and where they start.
    cfg (Any): Settings of the component: `spans_key` says where the mentions are kept.
    RETURNS (Dict[str, Any]): mentions_p, mentions_r, mentions_f; with bootstrap mentions_f_interval.

    Source: Eberts and Ulges (EACL 2021), section 4, https://arxiv.org/abs/2102.05980
    """
    places = Places.of(cfg)
    tallies: List[Tally] = []
    for example in examples:
        check_same_text(example.reference, example.predicted)
        if has_mentions(example.reference, places):
            pred, gold = (mention_set(doc, places) for doc in (example.predicted, example.reference))
            tallies.append({"mentions_f": compare(pred, gold)})
    return {**as_keys("mentions_f", add_up(tallies)), **intervals(tallies, ["mentions_f"], bootstrap, seed)}


def score_clusters(
    examples: Iterable[Example],
    *,
    bootstrap: int = 0,
    seed: int = 0,
    **cfg: Any,
) -> Dict[str, Any]:
    """Score clusters, singletons among them, over the examples whose reference has them.

    bootstrap, seed (int): Draws of documents for confidence intervals, 0 for none, and where they start.
    cfg (Any): Settings of the component: `spans_key` and `span_cluster_prefix` say where the layers are kept.
    RETURNS (Dict[str, Any]): clusters_p/r/f (exact clusters); coref_muc_p/r/f, coref_b3_p/r/f, coref_ceafe_p/r/f and
        coref_conll_f, their mean; the same without singletons: coref_muc_no_singletons_p, ... With bootstrap the
        interval of each F under its key with `_interval`.
    """
    places = Places.of(cfg)
    tallies: List[Tally] = []
    for example in examples:
        check_same_text(example.reference, example.predicted)
        if has_clusters(example.reference, places):
            pred, gold = (cluster_set(doc, places) for doc in (example.predicted, example.reference))
            tallies.append({"clusters_f": compare(pred, gold), **count_coreference(pred, gold)})
    sums = add_up(tallies)
    scores: Dict[str, Any] = {}
    keys = ["clusters_f", *chain.from_iterable(CONLL.values())]
    for key in keys:
        scores.update(as_keys(key, sums))
    scores.update({key: mean_f(scores[part] for part in parts) for key, parts in CONLL.items()})
    return {**scores, **intervals(tallies, keys, bootstrap, seed, CONLL)}


def score_types(
    examples: Iterable[Example],
    *,
    bootstrap: int = 0,
    seed: int = 0,
    **cfg: Any,
) -> Dict[str, Any]:
    """Score entities, cluster and type together, over the examples whose reference types every cluster.

    bootstrap, seed (int): Draws of documents for a confidence interval, 0 for none, and where they start.
    cfg (Any): Settings of the component: `spans_key` and `span_cluster_prefix` say where the layers are kept.
    RETURNS (Dict[str, Any]): types_p, types_r, types_f; with bootstrap types_f_interval.
    """
    places = Places.of(cfg)
    tallies: List[Tally] = []
    for example in examples:
        check_same_text(example.reference, example.predicted)
        if has_types(example.reference, places):
            pred, gold = (entity_set(doc, places) for doc in (example.predicted, example.reference))
            tallies.append({"types_f": compare(pred, gold)})
    return {**as_keys("types_f", add_up(tallies)), **intervals(tallies, ["types_f"], bootstrap, seed)}
