"""Counts of documents, which are added up first and then divided once to give scores."""

from collections import defaultdict
from operator import add
from types import MappingProxyType
from typing import (
    AbstractSet,
    Any,
    Callable,
    DefaultDict,
    Dict,
    Hashable,
    Iterable,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
)

import numpy

from ..arrays import Floats1d

LEVEL = 0.95  # confidence of the intervals

ScorerFn = Callable[..., Dict[str, Any]]


class Counts(NamedTuple):
    """Precision is right / predicted, recall found / gold. Where sets are compared, right equals found."""

    right: float = 0
    predicted: float = 0
    found: float = 0
    gold: float = 0


Tally = Dict[Hashable, Counts]  # of one document; a text is the key of an F1, such as "relations_f"


def compare(predicted: AbstractSet, gold: AbstractSet) -> Counts:
    """Count two sets and what they share."""
    hits = len(predicted & gold)
    return Counts(hits, len(predicted), hits, len(gold))


def add_up(tallies: Iterable[Tally]) -> DefaultDict[Hashable, Counts]:
    """Add up tallies by key; a key that no tally has gives zeros."""
    sums: DefaultDict[Hashable, Counts] = defaultdict(Counts)
    for tally in tallies:
        for key, counts in tally.items():
            sums[key] = Counts(*map(add, sums[key], counts))
    return sums


def as_dict(counts: Counts) -> Dict[str, Optional[float]]:
    """Divide counts to p, r and f in [0, 1]; None where there was nothing to find and nothing was found, so that a
    corpus without a layer does not look like a model that fails on it.
    """
    if not (counts.predicted or counts.gold):
        return {"p": None, "r": None, "f": None}
    p = counts.right / counts.predicted if counts.predicted else 0.0
    r = counts.found / counts.gold if counts.gold else 0.0
    return {"p": p, "r": r, "f": 2 * p * r / (p + r) if p + r else 0.0}


def as_keys(key: str, sums: DefaultDict[Hashable, Counts]) -> Dict[str, Optional[float]]:
    """Name the scores of a key: for "mentions_f" these are `mentions_p`, `_r` and `_f`."""
    return {f"{key[:-1]}{letter}": value for letter, value in as_dict(sums[key]).items()}


def draw_f(tallies: Sequence[Tally], keys: Sequence[str], n: int, seed: int) -> Dict[str, Floats1d]:
    """Draw as many documents as there are, with replacement, n times.

    keys (Sequence[str]): Of the tallies.
    RETURNS (Dict[str, Floats1d]): F1 in each draw, NaN where there is nothing to score. Shape (n,).
    """
    # Of two documents, table[i] holds the counts of document i. Draws of (0, 0), (0, 1), (1, 0) are the rows [2, 0],
    # [1, 1], [1, 1] of `times`: the sums of the first draw are 2 * table[0].
    table = numpy.array([[tally.get(key, Counts()) for key in keys] for tally in tallies], dtype="float64")
    times = numpy.random.default_rng(seed).multinomial(len(tallies), numpy.full(len(tallies), 1 / len(tallies)), n)
    right, predicted, found, gold = numpy.moveaxis(numpy.tensordot(times, table, axes=1), -1, 0)  # (n, keys) each
    p, r = right / numpy.maximum(predicted, 1e-9), found / numpy.maximum(gold, 1e-9)
    f = 2 * p * r / numpy.maximum(p + r, 1e-9)
    f[(predicted == 0) & (gold == 0)] = numpy.nan
    return dict(zip(keys, f.T))


def interval(draws: Floats1d) -> Optional[List[float]]:
    """Find the middle 95 percent of draws; None where no draw has a value."""
    draws = draws[~numpy.isnan(draws)]
    return numpy.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist() if len(draws) else None


def mean_f(values: Iterable[Optional[float]]) -> Optional[float]:
    """Average several F1; None if one of them is None."""
    values = list(values)
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def intervals(
    tallies: Sequence[Tally],
    keys: Sequence[str],
    n: int,
    seed: int,
    means: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Dict[str, Optional[List[float]]]:
    """Find confidence intervals by resampling documents: the percentile bootstrap.

    n (int): Number of draws; 0 for no intervals.
    means (Mapping[str, Sequence[str]]): Further keys, each with those that it is the mean of.
    RETURNS (Dict[str, Optional[List[float]]]): Low and high by `<key>_interval`.
    """
    if not n:
        return {}
    draws = draw_f(tallies, keys, n, seed) if tallies else {key: numpy.full(n, numpy.nan) for key in keys}
    draws.update({key: numpy.mean([draws[part] for part in parts], axis=0) for key, parts in means.items()})
    return {f"{key}_interval": interval(values) for key, values in draws.items()}
