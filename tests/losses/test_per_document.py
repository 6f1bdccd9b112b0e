"""Losses averaged per document, then over documents: sums done by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

from spacy_docre.losses.per_document import binary_loss, document_mean, label_loss, relation_loss, type_loss


def longs(*values):
    return torch.tensor(values, dtype=torch.long)


def test_mean_of_documents():
    """Document 0 has 1 and 3, mean 2; document 2 has 6; document 1 has none and does not count: (2 + 6) / 2 = 4."""
    assert document_mean(torch.tensor([1.0, 6.0, 3.0]), longs(0, 2, 0)).item() == 4.0


def test_mean_of_a_long_and_a_short_document():
    """Three values of 1 and one of 9: 5, where the mean over values would be 3."""
    assert document_mean(torch.tensor([1.0, 1.0, 1.0, 9.0]), longs(0, 0, 0, 1)).item() == 5.0


def test_nothing_costs_nothing():
    values = torch.zeros(0, requires_grad=True)
    loss = document_mean(values, longs())
    loss.backward()
    assert loss.item() == 0.0 and values.grad.shape == (0,)


def test_binary_loss():
    """Logits of log 3 are probabilities of 3/4. Document 0: right (log 4/3) and wrong (log 4); document 1: at 1/2."""
    logits = torch.tensor([math.log(3), math.log(3), 0.0])
    loss = binary_loss(logits, torch.tensor([True, False, True]), longs(0, 0, 1))
    assert loss.item() == pytest.approx(((math.log(4 / 3) + math.log(4)) / 2 + math.log(2)) / 2)


def slow_relation_loss(rows, gold, doc):
    """JEREX: -sum over relations of y log p + (1 - y) log(1 - p), mean over a document's pairs, mean over documents."""
    by_doc = {}
    for row, holds, d in zip(rows, gold, doc):
        shares = [1 / (1 + math.exp(-f)) for f in row]
        by_doc.setdefault(d, []).append(-sum(math.log(p if y else 1 - p) for p, y in zip(shares, holds)))
    return sum(sum(pairs) / len(pairs) for pairs in by_doc.values()) / len(by_doc)


@st.composite
def pairs(draw):
    """(P, R) logits in [-5, 5], as many labels, and the document of each pair."""
    n_pairs, n_relations = draw(st.integers(1, 5)), draw(st.integers(1, 4))

    def rows(values):
        row = st.lists(values, min_size=n_relations, max_size=n_relations)
        return draw(st.lists(row, min_size=n_pairs, max_size=n_pairs))

    doc = st.lists(st.sampled_from([0, 2, 3]), min_size=n_pairs, max_size=n_pairs)
    return rows(st.floats(-5, 5)), rows(st.booleans()), draw(doc)


@given(pairs())
def test_relation_loss_equals_slow_twin(batch):
    rows, gold, doc = batch
    loss = relation_loss(torch.tensor(rows, dtype=torch.float64), torch.tensor(gold), longs(*doc))
    assert loss.item() == pytest.approx(slow_relation_loss(rows, gold, doc))


def test_relation_loss_by_hand():
    """All logits 0, so that each label costs log 2: pairs with three relations cost 3 log 2, whatever holds."""
    gold = torch.tensor([[True, True, True], [False, False, False]])
    assert relation_loss(torch.zeros(2, 3), gold, longs(0, 0)).item() == pytest.approx(3 * math.log(2))
    assert relation_loss(torch.zeros(0, 3), gold[:0], longs()).item() == 0.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_relation_loss_is_finite_in_narrow_types(dtype):
    logits = torch.tensor([[300.0, -300.0], [-40.0, 40.0]], dtype=dtype, requires_grad=True)
    loss = relation_loss(logits, torch.tensor([[False, True], [False, True]]), longs(0, 0))
    loss.backward()
    assert loss.item() == 300.0 and torch.isfinite(logits.grad).all()


def test_type_loss():
    """Shares of the right type: 1/4 and 2/4 in document 0, 1/3 in document 1."""
    third = [0.0, 0.0, 0.0]
    logits = torch.tensor([[0.0, math.log(2), 0.0], [0.0, math.log(2), 0.0], third])
    loss = type_loss(logits, longs(0, 1, 2), longs(0, 0, 1))
    assert loss.item() == pytest.approx(((math.log(4) + math.log(2)) / 2 + math.log(3)) / 2)


def test_gradient_is_the_slope():
    doc = longs(0, 0, 1)
    logits = torch.randn(3, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: binary_loss(x, torch.tensor([True, False, True]), doc), logits)
    logits = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: type_loss(x, longs(0, 3, 1), doc), logits)
    for gold in (torch.rand(3, 4) < 0.5, torch.zeros(3, 4) > 0, torch.ones(3, 4) > 0):
        assert gradcheck(lambda x, gold=gold: relation_loss(x, gold, doc), logits)


def test_far_off_logits_stay_finite():
    loss = binary_loss(torch.tensor([1e4, -1e4]), torch.tensor([False, True]), longs(0, 1))
    assert loss.item() == pytest.approx(1e4)


def test_shapes_agree():
    with pytest.raises(ValueError, match="R301"):
        binary_loss(torch.zeros(2), torch.zeros(3, dtype=torch.bool), longs(0, 0))
    with pytest.raises(ValueError, match=r"R301.*\(2, 4\).*\(2, 3\)"):  # logits that have a threshold class
        relation_loss(torch.zeros(2, 4), torch.zeros(2, 3, dtype=torch.bool), longs(0, 0))


@given(pairs())
def test_label_loss_equals_slow_twin(batch):
    """RSMAN: the mean over all labels is the sum over relations, averaged over pairs, by the number of relations."""
    rows, gold, _ = batch
    expected = slow_relation_loss(rows, gold, [0] * len(rows)) / len(rows[0])
    assert label_loss(torch.tensor(rows, dtype=torch.float64), torch.tensor(gold)).item() == pytest.approx(expected)
    assert label_loss(torch.zeros(0, 2), torch.zeros(0, 2)).item() == 0.0
