"""Losses averaged per document, then over documents: sums done by hand."""

import math

import pytest
import torch
from torch.autograd import gradcheck

from spacy_docre.losses.per_document import binary_loss, document_mean, type_loss


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


def test_far_off_logits_stay_finite():
    loss = binary_loss(torch.tensor([1e4, -1e4]), torch.tensor([False, True]), longs(0, 1))
    assert loss.item() == pytest.approx(1e4)


def test_shapes_agree():
    with pytest.raises(ValueError, match="R301"):
        binary_loss(torch.zeros(2), torch.zeros(3, dtype=torch.bool), longs(0, 0))
