"""PEMSCL's contrastive loss against the formula written out on the pairs' vectors, its slope, its edges."""

import math

import pytest
import torch
from torch.autograd import gradcheck

from spacy_docre.losses.contrastive import FORMS, contrastive_loss
from spacy_docre.textbook import forms

N_PAIRS, GROUPS, BLOCK, N_RELATIONS = 7, 3, 2, 4
# Two relations that several pairs have, one that a single pair has, pairs without any.
SOME = [[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [1, 1, 0, 0]]
LABELS = {
    "some": SOME,
    "none": [[0] * 4] * N_PAIRS,
    "all": [[1] * 4] * N_PAIRS,
    "alone": [[0, 0, 1, 0], *[[0] * 4] * (N_PAIRS - 1)],
}


def draw(n=N_PAIRS):
    generator = torch.Generator().manual_seed(n)
    return tuple(torch.randn(n, GROUPS, BLOCK, generator=generator, dtype=torch.float64) for _ in range(2))


def slow_loss(head, tail, gold, tau, form):
    """Eq. 8 as printed ("in") or with the mean outside the logarithm ("out"), eq. 9, eq. 10, in loops: the textbook
    form takes logarithms of masked sums at once."""
    vectors = []
    for groups in zip(head.tolist(), tail.tolist()):
        x = [a * b for h, t in zip(*groups) for a in h for b in t]
        norm = math.sqrt(sum(v * v for v in x))
        vectors.append([v / norm for v in x])

    def similarity(i, j):
        return math.exp(sum(a * b for a, b in zip(vectors[i], vectors[j])) / tau)

    total, pairs = 0.0, range(len(vectors))
    for i in pairs:
        if not any(gold[i]):
            continue
        others = [j for j in pairs if j != i]
        everything = sum(similarity(i, j) for j in others)
        shared = [similarity(i, j) / everything for j in others if any(a and b for a, b in zip(gold[i], gold[j]))]
        if not shared:
            total += math.log(everything)
        elif form == "in":
            total -= math.log(sum(shared) / len(shared))
        else:
            total -= sum(map(math.log, shared)) / len(shared)
    return total


@pytest.mark.parametrize("max_items", [1, 2 * N_PAIRS * GROUPS, 10**6])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("labels", LABELS)
def test_equals_slow_twin(labels, form, max_items):
    head, tail = draw()
    gold = torch.tensor(LABELS[labels], dtype=torch.bool)
    loss = contrastive_loss(head, tail, gold, temperature=0.3, form=form, max_items=max_items)
    assert loss.item() == pytest.approx(slow_loss(head, tail, LABELS[labels], 0.3, form), abs=1e-9)


@pytest.mark.parametrize("labels", LABELS)
def test_textbook_form_equals_slow_twin(labels):
    """At the layer's default settings."""
    head, tail = draw()
    loss = forms.contrastive_loss(head, tail, torch.tensor(LABELS[labels], dtype=torch.bool), temperature=0.3)
    assert loss.item() == pytest.approx(slow_loss(head, tail, LABELS[labels], 0.3, "in"), abs=1e-9)


def test_equals_textbook_form_on_many_correlated_pairs():
    """Where vectors are alike, the forms "in" and "out" differ most: the textbook form is the default one."""
    generator = torch.Generator().manual_seed(0)
    common = torch.randn(2, 1, GROUPS, BLOCK, generator=generator, dtype=torch.float64)
    own = torch.randn(2, 400, GROUPS, BLOCK, generator=generator, dtype=torch.float64)
    head, tail = (common + 0.3 * own).requires_grad_().unbind()
    gold = torch.rand(400, N_RELATIONS, generator=generator) < 0.02
    found, expected = (loss(head, tail, gold, temperature=0.2) for loss in (contrastive_loss, forms.contrastive_loss))
    assert found.item() == pytest.approx(expected.item(), rel=1e-9)
    for a, b in zip(torch.autograd.grad(found, (head, tail)), torch.autograd.grad(expected, (head, tail))):
        assert torch.allclose(a, b, rtol=1e-9)
    out = contrastive_loss(head, tail, gold, temperature=0.2, form="out")
    assert out.item() != pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("labels", LABELS)
def test_gradient_is_the_slope(labels, form):
    vectors = [z.requires_grad_() for z in draw()]
    gold = torch.tensor(LABELS[labels], dtype=torch.bool)

    def loss(head, tail):
        return 3 * contrastive_loss(head, tail, gold, temperature=0.5, form=form, max_items=2 * N_PAIRS * GROUPS)

    assert gradcheck(loss, vectors)


def test_by_hand():
    """Three pairs of equal vectors: each is as near to one other as to the other, so that a share is 1/2. The two that
    share a relation cost log 2 each; the third, alone with its relation, has the log-denominator 1 + log 2."""
    ones = torch.ones(3, 2, 2)
    gold = torch.tensor([[True, False], [True, False], [False, True]])
    for form in FORMS:
        loss = contrastive_loss(ones, 5 * ones, gold, temperature=1.0, form=form)
        assert loss.item() == pytest.approx(3 * math.log(2) + 1)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n", [0, 1])
def test_without_another_pair_it_costs_nothing(form, n):
    head, tail = (z.requires_grad_() for z in draw(n))
    loss = contrastive_loss(head, tail, torch.ones(n, 2, dtype=torch.bool), temperature=0.2, form=form)
    loss.backward()
    assert loss.item() == 0.0 and not head.grad.any() and not tail.grad.any()


@pytest.mark.parametrize("form", FORMS)
def test_vectors_of_zeros_and_low_temperatures_stay_finite(form):
    head, tail = (z.float() for z in draw())
    head[0] = 0.0
    head.requires_grad_()
    loss = contrastive_loss(head, tail, torch.tensor(SOME, dtype=torch.bool), temperature=1e-3, form=form)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(head.grad).all()


def test_order_of_pairs_does_not_matter():
    head, tail = draw()
    gold, order = torch.tensor(SOME, dtype=torch.bool), torch.randperm(N_PAIRS)
    loss = contrastive_loss(head, tail, gold, temperature=0.3)
    assert contrastive_loss(head[order], tail[order], gold[order], temperature=0.3).item() == pytest.approx(loss.item())
