"""What the encoder hands on: where pieces lie, cutting a batch into documents and joining them again."""

import copy
import math

import numpy
import pytest
import torch

from spacy_docre.batches import SpanBatch
from spacy_docre.layers.encoded import DocEncoding, EncodedBatch, join_encodings
from spacy_docre.layers.layout import make_layout
from toy import all_windows, attention_rows, encode_at_random, lay_windows, list_rows, with_planes

# Three documents: one window; two overlapping windows and a token without pieces; nothing at all.
SHORT = ([1, 2], [(0, 3)])
LONG = ([2, 0, 3, 1, 2], [(0, 5), (3, 8)])
EMPTY = ([], [])


def make_batch(*docs, **settings):
    return encode_at_random([lay_windows(*doc) for doc in docs], **settings)


def assert_same(one: EncodedBatch, other: EncodedBatch):
    tensors, others = one.planes.named(), other.planes.named()
    assert tensors.keys() == others.keys() and all(torch.equal(t, others[name]) for name, t in tensors.items())
    for name in one.layout.__dataclass_fields__:
        assert numpy.array_equal(getattr(one.layout, name), getattr(other.layout, name)), name


def without_padding(batch):
    """Random numbers in padding would not come back: it is cut away."""
    mask = all_windows(batch).mask()[:, None, :, None]
    masked = {name: t * (mask[:, 0] if name == "hidden" else mask) for name, t in batch.planes.named().items()}
    return with_planes(batch, **masked)


@pytest.mark.parametrize("attention", [False, True])
@pytest.mark.parametrize("docs", [[SHORT], [LONG, SHORT], [SHORT, EMPTY, LONG, EMPTY], [EMPTY, SHORT], [EMPTY]])
def test_split_and_join_are_inverse(docs, attention):
    batch = without_padding(make_batch(*docs, attention=attention))
    parts = batch.split()
    assert [p.windows.n_windows for p in parts] == [len(bounds) for _, bounds in docs]
    for part in parts:  # padding is gone
        assert part.hidden.shape[1] == max(part.windows.lengths, default=0)
    assert_same(join_encodings(parts), batch)


def test_parts_join_in_another_order():
    batch = without_padding(make_batch(SHORT, LONG))
    first, second = batch.split()
    swapped = join_encodings([second, first])
    n = first.windows.n_pieces
    assert torch.equal(swapped.pieces(), torch.cat([batch.pieces()[n:], batch.pieces()[:n]]))
    alone = join_encodings([first])
    assert alone.hidden.shape == (1, 5, 4) and torch.equal(alone.pieces(), batch.pieces()[:n])


def test_parts_own_their_memory_and_no_gradient():
    """A Doc that outlives its batch must not keep the batch."""
    batch = make_batch(SHORT, LONG).leaves()
    part = batch.split()[0]
    assert not part.hidden.requires_grad
    assert part.hidden.untyped_storage().nbytes() == part.hidden.numel() * part.hidden.element_size()
    assert copy.deepcopy(part) is part and isinstance(part, DocEncoding)


def test_pieces_come_from_the_window_where_they_lie_most_central():
    """LONG has 8 pieces in windows [0, 5) and [3, 8): pieces 3 and 4 are in both. The middles are 2.5 and 5.5, so
    piece 3 (centre 3.5) belongs to the first window, piece 4 (centre 4.5) to the second."""
    batch = make_batch(SHORT, LONG)
    assert batch.hidden.shape[:2] == (3, 7)
    homes = [(0, 1), (0, 2), (0, 3)]  # window and position; position 0 is the special piece
    homes += [(1, 1), (1, 2), (1, 3), (1, 4), (2, 2), (2, 3), (2, 4), (2, 5)]
    expected = torch.stack([batch.hidden[w, s] for w, s in homes])
    assert torch.equal(batch.pieces(), expected)


def test_padding_is_masked():
    """Windows of 3 and 5 pieces, with a special piece at each end."""
    assert all_windows(make_batch(SHORT, LONG)).mask().sum(1).tolist() == [5, 7, 7]


def test_span_pieces():
    """Tokens of LONG have the pieces [0,2) [2,2) [2,5) [5,6) [6,8), behind the 3 pieces of SHORT."""
    layout = make_batch(SHORT, LONG).layout
    spans = {(0, 0, 1): (0, 1), (0, 0, 2): (0, 3), (0, 1, 2): (1, 3)}
    spans |= {(1, 0, 1): (3, 5), (1, 0, 2): (3, 5), (1, 0, 3): (3, 8), (1, 2, 5): (5, 11)}
    spans |= {(1, 1, 2): (5, 5), (1, 1, 3): (5, 8)}  # the token without pieces, alone and as the first of two
    first, last = layout.span_pieces(SpanBatch(*numpy.asarray(list(spans)).T))
    assert list(zip(first.tolist(), last.tolist())) == list(spans.values())


def test_layout_of_nothing():
    layout = make_layout([], 0)
    assert layout.n_docs == 0 and len(layout.piece_rows) == 0
    layout = make_batch(EMPTY, EMPTY).layout
    assert layout.n_docs == 2 and len(layout.lengths) == 0


def test_attention_rows_equal_a_loop():
    """softmax over the window's own positions of q.k / sqrt(d), 0 in padding."""
    batch = make_batch(SHORT, LONG)
    position = numpy.asarray([[1, 4], [0, 6], [3, 3]])
    rows = list_rows(attention_rows(batch, position))
    queries, keys = list_rows(batch.planes.queries), list_rows(batch.planes.keys)
    for w, length in enumerate(batch.layout.lengths):
        for h in range(2):
            for i, p in enumerate(position[w]):
                scores = [sum(a * b for a, b in zip(queries[w][h][p], key)) / 3**0.5 for key in keys[w][h][:length]]
                total = sum(math.exp(s) for s in scores)
                expected = [math.exp(s) / total for s in scores] + [0.0] * (7 - length)
                assert rows[w][h][i] == pytest.approx(expected)


def test_attention_rows_of_a_model_that_gives_attention():
    batch = make_batch(LONG, attention=True)
    attention = batch.planes.attention
    rows = attention_rows(batch, numpy.asarray([[2], [5]]))
    assert torch.equal(rows[:, :, 0], torch.stack([attention[0, :, 2], attention[1, :, 5]]))


def test_attention_rows_are_wide():
    """Half precision is left at the first chance, float64 stays."""
    position = numpy.asarray([[1]])
    for dtype, expected in [(torch.bfloat16, torch.float32), (torch.float64, torch.float64)]:
        for attention in (False, True):
            rows = attention_rows(make_batch(SHORT, dtype=dtype, attention=attention), position)
            assert rows.dtype == expected and rows.sum(-1).flatten().tolist() == pytest.approx([1, 1], abs=0.02)


def test_leaves_collect_gradients_apart_from_the_encoder():
    source = make_batch(SHORT)
    hidden = source.hidden.clone().requires_grad_()
    leaves = with_planes(source, hidden=hidden * 2).leaves()
    leaves.pieces().sum().backward()
    assert hidden.grad is None and leaves.hidden.grad.sum() == 3 * 4
    assert leaves.planes.queries.requires_grad and leaves.planes.attention is None
    assert leaves.planes.gradients().keys() == {"hidden"}
