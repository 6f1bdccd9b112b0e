"""Chunks of rows and of mention pairs, and functions that work on them."""

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_docre.layers.chunking import chunks, cut_chunks, in_chunks


def test_chunks():
    assert list(chunks(5, 2)) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert list(chunks(0, 2)) == []


@given(st.lists(st.integers(1, 5), max_size=8), st.integers(1, 9))
def test_chunks_hold_whole_pairs(sizes, most):
    pair = numpy.repeat(numpy.arange(len(sizes)), sizes)
    rows = numpy.arange(len(pair))
    parts = list(cut_chunks((pair, rows, 2 * rows), len(sizes), most))
    assert [p for part, _ in parts for p in range(part.start, part.stop)] == list(range(len(sizes)))
    found = [(p + part.start, i, j) for part, pairs in parts for p, i, j in zip(*pairs)]
    assert found == list(zip(pair, rows, 2 * rows))
    held = [sum(sizes[part]) for part, _ in parts]
    assert all(n <= most or part.stop - part.start == 1 for n, (part, _) in zip(held, parts))
    # As few as possible: the next pair would not have fitted.
    assert all(n + sizes[part.stop] > most for n, (part, _) in zip(held, parts[:-1]))


@pytest.mark.parametrize("size,n_calls", [(6, 1), (2, 3 + 3)])
def test_parts_are_computed_again_where_there_are_several(size, n_calls):
    """Same values and gradients; the backward pass of several parts calls the function once more for each."""
    calls = []

    def square(x):
        calls.append(len(x))
        return x.square()

    x = torch.arange(6.0, requires_grad=True)
    out = torch.cat(in_chunks(square, [(x[rows],) for rows in chunks(6, size)]))
    out.sum().backward()
    assert torch.equal(out, x.square()) and torch.equal(x.grad, 2 * x) and len(calls) == n_calls


def test_without_gradient_each_part_is_computed_once():
    with torch.no_grad():
        assert in_chunks(lambda x: x + 1, [(1,), (2,)]) == [2, 3]
    assert in_chunks(lambda x: x, []) == []
