"""Which labels count: all of pairs with relations, a share of those of pairs without."""

import pytest
import torch

from spacy_docre.losses.negative_sampling import draw_labels

GOLD = torch.zeros(400, 10, dtype=torch.bool)
GOLD[::2, 3] = True


@pytest.mark.parametrize("ratio,n", [(1.0, 10), (0.5, 5), (0.34, 3), (0.1, 1), (0.01, 1)])
def test_share_of_pairs_without_relations(ratio, n):
    counted = draw_labels(GOLD, ratio)
    assert counted[::2].all()
    assert counted[1::2].sum(-1).unique().tolist() == [n]


def test_uniform_and_drawn_anew():
    """200 pairs draw 3 of 10 relations twice: 120 expected of each, 6 standard deviations (9.2 each) apart at most."""
    one, other = draw_labels(GOLD, 0.3), draw_labels(GOLD, 0.3)
    assert not torch.equal(one, other)
    count = (one[1::2].int() + other[1::2].int()).sum(0)
    assert count.sum() == 1200 and (count - 120).abs().max() < 55


def test_nothing_to_draw_from():
    assert draw_labels(GOLD[:0], 0.3).shape == (0, 10)
    assert draw_labels(GOLD[::2], 0.3).all()
    assert draw_labels(torch.zeros(2, 1, dtype=torch.bool), 0.1).all()
