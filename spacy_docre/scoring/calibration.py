"""Scores as probabilities: the temperature that calibrates them, and their calibration error."""

from typing import Any

import numpy

from ..arrays import Bools1d, Floats1d

N_BINS = 10
BOUNDS = (0.05, 20.0)  # of temperatures


def logit(share: Any) -> Any:
    """RETURNS (Any): Log odds of probabilities, finite also for 0 and 1."""
    share = numpy.clip(share, 1e-15, 1 - 1e-15)
    return numpy.log(share) - numpy.log1p(-share)


def sigmoid(logits: Any) -> Any:
    """RETURNS (Any): Probabilities of log odds."""
    return 1 / (1 + numpy.exp(-logits))


def fit_temperature(logits: Floats1d, right: Bools1d) -> float:
    """Find the temperature T for which sigmoid(logits / T) makes the observed answers most likely.

    logits (Floats1d): Shape (N,), N > 0.
    right (Bools1d): Whether each is right. Shape (N,), bool.
    RETURNS (float): Above 1 for scores that were too sure. It stays in `BOUNDS`, where all or none are right.

    Source: Guo et al. (ICML 2017), section 4.2, https://arxiv.org/abs/1706.04599
    """
    # scipy is slow to load, and only this function needs it.
    from scipy.optimize import minimize_scalar

    towards = numpy.where(right, logits, -logits)

    def nats(log_t: float) -> float:
        return float(numpy.logaddexp(0, -towards / numpy.exp(log_t)).mean())

    return float(numpy.exp(minimize_scalar(nats, bounds=numpy.log(BOUNDS), method="bounded").x))


def calibration_error(scores: Floats1d, right: Bools1d) -> float:
    """Measure the expected calibration error: the distance between mean score and share of right ones in bins of equal
    width, averaged over the scores.

    scores (Floats1d): In [0, 1]. Shape (N,), N > 0.
    right (Bools1d): Shape (N,), bool.

    Source: Guo et al. (ICML 2017), eq. 3
    """
    rows = numpy.minimum((scores * N_BINS).astype("int64"), N_BINS - 1)
    return float(numpy.abs(numpy.bincount(rows, weights=scores - right)).sum() / len(scores))
