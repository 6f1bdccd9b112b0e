"""Checks of settings: one message, which names the setting, what it may be, and what was given."""

import pytest

from spacy_docre.errors import check_choice, check_number


@pytest.mark.parametrize("value", [0.0, -1.0, 1.5, float("nan")])
def test_number_out_of_bounds_is_refused(value: float):
    with pytest.raises(ValueError, match=rf"R206.*'here': `share` has to be above 0 and at most 1, got {value}\."):
        check_number("share", value, above=0, most=1, where="here")


def test_number_within_bounds_passes():
    check_number("share", 1.0, above=0, most=1)
    check_number("n", 0, least=0)
    with pytest.raises(ValueError, match="at least 0, got -1"):
        check_number("n", -1, least=0)


def test_unknown_choice_is_refused():
    check_choice("kind", "mean", ("mean", "max"))
    with pytest.raises(ValueError, match=r"R206\] `kind` has to be one of mean, max, got 'sum'\."):
        check_choice("kind", "sum", ("mean", "max"))
