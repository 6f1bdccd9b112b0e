"""The grouped bilinear classifier against its textbook form (PEMSCL eq. 14-15), plain enough to need no twin."""

import math

import pytest
import torch
from torch.autograd import gradcheck

from spacy_docre.layers.grouped_bilinear import GroupedBilinear
from spacy_docre.textbook import forms


def make(width=8, n_out=3, dtype=torch.float64, **settings):
    return GroupedBilinear(width, n_out, **{"block_size": 4, **settings}).to(dtype)


def draw_pairs(n, width=8, dtype=torch.float64, requires_grad=True):
    return [torch.randn(n, width, dtype=dtype, requires_grad=requires_grad) for _ in range(2)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("block_size", [1, 2, 4, 8])
@pytest.mark.parametrize("n_pairs,max_pair_items", [(1, 1), (5, 1), (7, 48), (7, 2**20), (16, 64)])
def test_equals_the_textbook(dtype, block_size, n_pairs, max_pair_items):
    """Chunks hold max_pair_items / block^2 pairs: one, some that do not divide the pairs, and all of them."""
    module = make(dtype=dtype, block_size=block_size, max_pair_items=max_pair_items)
    head, tail = draw_pairs(n_pairs, dtype=dtype)
    out = module(head, tail)
    assert out.dtype == dtype
    expected = forms.grouped_bilinear(head, tail, module.weight, module.bias, block_size=block_size)
    assert torch.allclose(out, expected, atol=1e-5)
    d_out = torch.randn(n_pairs, 3, dtype=dtype)
    inputs = [head, tail, module.weight, module.bias]
    gradients = torch.autograd.grad(out, inputs, d_out), torch.autograd.grad(expected, inputs, d_out)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*gradients))


@pytest.mark.parametrize("max_pair_items", [1, 48, 2**20])
def test_gradient_is_the_slope(max_pair_items):
    module = make(max_pair_items=max_pair_items)

    def score(head, tail, weight, bias):
        return torch.func.functional_call(module, {"weight": weight, "bias": bias}, (head, tail))

    assert gradcheck(score, [*draw_pairs(5), module.weight, module.bias])


def test_no_pairs():
    module = make()
    head, tail = draw_pairs(0)
    out = module(head, tail)
    assert out.shape == (0, 3)
    out.sum().backward()
    assert head.grad.shape == (0, 8) and torch.equal(module.weight.grad, torch.zeros_like(module.weight))


def test_order_of_head_and_tail_matters():
    module = make()
    head, tail = draw_pairs(3)
    assert not torch.allclose(module(head, tail), module(tail, head))


@pytest.mark.parametrize("n_pairs,chunk", [(6, 2), (4000, 8)])
def test_half_precision_is_finite_and_close(n_pairs, chunk):
    """bfloat16 keeps 8 bits, an error of about 1/256 in each factor. With 500 chunks whose gradients point the same
    way, a sum kept in bfloat16 would stop growing."""
    module = make(dtype=torch.float32, max_pair_items=chunk * 16)
    head, tail = draw_pairs(n_pairs, dtype=torch.float32)
    d_out = torch.rand(n_pairs, 3)
    gradients = []
    for half in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            out = module(head.abs(), tail.abs())
        assert out.dtype == torch.float32
        gradients.append([out, *torch.autograd.grad(out, [head, tail, module.weight], d_out)])
    for exact, rough in zip(*gradients):
        assert torch.isfinite(rough).all()
        assert (exact - rough).norm() / exact.norm() < 0.01


def test_initialised_like_a_linear_layer_of_its_inputs():
    """torch draws from U(-1/sqrt(n), 1/sqrt(n)), n the number of features: here 8 * 4."""
    module = make(n_out=200)
    limit = 1 / math.sqrt(8 * 4)
    assert module.weight.shape == (8 * 4, 200)
    assert 0.9 * limit < module.weight.abs().max() <= limit


@pytest.mark.parametrize("block_size", [3, 16, 0, -4])
def test_block_size_divides_the_width(block_size):
    with pytest.raises(ValueError, match="R302"):
        GroupedBilinear(8, 3, block_size=block_size)


@pytest.mark.gpu
def test_same_on_the_gpu():
    module = make(dtype=torch.float32, max_pair_items=48)
    head, tail = draw_pairs(7, dtype=torch.float32, requires_grad=False)
    expected = module(head, tail)
    found = module.cuda()(head.cuda(), tail.cuda()).cpu()
    assert torch.allclose(found, expected, atol=1e-4)
