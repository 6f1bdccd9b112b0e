"""Feed-forward networks: the split form of a pair's first layer equals the concatenated one."""

import torch
from torch.autograd import gradcheck

from spacy_docre.layers.feedforward import FeedForward, PairFeedForward, SplitLinear


def make(dropout=0.0):
    return PairFeedForward(3, 2, 5, 4, dropout=dropout).double()


def draw_batch():
    rows = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    extra = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    return rows, torch.tensor([0, 1, 3, 2, 2]), torch.tensor([1, 3, 0, 2, 1]), extra


def score(module, rows, first, second, extra):
    return module(module.project(rows), first, second, extra)


def test_feed_forward_is_two_linear_layers():
    module = FeedForward(3, 5, 2, dropout=0.0)
    x = torch.randn(4, 3)
    hidden = (x @ module.hidden.weight.T + module.hidden.bias).clamp(min=0)
    assert torch.allclose(module(x), hidden @ module.output.weight.T + module.output.bias, atol=1e-6)
    assert module(torch.zeros(0, 3)).shape == (0, 2)


def test_equals_the_concatenated_form():
    """One linear layer on [a; b; extra], in both orders, averaged."""
    module = make()
    rows, first, second, extra = draw_batch()
    whole = FeedForward(3 + 3 + 2, 5, 4, dropout=0.0).double()
    with torch.no_grad():
        whole.hidden.weight.copy_(torch.cat([module.first.weight, module.second.weight, module.extra.weight], dim=1))
        whole.hidden.bias.copy_(module.extra.bias)
    whole.output = module.output
    a, b = rows[first], rows[second]
    expected = (whole(torch.cat([a, b, extra], 1)) + whole(torch.cat([b, a, extra], 1))) / 2
    assert torch.allclose(score(module, rows, first, second, extra), expected)


def test_order_of_the_two_does_not_matter():
    module = make()
    rows, first, second, extra = draw_batch()
    assert torch.allclose(score(module, rows, first, second, extra), score(module, rows, second, first, extra))


def test_gradient_is_the_slope():
    module = make()
    rows, first, second, extra = draw_batch()
    assert gradcheck(lambda r, e: score(module, r, first, second, e), [rows, extra])


def test_dropout_acts_in_training_alone():
    module = make(dropout=0.5)
    batch = draw_batch()
    assert not torch.equal(score(module, *batch), score(module, *batch))
    module.eval()
    assert torch.equal(score(module, *batch), score(module, *batch))


def test_no_pairs():
    rows, first, second, extra = draw_batch()
    assert score(make(), rows, first[:0], second[:0], extra[:0]).shape == (0, 4)


def test_split_layer_equals_the_concatenated_form():
    """Parts of width 3, 0 and 2, of which the middle one is left out; the bias comes with the first."""
    module = SplitLinear([3, 0, 2], 4).double()
    parts = [torch.randn(5, n, dtype=torch.float64, requires_grad=True) for n in (3, 0, 2)]
    whole = torch.nn.functional.linear(torch.cat(parts, -1), module.weight, module.bias)
    assert torch.allclose(sum(module.part(k, x) for k, x in enumerate(parts)), whole)
    assert torch.allclose(module.part(0, parts[0]) + module.part(2, parts[2]), whole)
    assert gradcheck(lambda a, b: module.part(0, a) + module.part(2, b), (parts[0], parts[2]))
