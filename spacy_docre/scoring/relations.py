"""Scorer of relations: strict, without types, by cut, by label, Ign F1, and evidence."""

from bisect import bisect_right
from collections import defaultdict
from typing import Any, Callable, DefaultDict, Dict, Iterable, List, Optional, Set, Tuple

from spacy import registry
from spacy.scorer import PRFScore
from spacy.tokens import Doc
from spacy.training import Example

from ..attributes import CLUSTER_PREFIX, RELATIONS_ATTR, has_relations
from .entities import ScorerFn, as_dict, as_keys
from .facts import Facts, is_known
from .layers import Cluster, Offsets, Triple, check_same_text, entity_list, find_support

# By mention counts of head and tail. KMGRE and RSMAN both speak of M2 and mean different cuts.
MENTION_CUTS: Dict[str, Callable[[int, int], bool]] = {
    "m1": lambda head, tail: head > 1 or tail > 1,
    "m2": lambda head, tail: head > 1 and tail > 1,
    "m2_rsman": lambda head, tail: head > 2 or tail > 2,
}


@registry.scorers("spacy-docre.relation_scorer.v1")
def make_relation_scorer() -> ScorerFn:
    """RETURNS (ScorerFn): Scores relations between entities."""
    return score_relations


def score_relations(
    examples: Iterable[Example],
    *,
    span_cluster_prefix: str = CLUSTER_PREFIX,
    relations_attr: str = RELATIONS_ATTR,
    facts: Optional[Facts] = None,
    **cfg: Any,
) -> Dict[str, Any]:
    """Score relations over the examples whose reference has them.

    A relation is correct when its label is and when both entities are, mention by mention and in their types; a gold
    entity without a type accepts any. Gold relations whose entities were not found are missed like all others. Of the
    cuts, each holds the gold and the predicted relations that meet its condition, predictions judged by their own
    clusters, and sentences those of the reference (none there: the example is in neither `_intra` nor `_inter`).
    Evidence is a correct (strict) relation with a sentence that supports it, counted in sentences of the reference: a
    predicted one stands for all that it touches. Gold relations without evidence are left out of it.

    span_cluster_prefix (str): Prefix of the clusters' span groups.
    relations_attr (str): Name of the view on the relations.
    facts (Optional[Facts]): Facts of the training data, see `facts.py`. Without them Ign F1 is None.
    RETURNS (Dict[str, Any]): relations_p/r/f and relations_ign_f (strict), relations_untyped_p/r/f (clusters and label
        only), relations_f_m1, _m2, _m2_rsman, _intra, _inter (strict F of a cut), relations_per_type (label to its
        strict p, r and f), evidence_p/r/f. None where there was nothing to find and nothing was found.

    Source: Eberts and Ulges (EACL 2021), section 4; Ign F1: Yao et al. (ACL 2019), https://arxiv.org/abs/1906.06127
    """
    strict, untyped, evidence, n_known = PRFScore(), PRFScore(), PRFScore(), 0
    cuts = {name: PRFScore() for name in (*MENTION_CUTS, "intra", "inter")}
    per_type: DefaultDict[str, PRFScore] = defaultdict(PRFScore)
    for example in examples:
        check_same_text(example)
        reference = example.reference
        if not has_relations(reference, relations_attr):
            continue
        gold_support = find_support(reference, span_cluster_prefix, relations_attr)
        pred_support = find_support(example.predicted, span_cluster_prefix, relations_attr)
        gold, pred = set(gold_support), set(pred_support)
        untyped.score_set(_without_types(pred), _without_types(gold))
        any_type = {c for c, label in entity_list(reference, span_cluster_prefix) if not label}
        pred = {_forgive_untyped(t, any_type) for t in pred}
        strict.score_set(pred, gold)
        for label in {t[1] for t in gold | pred}:
            per_type[label].score_set({t for t in pred if t[1] == label}, {t for t in gold if t[1] == label})
        for name, holds in _cuts(reference).items():
            cuts[name].score_set({t for t in pred if holds(t)}, {t for t in gold if holds(t)})
        if facts is not None:
            text = reference.text
            n_known += sum(is_known(facts, text, head, label, tail) for (head, _), label, (tail, _) in pred & gold)
        if reference.has_annotation("SENT_START"):
            starts = [sent.start_char for sent in reference.sents]
            found = {(_forgive_untyped(t, any_type), s) for t, s in _evidence(pred_support, starts)}
            unknown = {t for t, sents in gold_support.items() if not sents}
            evidence.score_set({(t, s) for t, s in found if t not in unknown}, _evidence(gold_support, starts))
    return {
        **as_keys("relations", strict),
        **as_keys("relations_untyped", untyped),
        "relations_ign_f": None if facts is None else _ign_f(strict, n_known),
        **{f"relations_f_{name}": as_dict(score)["f"] for name, score in cuts.items()},
        # Other names of two cuts, for configs and tables that read them.
        "relations_intra_f": as_dict(cuts["intra"])["f"],
        "relations_inter_f": as_dict(cuts["inter"])["f"],
        "relations_per_type": {label: as_dict(score) for label, score in sorted(per_type.items())},
        **as_keys("evidence", evidence),
    }


def _without_types(triples: Set[Triple]) -> Set[Triple]:
    return {((head, ""), label, (tail, "")) for (head, _), label, (tail, _) in triples}


def _forgive_untyped(triple: Triple, any_type: Set[Cluster]) -> Triple:
    """Take the predicted type off entities whose gold has none."""
    (head, head_type), label, (tail, tail_type) = triple
    return (head, "" if head in any_type else head_type), label, (tail, "" if tail in any_type else tail_type)


def _evidence(support: Dict[Triple, Set[Offsets]], starts: List[int]) -> Set[Tuple[Triple, int]]:
    """RETURNS (Set[Tuple[Triple, int]]): Relation and supporting sentence, by the sentences' first characters."""
    return {(triple, sent) for triple, sents in support.items() for sent in _sentences(sents, starts)}


def _cuts(reference: Doc) -> Dict[str, Callable[[Triple], bool]]:
    """RETURNS (Dict[str, Callable[[Triple], bool]]): Condition of each cut that can be told on this document."""
    cuts: Dict[str, Callable[[Triple], bool]] = {}
    for name, rule in MENTION_CUTS.items():
        cuts[name] = lambda t, rule=rule: rule(len(t[0][0]), len(t[2][0]))  # type: ignore[misc]
    if reference.has_annotation("SENT_START"):
        starts = [sent.start_char for sent in reference.sents]
        cuts["intra"] = lambda t: bool(_sentences(t[0][0], starts) & _sentences(t[2][0], starts))
        cuts["inter"] = lambda t: not cuts["intra"](t)
    return cuts


def _sentences(cluster: Iterable[Offsets], starts: List[int]) -> Set[int]:
    """RETURNS (Set[int]): Indices of the sentences that a mention touches, by the sentences' first characters."""
    found: Set[int] = set()
    for start, end in cluster:
        found.update(range(bisect_right(starts, start) - 1, bisect_right(starts, end - 1)))
    return found


def _ign_f(score: PRFScore, n_known: int) -> Optional[float]:
    """F1 with known facts taken out of precision, while recall stays that of all relations, as DocRED has it.

    n_known (int): How many correct predictions the training facts hold.
    """
    if not len(score):
        return None
    precision = (score.tp - n_known) / max(score.tp + score.fp - n_known, 1)
    recall = score.recall
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
