"""Calibration error by hand, and temperatures recovered from generated scores."""

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_docre.scoring.calibration import BOUNDS, calibration_error, fit_temperature, logit, sigmoid


def test_error_by_hand():
    """Bin 0.9 to 1: mean 0.95, 1 of 2 right, 0.45 apart. Bin 0.3 to 0.4: 0.35, 1 of 1, 0.65. (2 * 0.45 + 0.65) / 3."""
    scores, right = numpy.array([0.92, 0.98, 0.35]), numpy.array([True, False, True])
    assert calibration_error(scores, right) == pytest.approx(1.55 / 3)
    assert calibration_error(numpy.array([1.0, 0.0]), numpy.array([True, False])) == 0.0


@pytest.mark.parametrize("hidden", [0.5, 1.0, 3.0])
def test_hidden_temperature_is_found(hidden):
    rng = numpy.random.default_rng(0)
    logits = rng.normal(0, 2, 20000)
    right = rng.random(20000) < sigmoid(logits)
    assert fit_temperature(hidden * logits, right) == pytest.approx(hidden, rel=0.05)
    assert calibration_error(sigmoid(logits), right) < 0.015


@pytest.mark.parametrize("right, bound", [(True, BOUNDS[0]), (False, BOUNDS[1])])
def test_bounds_hold_where_nothing_else_does(right, bound):
    assert fit_temperature(numpy.ones(5), numpy.full(5, right)) == pytest.approx(bound, rel=0.01)


@given(st.floats(0.001, 0.999))
def test_logit_undoes_sigmoid(share):
    assert sigmoid(logit(share)) == pytest.approx(share)
    assert numpy.isfinite(logit(0.0)) and numpy.isfinite(logit(1.0))
