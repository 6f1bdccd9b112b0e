"""Coreference as the CoNLL shared tasks score it: MUC, B-cubed, entity-based CEAF, and the mean of their F1.

Each mention belongs to one cluster here. A span that several clusters hold stays in the one with most mentions.
"""

from collections import Counter
from typing import AbstractSet, Dict, List, Tuple

import numpy

from ..doc.sets import Cluster
from .counts import Counts, Tally

Overlaps = Dict[Tuple[int, int], int]  # numbers of a predicted and a gold cluster: mentions in both

VARIANTS = ("", "_no_singletons")
METRICS = ("muc", "b3", "ceafe")
# Keys of the CoNLL scores, and of what each is the mean of.
CONLL = {f"coref_conll{v}_f": [f"coref_{metric}{v}_f" for metric in METRICS] for v in VARIANTS}


def count_coreference(pred: AbstractSet[Cluster], gold: AbstractSet[Cluster]) -> Tally:
    """Compare two clusterings, with singletons and without: clusters of one mention are then taken out of both.

    RETURNS (Tally): Counts by the keys `coref_<metric>_f` and `coref_<metric>_no_singletons_f`.

    Source: Pradhan et al. (ACL 2014), section 3, https://aclanthology.org/P14-2006
    """
    tally: Tally = {}
    clusters = [disjoint(pred), disjoint(gold)]
    for variant in VARIANTS:
        p, g = ([c for c in side if len(c) > 1 or not variant] for side in clusters)
        shared = overlaps(p, g)
        for metric, count in zip(METRICS, (count_muc, count_b3, count_ceafe)):
            tally[f"coref_{metric}{variant}_f"] = count(p, g, shared)
    return tally


def disjoint(clusters: AbstractSet[Cluster]) -> List[Cluster]:
    """Take out of each cluster the mentions that a larger one holds, or an earlier one of the same size.

    RETURNS (List[Cluster]): The clusters that are not empty, by size.
    """
    seen: set = set()
    found = []
    for cluster in sorted(clusters, key=lambda c: (-len(c), sorted(c))):
        if cluster - seen:
            found.append(cluster - seen)
        seen |= cluster
    return found


def overlaps(pred: List[Cluster], gold: List[Cluster]) -> Overlaps:
    """Count the mentions that a predicted and a gold cluster share."""
    owner = {mention: i for i, cluster in enumerate(pred) for mention in cluster}
    return Counter((owner[m], j) for j, cluster in enumerate(gold) for m in cluster if m in owner)


def count_muc(pred: List[Cluster], gold: List[Cluster], shared: Overlaps) -> Counts:
    """Count links: a cluster has one less than mentions, and loses one for each further part that the other side has
    it in. A part of n mentions keeps n - 1 of them, whichever side one begins with."""
    kept = sum(n - 1 for n in shared.values())
    return Counts(kept, sum(len(c) - 1 for c in pred), kept, sum(len(c) - 1 for c in gold))


def count_b3(pred: List[Cluster], gold: List[Cluster], shared: Overlaps) -> Counts:
    """Add up over mentions the share of a mention's cluster that the other side puts with the mention as well."""
    return Counts(
        sum(n * n / len(pred[i]) for (i, _), n in shared.items()),
        sum(map(len, pred)),
        sum(n * n / len(gold[j]) for (_, j), n in shared.items()),
        sum(map(len, gold)),
    )


def count_ceafe(pred: List[Cluster], gold: List[Cluster], shared: Overlaps) -> Counts:
    """Pair clusters one to one so that the sum of their likeness, 2 shared / (sum of sizes), is greatest."""
    # scipy is slow to load, and only this function needs it.
    from scipy.optimize import linear_sum_assignment

    likeness = numpy.zeros((len(pred), len(gold)))
    for (i, j), n in shared.items():
        likeness[i, j] = 2 * n / (len(pred[i]) + len(gold[j]))
    best = float(likeness[linear_sum_assignment(likeness, maximize=True)].sum())
    return Counts(best, len(pred), best, len(gold))
