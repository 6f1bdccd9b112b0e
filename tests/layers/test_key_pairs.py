"""Key mention pairs against the equations of KMGRE written out."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

from spacy_docre.layers.key_pairs import choose_key_pairs, fuse_logits, label_key_pairs, strongest_logits

N_RELATIONS = 3
# A document's entity pairs: which relations hold, and the mention pairs, each with relation logits and a key logit.
logit = st.integers(-40, 40).map(lambda i: i / 10)
mention_pair = st.tuples(st.lists(logit, min_size=N_RELATIONS, max_size=N_RELATIONS), logit)
entity_pair = st.tuples(
    st.lists(st.booleans(), min_size=N_RELATIONS, max_size=N_RELATIONS), st.lists(mention_pair, min_size=1, max_size=5)
)
documents = st.lists(entity_pair, min_size=1, max_size=4)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def as_tensors(document, dtype=torch.float64):
    """Relation logits (N, R), key logits (N,), relations (P, R), entity pair of each mention pair (N,)."""
    rows = [(i, relations, key) for i, (_, found) in enumerate(document) for relations, key in found]
    return (
        torch.tensor([relations for _, relations, _ in rows], dtype=dtype),
        torch.tensor([key for _, _, key in rows], dtype=dtype),
        torch.tensor([gold for gold, _ in document]),
        torch.tensor([i for i, _, _ in rows]),
    )


def slow_labels(document):
    """KMGRE eq. 9."""
    labels = []
    for gold, found in document:
        for relations, _ in found:
            label = False
            for c, holds in enumerate(gold):
                mean = sum(sigmoid(other[c]) for other, _ in found) / len(found)
                label = label or (holds and sigmoid(relations[c]) >= mean - 1e-6)
            labels.append(label)
    return labels


def slow_choice(document, xi, tau):
    """KMGRE eq. 12-15, with the most probable mention pair kept in any case."""
    chosen = []
    for _, found in document:
        p = [sigmoid(key) for _, key in found]
        bound = min(sum(p) / len(p) + xi * (max(p) - min(p)), tau)
        chosen += [q >= bound - 1e-6 or q == max(p) for q in p]
    return chosen


@given(documents)
def test_labels_equal_slow_twin(document):
    logits, _, gold, pair = as_tensors(document)
    assert label_key_pairs(logits, gold, pair).tolist() == slow_labels(document)


@given(documents, st.sampled_from([0.0, 0.1, 0.15, 1.0]), st.sampled_from([0.0, 0.1, 0.4, 0.5]))
def test_choice_equals_slow_twin(document, xi, tau):
    _, keys, gold, pair = as_tensors(document)
    assert choose_key_pairs(keys, pair, len(gold), xi=xi, tau=tau).tolist() == slow_choice(document, xi, tau)


@given(documents, st.sampled_from([0.1, 0.5]))
def test_fusion_equals_slow_twin(document, tau):
    """Eq. 16 and eq. 1; with a threshold class (here the first column) the latter counts from it."""
    logits, keys, gold, pair = as_tensors(document)
    chosen = choose_key_pairs(keys, pair, len(gold), xi=0.15, tau=tau)
    fused, strongest, above = [], [], []
    rows = list(zip(pair.tolist(), chosen.tolist(), logits.tolist()))
    for i in range(len(document)):
        kept = [row for p, key, row in rows if p == i and key]
        fused.append([math.log(sum(math.exp(row[c]) for row in kept)) for c in range(N_RELATIONS)])
        strongest.append([max(row[c] for row in kept) for c in range(N_RELATIONS)])
        above.append([max(row[c] - row[0] for row in kept) for c in range(N_RELATIONS)])
    arguments = (logits, chosen, pair, len(document))
    assert torch.allclose(fuse_logits(*arguments), torch.tensor(fused, dtype=torch.float64))
    for threshold_class, expected in ((False, strongest), (True, above)):
        found = strongest_logits(*arguments, threshold_class=threshold_class)
        assert torch.allclose(found, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("value", [0.1, -1.7, 3.3])
def test_equal_mention_pairs_are_all_key_pairs(value):
    """The mean of n equal numbers often exceeds them by rounding."""
    for n in range(1, 60):
        pair, logits = torch.zeros(n, dtype=torch.long), torch.full((n, 2), value)
        assert label_key_pairs(logits, torch.tensor([[True, False]]), pair).all()
        assert choose_key_pairs(logits[:, 0], pair, 1, xi=0.15, tau=1.0).all()


def test_there_is_always_a_key_pair():
    """p = .4 nine times and 0 once: the bound is .36 + .15 * .4 = .42, above all of them, unless tau is lower."""
    p = torch.tensor([0.4] * 9 + [1e-9])
    pair = torch.zeros(10, dtype=torch.long)
    expected = [True] * 9 + [False]
    for tau in (0.5, 0.43, 0.41, 0.39):
        assert choose_key_pairs(p.logit(), pair, 1, xi=0.15, tau=tau).tolist() == expected
    assert choose_key_pairs(p.logit(), pair, 1, xi=0.15, tau=0.0).all()  # before the first E-step


def test_entity_pairs_without_relations_have_no_key_label():
    logits, pair = torch.randn(6, 2), torch.tensor([0, 0, 1, 1, 2, 2])
    gold = torch.tensor([[False, False], [True, True], [False, False]])
    labels = label_key_pairs(logits, gold, pair)
    assert labels[2:4].any() and not labels[[0, 1, 4, 5]].any()
    assert not label_key_pairs(logits, torch.zeros_like(gold), pair).any()
    assert label_key_pairs(logits[:0], gold[:0], pair[:0]).shape == (0,)


def test_fusion_has_the_slope_of_what_it_computes():
    key, pair = torch.tensor([True, False, True, True]), torch.tensor([0, 0, 0, 1])
    logits = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: fuse_logits(x, key, pair, 2), logits)
    fuse_logits(logits, key, pair, 2).sum().backward()
    assert logits.grad[1].eq(0).all() and (logits.grad[[0, 2, 3]] > 0).all()
