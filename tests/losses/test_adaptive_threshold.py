"""The adaptive threshold loss against the formula written out, its slope, its edges."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

from spacy_docre.losses.adaptive_threshold import adaptive_threshold_loss


def slow_loss(row, gold):
    """KMGRE eq. 17-19: every positive against itself, the others and TH; TH against itself and the negatives."""
    positive = [f for f, holds in zip(row[1:], gold) if holds]
    negative = [f for f, holds in zip(row[1:], gold) if not holds]
    th = row[0]

    def share(f, classes):
        return math.exp(f) / sum(math.exp(other) for other in classes)

    first = -sum(math.log(share(f, [*positive, th])) for f in positive)
    return first - math.log(share(th, [*negative, th]))


@st.composite
def pairs(draw):
    """(P, 1 + R) logits in [-5, 5] and (P, R) labels."""
    n_pairs, n_relations = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    logits = st.lists(st.floats(-5, 5), min_size=1 + n_relations, max_size=1 + n_relations)
    labels = st.lists(st.booleans(), min_size=n_relations, max_size=n_relations)
    rows = [(draw(logits), draw(labels)) for _ in range(n_pairs)]
    return [row for row, _ in rows], [gold for _, gold in rows]


@given(pairs())
def test_equals_slow_twin(pair):
    rows, gold = pair
    loss = adaptive_threshold_loss(torch.tensor(rows, dtype=torch.float64), torch.tensor(gold))
    assert loss.tolist() == pytest.approx([slow_loss(row, holds) for row, holds in zip(rows, gold)])


@given(pairs(), st.randoms())
def test_labels_that_do_not_count_might_as_well_not_be_there(pair, random):
    rows, gold = pair
    counted = [[random.random() < 0.5 for _ in holds] for holds in gold]
    loss = adaptive_threshold_loss(
        torch.tensor(rows, dtype=torch.float64), torch.tensor(gold), torch.tensor(counted)
    ).tolist()
    for found, row, holds, counts in zip(loss, rows, gold, counted):
        left = [r for r, c in enumerate(counts) if c]
        assert found == pytest.approx(slow_loss([row[0], *(row[1 + r] for r in left)], [holds[r] for r in left]))


def test_by_hand():
    """All logits equal, TH and three relations of which two hold: two positives with share 1/3 each, TH with share
    1/2 against the one negative: 2 log 3 + log 2."""
    loss = adaptive_threshold_loss(torch.zeros(1, 4), torch.tensor([[True, True, False]]))
    assert loss.item() == pytest.approx(2 * math.log(3) + math.log(2))


GOLD = [[0, 0], [1, 0], [1, 1]]


@pytest.mark.parametrize("gold", GOLD)
def test_gradient_is_the_slope(gold):
    logits = torch.tensor([[0.3, -1.2, 0.8]], dtype=torch.float64, requires_grad=True)
    holds = torch.tensor([gold], dtype=torch.bool)
    assert gradcheck(lambda x: adaptive_threshold_loss(x, holds), logits)


def test_no_positive_leaves_the_second_term():
    """-log(e^1 / (e^1 + e^2 + e^0))"""
    loss = adaptive_threshold_loss(torch.tensor([[1.0, 2.0, 0.0]]), torch.zeros(1, 2, dtype=torch.bool))
    assert loss.item() == pytest.approx(math.log(math.e + math.e**2 + 1) - 1)


def test_no_negative_leaves_the_first_term():
    """TH alone has share 1, and each of two equal positives 1/3."""
    loss = adaptive_threshold_loss(torch.zeros(1, 3), torch.tensor([[True, True]]))
    assert loss.item() == pytest.approx(2 * math.log(3))


@pytest.mark.parametrize("gold", GOLD)
def test_labels_are_left_alone(gold):
    holds = torch.tensor([gold], dtype=torch.bool)
    adaptive_threshold_loss(torch.randn(1, 3), holds)
    assert holds.int().tolist() == [gold]


def test_relabelled_relations_change_nothing():
    logits, gold = torch.randn(5, 6, dtype=torch.float64), torch.rand(5, 5) < 0.3
    order = torch.tensor([2, 4, 0, 1, 3])
    columns = torch.cat([torch.tensor([0]), order + 1])  # TH stays in front
    loss = adaptive_threshold_loss(logits, gold)
    assert torch.allclose(adaptive_threshold_loss(logits[:, columns], gold[:, order]), loss)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("gold", GOLD)
def test_narrow_types_stay_finite(dtype, gold):
    """Logits far apart, where a share underflows and exp(logit) would overflow."""
    logits = torch.tensor([[40.0, -300.0, 200.0]], dtype=dtype, requires_grad=True)
    loss = adaptive_threshold_loss(logits, torch.tensor([gold], dtype=torch.bool))
    loss.sum().backward()
    assert torch.isfinite(loss).all() and torch.isfinite(logits.grad).all()


def test_no_pairs():
    assert adaptive_threshold_loss(torch.zeros(0, 3), torch.zeros(0, 2, dtype=torch.bool)).shape == (0,)


def test_shapes_agree():
    with pytest.raises(ValueError, match=r"R301.*\(2, 3\).*\(2, 3\)"):
        adaptive_threshold_loss(torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.bool))
