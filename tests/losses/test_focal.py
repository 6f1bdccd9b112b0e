"""Focal loss against its formula written out."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

from spacy_docre.losses.focal import focal_loss


def slow_loss(logit, label, alpha, gamma):
    """KMGRE eq. 10-11."""
    p = 1 / (1 + math.exp(-logit))
    p = p if label else 1 - p
    return -alpha * (1 - p) ** gamma * math.log(p)


@given(st.floats(-8, 8), st.booleans(), st.sampled_from([0.3, 1.0]), st.sampled_from([0.0, 1.0, 2.0]))
def test_equals_slow_twin(logit, label, alpha, gamma):
    found = focal_loss(torch.tensor([logit], dtype=torch.float64), torch.tensor([label]), alpha=alpha, gamma=gamma)
    assert found.tolist() == [pytest.approx(slow_loss(logit, label, alpha, gamma), abs=1e-9)]


def test_both_labels_weigh_alike():
    """One alpha for both: a label and its opposite, with opposite logits, cost the same."""
    one, other = focal_loss(torch.tensor([1.3, -1.3]), torch.tensor([True, False]), alpha=0.3, gamma=2.0)
    assert one == other > 0


def test_gradient_is_the_slope():
    logits = torch.tensor([-3.0, -0.2, 0.0, 4.0], dtype=torch.float64, requires_grad=True)
    gold = torch.tensor([True, False, True, False])
    assert gradcheck(lambda x: focal_loss(x, gold, alpha=0.3, gamma=2.0), logits)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_large_logits_give_numbers(dtype):
    logits = torch.tensor([100.0, -100.0, 100.0, -100.0], dtype=dtype, requires_grad=True)
    loss = focal_loss(logits, torch.tensor([True, True, False, False]), alpha=0.3, gamma=2.0)
    loss.sum().backward()
    assert torch.isfinite(loss).all() and torch.isfinite(logits.grad).all()
    assert loss.tolist() == pytest.approx([0.0, 30.0, 30.0, 0.0], abs=0.2)
