"""Layers compute the same as their textbook forms."""

import pytest
import torch

from spacy_docre.textbook import cases
from spacy_docre.textbook.measure import prepare


@pytest.mark.parametrize("name", cases.CASES)
def test_textbook_form_gives_the_same(name, monkeypatch):
    monkeypatch.setattr(cases, "N_ENTITIES", 5)
    ours, textbook, inputs = prepare(name, 0)
    one, other = ours(*inputs), textbook(*inputs)
    assert torch.allclose(one, other, atol=1e-4)
    weight = torch.randn_like(one)
    for found, expected in zip(
        torch.autograd.grad((one * weight).sum(), inputs), torch.autograd.grad((other * weight).sum(), inputs)
    ):
        assert torch.allclose(found, expected, atol=1e-3)
