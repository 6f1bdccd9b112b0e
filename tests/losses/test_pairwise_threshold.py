"""PEMSCL's pairwise threshold and entropy against the formulas written out, their slopes, their edges."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

from spacy_docre.losses.pairwise_threshold import pairwise_entropy, pairwise_threshold_loss

LOSSES = {
    "threshold": pairwise_threshold_loss,
    "summed": lambda *args: pairwise_entropy(*args, averaged=False),
    "averaged": lambda *args: pairwise_entropy(*args, averaged=True),
}


def share(row, r):
    """P^r(r) of eq. 3; relation r stands behind TH."""
    return math.exp(row[1 + r]) / (math.exp(row[1 + r]) + math.exp(row[0]))


def slow_threshold(row, gold, counted):
    """Eq. 4, left out what does not count: eq. 12."""
    return -sum(math.log(share(row, r) if gold[r] else 1 - share(row, r)) for r, c in enumerate(counted) if c)


def slow_entropy(row, gold, counted, averaged):
    """Eq. 5-6, gamma_2 counting the negatives before some are left out: eq. 12."""
    total = 0.0
    for r, c in enumerate(counted):
        p = share(row, r)
        gamma = gold.count(gold[r]) if averaged else 1
        total += -(p * math.log(p) + (1 - p) * math.log(1 - p)) / gamma if c else 0.0
    return total


SLOW = {
    "threshold": slow_threshold,
    "summed": lambda *args: slow_entropy(*args, False),
    "averaged": lambda *args: slow_entropy(*args, True),
}


@st.composite
def pairs(draw):
    """(P, 1 + R) logits in [-5, 5], (P, R) labels, and which of them count."""
    n_pairs, n = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    labels = st.lists(st.booleans(), min_size=n, max_size=n)
    logits = st.lists(st.floats(-5, 5), min_size=1 + n, max_size=1 + n)
    return tuple([draw(kind) for _ in range(n_pairs)] for kind in (logits, labels, labels))


@pytest.mark.parametrize("name", LOSSES)
@given(batch=pairs())
def test_equals_slow_twin(name, batch):
    rows, gold, counted = batch
    loss = LOSSES[name](torch.tensor(rows, dtype=torch.float64), torch.tensor(gold), torch.tensor(counted))
    assert loss.tolist() == pytest.approx([SLOW[name](*pair) for pair in zip(*batch)])


def test_by_hand():
    """All logits equal: each label costs log 2, and each choice has the entropy log 2. Of four relations one holds."""
    logits, gold = torch.zeros(1, 5), torch.tensor([[False, True, False, False]])
    assert pairwise_threshold_loss(logits, gold).item() == pytest.approx(4 * math.log(2))
    assert pairwise_entropy(logits, gold, averaged=False).item() == pytest.approx(4 * math.log(2))
    assert pairwise_entropy(logits, gold, averaged=True).item() == pytest.approx(2 * math.log(2))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("gold", [[0, 0, 0], [1, 0, 0], [1, 1, 1]])
def test_gradient_is_the_slope(name, gold):
    logits = torch.tensor([[0.3, -1.2, 0.8, 30.0]], dtype=torch.float64, requires_grad=True)
    holds = torch.tensor([gold], dtype=torch.bool)
    assert gradcheck(lambda x: LOSSES[name](x, holds), logits)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_narrow_types_stay_finite(name, dtype):
    """Logits far apart, where exp(logit) would overflow and a share underflows; and equal ones."""
    logits = torch.tensor([[40.0, -300.0, 200.0, 40.0]], dtype=dtype, requires_grad=True)
    for gold in ([0, 0, 0], [1, 0, 1], [1, 1, 1]):
        loss = LOSSES[name](logits, torch.tensor([gold], dtype=torch.bool))
        (gradient,) = torch.autograd.grad(loss.sum(), logits)
        assert torch.isfinite(loss).all() and (loss >= 0).all() and torch.isfinite(gradient).all()


def test_entropy_of_sure_choices_does_not_cancel():
    """softplus(x) - x sigmoid(x) would be 0 in float32; H is about (x + 1) exp(-x)."""
    logits = torch.tensor([[0.0, 20.0, -20.0]])
    entropy = pairwise_entropy(logits, torch.tensor([[True, False]]), averaged=False)
    assert entropy.item() == pytest.approx(2 * 21 * math.exp(-20), rel=1e-4)


@pytest.mark.parametrize("name", LOSSES)
def test_no_pairs_and_wrong_shapes(name):
    assert LOSSES[name](torch.zeros(0, 3), torch.zeros(0, 2, dtype=torch.bool)).shape == (0,)
    with pytest.raises(ValueError, match="R301"):
        LOSSES[name](torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.bool))
