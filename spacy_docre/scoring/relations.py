"""Scorer of relations: strict, without types, by cut, by label, Ign F1, and evidence."""

from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Set, Tuple

from spacy import registry
from spacy.tokens import Doc
from spacy.training import Example

from ..doc.align import check_same_text
from ..doc.places import Places
from ..doc.records import has_relations
from ..doc.sentences import has_sentences, sentence_starts
from ..doc.sets import (
    Cluster,
    EntityTriple,
    Offsets,
    entity_list,
    find_sentences,
    find_support,
    triple_scores,
    triple_set,
)
from .counts import Counts, ScorerFn, Tally, add_up, as_dict, as_keys, compare, intervals
from .facts import Facts, is_known

# By mention counts of head and tail. M2 means different cuts in the papers of KMGRE and RSMAN.
MENTION_CUTS: Dict[str, Callable[[int, int], bool]] = {
    "m1": lambda head, tail: head > 1 or tail > 1,
    "m2": lambda head, tail: head > 1 and tail > 1,
    "m2_rsman": lambda head, tail: head > 2 or tail > 2,
}
LABEL_CUTS = ("head", "mid", "tail")
CUTS = (*MENTION_CUTS, "intra", "inter", *LABEL_CUTS)
N_HEAD, N_TAIL = 10, 20  # labels
PER_TYPE = "relations_per_type"


@registry.scorers("spacy-docre.relation_scorer.v1")
def make_relation_scorer() -> ScorerFn:
    """RETURNS (ScorerFn): Scores relations: strict, types ignored, by cut and by label, Ign F1, and their evidence."""
    return score_relations


def score_relations(
    examples: Iterable[Example],
    *,
    facts: Optional[Facts] = None,
    frequencies: Optional[Dict[str, int]] = None,
    bootstrap: int = 0,
    seed: int = 0,
    **cfg: Any,
) -> Dict[str, Any]:
    """Score relations over the examples whose reference has them.

    A relation is correct when its label is and when both entities are, mention by mention and in their types; a gold
    entity without a type accepts any. Gold relations whose entities were not found are missed like all others. Of the
    cuts, each holds the gold and the predicted relations that meet its condition, predictions judged by their own
    clusters, and sentences those of the reference (none there: the example is in neither `_intra` nor `_inter`).
    Evidence is a correct (strict) relation with a sentence that supports it, counted in sentences of the reference: a
    predicted one stands for all that it touches. Gold relations without evidence are left out of it.

    facts (Optional[Facts]): Facts of the training data, see `facts.py`. Without them Ign F1 is None.
    frequencies (Optional[Dict[str, int]]): How often the training data have each label, see `cut_by_frequency`.
        Without them these cuts are None.
    bootstrap, seed (int): Draws of documents for confidence intervals, 0 for none, and where they start.
    cfg (Any): Settings of the component: `spans_key`, `span_cluster_prefix`, `relations_attr` say where layers lie.
    RETURNS (Dict[str, Any]): relations_p/r/f and relations_ign_f (strict), relations_untyped_p/r/f (clusters and label
        only), relations_f_m1, _m2, _m2_rsman, _intra, _inter, _head, _mid, _tail (strict F of a cut),
        relations_per_type (label to its strict p, r and f), evidence_p/r/f. None where there was nothing to find and
        nothing was found. With bootstrap the interval of each F under its key with `_interval`.

    Source: Eberts and Ulges (EACL 2021), section 4; Ign F1: Yao et al. (ACL 2019), https://arxiv.org/abs/1906.06127
    """
    places, by_label = Places.of(cfg), cut_by_frequency(frequencies or {})
    tallies = []
    for example in examples:
        check_same_text(example.reference, example.predicted)
        if has_relations(example.reference, places):
            tallies.append(count_relations(example, places, facts, by_label))
    sums = add_up(tallies)
    cuts = [f"relations_f_{name}" for name in CUTS]
    single = ["relations_ign_f", *cuts]
    labels = sorted(key[1] for key in sums if isinstance(key, tuple))
    scores = {
        **as_keys("relations_f", sums),
        **as_keys("relations_untyped_f", sums),
        **{key: as_dict(sums[key])["f"] for key in single},
        "relations_per_type": {label: as_dict(sums[PER_TYPE, label]) for label in labels},
        **as_keys("evidence_f", sums),
        **intervals(tallies, ["relations_f", "relations_untyped_f", "evidence_f", *single], bootstrap, seed),
    }
    # Other names of two cuts, for configs and tables that read them.
    scores.update({f"relations_{name}_f": scores[f"relations_f_{name}"] for name in ("intra", "inter")})
    return scores


def count_relations(example: Example, places: Places, facts: Optional[Facts], by_label: Dict[str, str]) -> Tally:
    """Compare the relations of one document.

    places (Places): Where the layers are kept.
    facts (Optional[Facts]): Facts of the training data, if known.
    by_label (Dict[str, str]): Cut of each label by its frequency; empty where that is not known.
    RETURNS (Tally): Counts by the keys of `score_relations`, of each label by (PER_TYPE, label).
    """
    reference = example.reference
    gold_support = find_support(reference, places)
    pred_support = find_support(example.predicted, places)
    any_type = find_untyped(reference, places)
    gold, pred = set(gold_support), {_forgive_untyped(t, any_type) for t in pred_support}
    tally: Tally = {
        "relations_f": compare(pred, gold),
        "relations_untyped_f": compare(_without_types(set(pred_support)), _without_types(gold)),
    }
    for label in {t[1] for t in gold | pred}:
        tally[PER_TYPE, label] = compare({t for t in pred if t[1] == label}, {t for t in gold if t[1] == label})
    starts = sentence_starts(reference) if has_sentences(reference) else []
    cuts = {t: _name_cuts(t, starts, by_label) for t in gold | pred}
    for name in CUTS:
        members = {t for t, names in cuts.items() if name in names}
        tally[f"relations_f_{name}"] = compare(pred & members, gold & members)
    if facts is not None:
        text, hits = reference.text, pred & gold
        known = sum(is_known(facts, text, head, label, tail) for (head, _), label, (tail, _) in hits)
        # Known facts leave precision, while recall stays that of all relations, as DocRED has it.
        tally["relations_ign_f"] = Counts(len(hits) - known, len(pred) - known, len(hits), len(gold))
    if starts:
        found = {(_forgive_untyped(t, any_type), s) for t, s in _evidence(pred_support, starts)}
        unknown = {t for t, sents in gold_support.items() if not sents}
        tally["evidence_f"] = compare({(t, s) for t, s in found if t not in unknown}, _evidence(gold_support, starts))
    return tally


def count_above(example: Example, places: Places, thresholds: Sequence[float]) -> Dict[float, Counts]:
    """Compare the relations of one document as `relations_f` does, for several thresholds on their scores.

    thresholds (Sequence[float]): A predicted relation counts if its score is above.
    RETURNS (Dict[float, Counts]): Counts by threshold.
    """
    gold = triple_set(example.reference, places)
    any_type = find_untyped(example.reference, places)
    scores = [(_forgive_untyped(t, any_type), s) for t, s in triple_scores(example.predicted, places).items()]
    return {least: compare({triple for triple, score in scores if score > least}, gold) for least in thresholds}


def find_untyped(reference: Doc, places: Places) -> Set[Cluster]:
    """Find the gold entities without a type, which accept any."""
    return {cluster for cluster, label in entity_list(reference, places) if not label}


def cut_by_frequency(frequencies: Dict[str, int]) -> Dict[str, str]:
    """Sort relation labels into the 10 most frequent ("head"), the 20 least frequent ("tail") and the rest ("mid").
    Labels of one frequency go by name. With fewer than 30 labels the head comes first, then the tail.

    frequencies (Dict[str, int]): How often the training data have each label that the model knows.
    RETURNS (Dict[str, str]): Label to cut. Labels that are not in it are rarer than all others: they are tail, too.

    Source: Guo et al. (2023), table 3
    """
    labels = sorted(frequencies, key=lambda label: (-frequencies[label], label))
    cuts = dict.fromkeys(labels, "mid")
    cuts.update(dict.fromkeys(labels[-N_TAIL:], "tail"))
    cuts.update(dict.fromkeys(labels[:N_HEAD], "head"))
    return cuts


def _without_types(triples: Set[EntityTriple]) -> Set[EntityTriple]:
    return {((head, ""), label, (tail, "")) for (head, _), label, (tail, _) in triples}


def _forgive_untyped(triple: EntityTriple, any_type: Set[Cluster]) -> EntityTriple:
    """Take the predicted type off entities whose gold has none."""
    (head, head_type), label, (tail, tail_type) = triple
    return (head, "" if head in any_type else head_type), label, (tail, "" if tail in any_type else tail_type)


def _evidence(support: Dict[EntityTriple, Set[Offsets]], starts: List[int]) -> Set[Tuple[EntityTriple, int]]:
    """List relations with each supporting sentence. starts: first character of each sentence."""
    return {(triple, sent) for triple, sents in support.items() for sent in find_sentences(sents, starts)}


def _name_cuts(triple: EntityTriple, starts: List[int], by_label: Dict[str, str]) -> Set[str]:
    """Name the cuts that hold a relation.

    starts (List[int]): First character of each sentence; empty where sentences are not annotated.
    """
    (head, _), label, (tail, _) = triple
    names = {name for name, holds in MENTION_CUTS.items() if holds(len(head), len(tail))}
    if starts:
        names.add("intra" if find_sentences(head, starts) & find_sentences(tail, starts) else "inter")
    if by_label:
        names.add(by_label.get(label, "tail"))
    return names
