"""Localized context pooling, inside the windows of long documents, against a twin in loops."""

import math
from dataclasses import dataclass
from itertools import combinations

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

from spacy_docre.layers import local_context as module
from spacy_docre.layers.encoded import EncodedBatch
from spacy_docre.layers.local_context import attend, lay_out_rows, local_context, meet, pair_attention
from toy import attention_rows, encode_at_random, lay_windows, list_rows, with_planes


@dataclass
class Case:
    """Documents as the twin reads them.

    docs: For each document its pieces per token, its windows' bounds, its entities as lists of token spans.
    """

    docs: list
    attention: bool = False

    @property
    def encoded(self) -> EncodedBatch:
        return encode_at_random([lay_windows(p, b) for p, b, _ in self.docs], attention=self.attention)

    @property
    def mentions(self):
        """(document, first piece, last piece, entity): pieces counted over the document, entities over the batch."""
        found, n_entities = [], 0
        for d, (pieces, _, entities) in enumerate(self.docs):
            ends = [0, *numpy.cumsum(pieces).tolist()]
            for e, spans in enumerate(entities):
                found += [(d, ends[start], ends[end], n_entities + e) for start, end in spans]
            n_entities += len(entities)
        return found

    @property
    def pairs(self):
        offset, found = 0, []
        for _, _, entities in self.docs:
            found += combinations(range(offset, offset + len(entities)), 2)
            offset += len(entities)
        return found

    def arguments(self, encoded):
        """Arguments of lay_out_rows: pieces are counted over the batch."""
        offsets = encoded.layout.piece_offsets
        doc, first, last, entity = numpy.asarray(self.mentions, dtype="int64").reshape(-1, 4).T
        return first + offsets[doc], last + offsets[doc], entity

    def contexts(self, encoded, swap=False):
        pairs = numpy.asarray(self.pairs, dtype="int64").reshape(-1, 2)
        one, other = pairs[:, ::-1].T if swap else pairs.T
        return local_context(encoded, lay_out_rows(encoded, *self.arguments(encoded)), one, other)


def twin(case, encoded):
    """Contexts of the pairs, and how many windows each pair shares."""
    hidden, planes, n_heads = list_rows(encoded.hidden), encoded.planes, encoded.n_heads
    windows = [(d, first, last) for d, (_, bounds, _) in enumerate(case.docs) for first, last in bounds]

    def attention_row(w, head, position):
        if planes.attention is not None:
            return list_rows(planes.attention)[w][head][position]
        length = windows[w][2] - windows[w][1] + 2
        query, keys = list_rows(planes.queries)[w][head][position], list_rows(planes.keys)[w][head][:length]
        weights = [math.exp(sum(a * b for a, b in zip(query, key)) / len(query) ** 0.5) for key in keys]
        return [x / sum(weights) for x in weights] + [0.0] * (len(hidden[w]) - length)

    def average(rows):
        return [sum(column) / len(rows) for column in zip(*rows)]

    def entity_row(entity, w, head):
        """Mean over the entity's mentions of the mean over their pieces in the window; None without any."""
        d, start, stop = windows[w]
        rows = []
        for doc, first, last, e in case.mentions:
            inside = [p for p in range(first, last) if start <= p < stop]
            if doc == d and e == entity and inside:
                rows.append(average([attention_row(w, head, p - start + 1) for p in inside]))
        return average(rows) if rows else None

    def pool(w, weights):
        total = sum(weights) + 1e-5
        return [sum(a / total * h[i] for a, h in zip(weights, hidden[w])) for i in range(len(hidden[w][0]))]

    contexts, shared = [], []
    for pair in case.pairs:
        rows = {(e, w): [entity_row(e, w, k) for k in range(n_heads)] for e in pair for w in range(len(windows))}
        held = [[w for w in range(len(windows)) if rows[e, w][0] is not None] for e in pair]
        both = [w for w in held[0] if w in held[1]]
        shared.append(len(both))
        if both:
            found = []
            for w in both:
                products = [[a * b for a, b in zip(x, y)] for x, y in zip(rows[pair[0], w], rows[pair[1], w])]
                found.append(pool(w, average(products)))
            contexts.append(average(found))
        else:
            zero = [[0.0] * encoded.width]
            own = [average([pool(w, average(rows[e, w])) for w in held[i]] or zero) for i, e in enumerate(pair)]
            contexts.append(average(own))
    return contexts, shared


def assert_equals_twin(case, shared=None):
    encoded = case.encoded
    found = case.contexts(encoded)
    expected, n_shared = twin(case, encoded)
    assert found.shape == (len(expected), encoded.width)
    for row, slow in zip(list_rows(found), expected):
        assert row == pytest.approx(slow, abs=1e-9)
    if shared is not None:
        assert n_shared == shared


# 12 pieces, two windows that share the pieces 4 to 7.
TWO = [(0, 8), (4, 12)]
ONES = [1] * 12


@pytest.mark.parametrize("attention", [False, True])
@pytest.mark.parametrize(
    "pieces,bounds,entities,shared",
    [
        # One window; an entity with two mentions, mentions with several pieces.
        ([1, 3, 2, 1], [(0, 7)], [[(0, 1), (2, 4)], [(1, 2)]], [1]),
        # Two windows: both entities in both; in one alone; in none together.
        (ONES, TWO, [[(4, 5)], [(6, 8)]], [2]),
        (ONES, TWO, [[(0, 1)], [(5, 6)]], [1]),
        (ONES, TWO, [[(0, 1)], [(11, 12)]], [0]),
        # Entities with mentions all over, one mention cut through by a window's edge, and all three cases at once.
        (ONES, TWO, [[(0, 1), (10, 12)], [(3, 6)], [(1, 2)], [(11, 12)]], [2, 1, 1, 1, 1, 0]),
        # The same span in two entities.
        (ONES, TWO, [[(5, 7)], [(5, 7), (0, 1)]], [2]),
        # An entity whose only mention has no pieces meets nobody: half of the other's own context is left.
        ([1, 0, 2], [(0, 3)], [[(1, 2)], [(2, 3)]], [0]),
        # Three windows, two of which hold the pair.
        ([2] * 8, [(0, 6), (5, 11), (10, 16)], [[(2, 3)], [(0, 1), (5, 6)]], [2]),
        ([2] * 8, [(0, 6), (5, 11), (10, 16)], [[(0, 1)], [(3, 4)], [(7, 8)]], [0, 0, 0]),
        # No pair at all.
        ([1, 1], [(0, 2)], [[(0, 1)]], []),
        ([1, 1], [(0, 2)], [], []),
    ],
)
def test_equals_twin(pieces, bounds, entities, shared, attention):
    assert_equals_twin(Case([(pieces, bounds, entities)], attention), shared)


@st.composite
def documents(draw):
    pieces = draw(st.lists(st.integers(0, 3), min_size=1, max_size=8))
    n = sum(pieces)
    size = draw(st.integers(3, 8))
    overlap = draw(st.integers(0, size // 2))
    bounds = [(0, n)] if n else []
    if n > size:
        steps = -(-(n - size) // (size - overlap))
        starts = [round(i * (n - size) / steps) for i in range(steps + 1)]
        bounds = [(s, s + size) for s in starts]
    token = st.integers(0, len(pieces) - 1)
    span = st.tuples(token, token).map(lambda t: (min(t), max(t) + 1))
    entities = draw(st.lists(st.lists(span, min_size=1, max_size=3, unique=True), max_size=4))
    return pieces, bounds, entities


@given(st.lists(documents(), min_size=1, max_size=3), st.booleans())
def test_equals_twin_on_batches(docs, attention):
    assert_equals_twin(Case(docs, attention))


EVERYTHING = Case(
    [(ONES, TWO, [[(0, 1), (10, 12)], [(3, 6)], [(1, 2)], [(11, 12)]]), ([1, 2], [(0, 3)], [[(0, 1)], [(1, 2)]])]
)


def test_head_and_tail_may_be_exchanged():
    encoded = EVERYTHING.encoded
    assert torch.allclose(EVERYTHING.contexts(encoded), EVERYTHING.contexts(encoded, swap=True), atol=1e-12)


def test_attention_of_a_pair_sums_to_one():
    """But for the 1e-5 in the denominator, which weighs the more the less the two rows overlap: their product sums to
    1 / positions where both are even."""
    encoded = EVERYTHING.encoded
    pairs = numpy.asarray(EVERYTHING.pairs).T
    rows = lay_out_rows(encoded, *EVERYTHING.arguments(encoded))
    places = meet(rows, *pairs)
    n_windows = 0
    for part in attend(encoded, rows, numpy.unique(places.window)):
        inside = places.select(part.windows.number)
        attention = pair_attention(part.groups(rows), inside)
        total = attention[inside.window, inside.column].sum(-1)
        assert (total < 1).all() and (total > 0.999).all()
        assert (attention * ~part.windows.mask()[:, None]).abs().max() == 0
        n_windows += len(part.windows.number)
    assert n_windows == len(numpy.unique(places.window))


@pytest.mark.parametrize("most", [1, 150, 2**20])
def test_windows_are_worked_on_in_bounded_groups(most, monkeypatch):
    """However few windows are held at a time, contexts and gradients stay the same."""
    encoded = EVERYTHING.encoded
    expected, leaves = EVERYTHING.contexts(encoded), encoded.leaves()
    monkeypatch.setattr(module, "MAX_ROW_ITEMS", most)
    found = EVERYTHING.contexts(leaves)
    assert torch.allclose(found, expected, atol=1e-12)
    rows = lay_out_rows(encoded, *EVERYTHING.arguments(encoded))
    n_heads = encoded.planes.queries.shape[1]
    for part in attend(encoded, rows, numpy.unique(rows.window)):
        assert part.rows.numel() <= max(most, n_heads * part.rows.shape[2] * part.rows.shape[3])


def test_mention_rows_within_a_window():
    """A mention cut through by a window's edge counts there with the pieces that the window holds."""
    case = Case([(ONES, TWO, [[(3, 6)]])])
    encoded = case.encoded
    rows = lay_out_rows(encoded, *case.arguments(encoded))
    (part,) = attend(encoded, rows, numpy.unique(rows.window))
    attention = part.groups(rows)
    full = attention_rows(encoded)
    # Window [0, 8) holds pieces 3, 4, 5 at positions 4, 5, 6; window [4, 12) holds 4 and 5 at positions 1 and 2.
    assert torch.allclose(attention[0, :, 0], full[0][:, [4, 5, 6]].mean(1))
    assert torch.allclose(attention[1, :, 0], full[1][:, [1, 2]].mean(1))


def test_mentions_weigh_alike_however_long():
    """One mention of three pieces, another of one: their rows have weights 1/6, 1/6, 1/6 and 1/2."""
    case = Case([([3, 1, 1], [(0, 5)], [[(0, 1), (2, 3)]])])
    rows = lay_out_rows(case.encoded, *case.arguments(case.encoded))
    weight = dict(zip(rows.position[0].tolist(), rows.weight[0, 0].tolist()))
    assert weight == pytest.approx({1: 1 / 6, 2: 1 / 6, 3: 1 / 6, 5: 1 / 2})


@pytest.mark.parametrize("attention", [False, True])
def test_gradient_is_the_slope(attention):
    """Through hidden states, queries and keys (or attention), of pairs that share 2, 1 and 0 windows."""
    case = Case(EVERYTHING.docs, attention)
    encoded = case.encoded
    given = encoded.planes.named()

    def pool(*tensors):
        return case.contexts(with_planes(encoded, **dict(zip(given, tensors))))

    assert gradcheck(pool, [t.requires_grad_() for t in given.values()])


def test_every_position_of_a_common_window_is_reached():
    """Gradient flows into queries of mention pieces alone, into keys and hidden states of whole windows."""
    case = Case([(ONES, TWO, [[(0, 1)], [(5, 6)]])])
    leaves = case.encoded.leaves()
    case.contexts(leaves).sum().backward()
    touched = [(t.grad.abs().sum(-1) > 0) for t in (leaves.hidden, leaves.planes.queries, leaves.planes.keys)]
    assert touched[0].tolist() == [[True] * 10, [False] * 10]
    assert touched[1][0].nonzero()[:, 1].unique().tolist() == [1, 6]  # pieces 0 and 5 behind the special piece
    assert touched[2][0].all() and not touched[2][1].any()


def test_nothing_at_all():
    """Documents without pieces, entities without mentions in reach, no pair: no error, and no number but 0."""
    nothing = Case([([], [], [])])
    assert nothing.contexts(nothing.encoded).shape == (0, 4)
    blank = Case([([0, 0], [], [[(0, 1)], [(1, 2)]])])
    assert torch.equal(blank.contexts(blank.encoded), torch.zeros(1, 4, dtype=torch.float64))


def test_float32_and_half_precision_are_finite_and_close():
    encoded = EVERYTHING.encoded
    exact = EVERYTHING.contexts(encoded)
    for dtype, tolerance in [(torch.float32, 1e-5), (torch.bfloat16, 0.05)]:
        narrow = with_planes(encoded, **{name: t.to(dtype) for name, t in encoded.planes.named().items()})
        found = EVERYTHING.contexts(narrow)
        assert found.dtype == torch.float32 and torch.isfinite(found).all()
        assert (found - exact).norm() / exact.norm() < tolerance
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = EVERYTHING.contexts(narrow)
    assert torch.isfinite(found).all() and (found - exact).norm() / exact.norm() < 0.1


def test_meeting_places():
    """Entities of TWO at pieces 0 | 5 | 11 lie in windows 0 | 0, 1 | 1."""
    case = Case([(ONES, TWO, [[(0, 1)], [(5, 6)], [(11, 12)]])])
    rows = lay_out_rows(case.encoded, *case.arguments(case.encoded))
    places = meet(rows, numpy.asarray([0, 0, 1, 1]), numpy.asarray([1, 2, 2, 1]))
    assert sorted(zip(places.pair.tolist(), places.window.tolist())) == [(0, 0), (2, 1), (3, 0), (3, 1)]
    (part,) = attend(case.encoded, rows, numpy.unique(rows.window))
    attention = pair_attention(part.groups(rows), places)
    assert attention.shape == (2, 2, 10)
