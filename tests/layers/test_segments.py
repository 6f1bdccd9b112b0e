"""Reductions over ranges and segments, against loops."""

import math

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

from spacy_docre.layers.segments import (
    expand_ranges,
    range_max,
    segment_logsumexp,
    segment_max,
    segment_mean,
    segment_sum,
)
from spacy_docre.textbook import forms

numbers = st.floats(-5, 5, width=32)


@st.composite
def rows_and_ranges(draw):
    """(N, H) rows, and ranges [first, last) into them, empty and upside-down ones among them."""
    n, h = draw(st.integers(0, 20)), draw(st.integers(1, 3))
    rows = draw(st.lists(st.lists(numbers, min_size=h, max_size=h), min_size=n, max_size=n))
    bound = st.integers(0, n)
    ranges = draw(st.lists(st.tuples(bound, bound), max_size=8))
    return torch.tensor(rows, dtype=torch.float64).reshape(n, h), torch.tensor(ranges, dtype=torch.long).reshape(-1, 2)


@st.composite
def rows_and_segments(draw, fill=False):
    """(N, H) rows, the segment of each, the number of segments; with `fill` every segment has a row."""
    n_segments, h = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    segment = draw(st.lists(st.integers(0, n_segments - 1), max_size=12))
    segment += range(n_segments) if fill else []
    rows = draw(st.lists(st.lists(numbers, min_size=h, max_size=h), min_size=len(segment), max_size=len(segment)))
    return torch.tensor(rows, dtype=torch.float64).reshape(len(segment), h), torch.tensor(segment).long(), n_segments


def columns(rows, segment, s):
    """Values of segment s, column by column."""
    members = [rows[i].tolist() for i in range(len(rows)) if segment[i] == s]
    return list(zip(*members)) if members else []


@given(rows_and_ranges())
def test_range_max_equals_a_loop(case):
    rows, ranges = case
    out = range_max(rows, ranges[:, 0], ranges[:, 1])
    assert out.shape == (len(ranges), rows.shape[1])
    for (first, last), found in zip(ranges.tolist(), out.tolist()):
        expected = [max(column) for column in zip(*rows[first:last].tolist())] if last > first else [0.0] * len(found)
        assert found == expected
    if len(rows):  # the textbook form, which masks pieces instead of a loop, takes documents with pieces
        in_one = torch.zeros(len(ranges), dtype=torch.long)
        assert torch.equal(forms.max_between(rows[None], in_one, *ranges.T), out)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 8, 9, 64, 65])
def test_range_max_of_every_length(n):
    """Lengths about powers of two are where a table of maxima goes wrong."""
    rows = torch.randn(n, 2)
    for length in range(1, n + 1):
        first = torch.arange(n - length + 1)
        expected = torch.stack([rows[i : i + length].amax(0) for i in first.tolist()])
        assert torch.equal(range_max(rows, first, first + length), expected)


def test_range_max_is_zero_where_there_is_nothing():
    """Also where all rows are negative, so that 0 is not their maximum."""
    rows = torch.full((3, 2), -4.0, requires_grad=True)
    out = range_max(rows, torch.tensor([0, 3, 2]), torch.tensor([0, 3, 1]))
    assert torch.equal(out, torch.zeros(3, 2))
    out.sum().backward()
    assert torch.equal(rows.grad, torch.zeros(3, 2))
    none = torch.zeros(0, dtype=torch.long)
    assert range_max(rows, none, none).shape == (0, 2)
    assert torch.equal(range_max(torch.zeros(0, 2), none.new_zeros(3), none.new_zeros(3)), torch.zeros(3, 2))


def test_range_max_has_the_slope():
    rows = torch.randn(9, 2, dtype=torch.float64, requires_grad=True)
    first, last = torch.tensor([0, 2, 4, 8, 5, 3]), torch.tensor([9, 5, 5, 9, 5, 7])
    assert gradcheck(lambda x: range_max(x, first, last), rows)


@given(rows_and_segments())
def test_segment_sum_and_mean_equal_loops(case):
    rows, segment, n = case
    total, mean = segment_sum(rows, segment, n), segment_mean(rows, segment, n)
    for s in range(n):
        values = columns(rows, segment, s) or [[0.0]] * rows.shape[1]
        assert total[s].tolist() == pytest.approx([sum(v) for v in values], abs=1e-9)
        assert mean[s].tolist() == pytest.approx([sum(v) / len(v) for v in values], abs=1e-9)


@given(rows_and_segments(fill=True))
def test_segment_logsumexp_equals_a_loop(case):
    rows, segment, n = case
    out = segment_logsumexp(rows, segment, n)
    for s in range(n):
        expected = [math.log(sum(math.exp(x) for x in column)) for column in columns(rows, segment, s)]
        assert out[s].tolist() == pytest.approx(expected)


def test_segment_logsumexp_does_not_overflow():
    """log(e^1000 + e^1000) = 1000 + log 2, and log(e^-1000) = -1000."""
    rows = torch.tensor([[1000.0], [1000.0], [-1000.0]])
    out = segment_logsumexp(rows, torch.tensor([0, 0, 1]), 2)
    assert out.flatten().tolist() == pytest.approx([1000 + math.log(2), -1000])


def test_segments_of_more_dimensions():
    rows = torch.randn(4, 2, 3)
    out = segment_mean(rows, torch.tensor([1, 0, 1, 1]), 3)
    assert torch.allclose(out[1], rows[[0, 2, 3]].mean(0)) and torch.equal(out[2], torch.zeros(2, 3))


@pytest.mark.parametrize("reduce", [segment_sum, segment_mean, segment_logsumexp])
def test_segments_have_the_slope(reduce):
    rows = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    segment = torch.tensor([2, 0, 1, 2, 2, 0])
    assert gradcheck(lambda x: reduce(x, segment, 3), rows)


def test_segment_max():
    rows = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([2, 1, 3])
    slow = torch.stack([part.amax(0) for part in rows.split(lengths.tolist())])
    assert torch.equal(segment_max(rows, lengths), slow)
    assert gradcheck(lambda x: segment_max(x, lengths), rows)
    assert segment_max(rows[:0], lengths[:0]).shape == (0, 3)


def test_equal_maxima_share_the_gradient():
    rows = torch.ones(3, 1, requires_grad=True)
    segment_max(rows, torch.tensor([2, 1])).sum().backward()
    assert rows.grad.flatten().tolist() == [0.5, 0.5, 1.0]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=8))
def test_expand_ranges_equals_a_loop(ranges):
    bounds = numpy.asarray(ranges, dtype="int64").reshape(-1, 2)
    members, owner = expand_ranges(bounds[:, 0], bounds[:, 1])
    expected = [(i, k) for k, (first, last) in enumerate(ranges) for i in range(first, last)]
    assert list(zip(members.tolist(), owner.tolist())) == expected
