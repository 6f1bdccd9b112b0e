"""Evidence of relations against slow twins, on windows that share some mentions and not others."""

from itertools import product

import numpy
import pytest
import torch

from spacy_docre.batches import EntityBatch, PairBatch, SpanBatch
from spacy_docre.layers.encoded import EncodedBatch
from spacy_docre.layers.evidence import explain_by_attention
from spacy_docre.layers.layout import DocWindows
from spacy_docre.layers.pairs import list_mention_pairs
from spacy_docre.layers.planes import Planes

N_PIECES, PREFIX = 12, 1


@pytest.fixture
def encoded() -> EncodedBatch:
    """One document of 12 tokens, a piece each, in windows [0, 7) and [5, 12), with a special piece at both ends."""
    index = numpy.arange(N_PIECES)
    windows = DocWindows(
        token_first=index,
        token_last=index + 1,
        window_first=numpy.asarray([0, 5]),
        window_last=numpy.asarray([7, 12]),
        piece_window=(index >= 6).astype("int64"),
        lengths=numpy.asarray([9, 9]),
        prefix=PREFIX,
    )
    torch.manual_seed(3)
    shape = (2, 2, 9, 4)
    return EncodedBatch(Planes(torch.randn(2, 9, 8), torch.randn(shape), torch.randn(shape)), (windows,))


# Mentions 0 and 1 of entity 0, 2 and 3 of entity 1, 4 of entity 2: pieces [first, last).
FIRST = numpy.asarray([0, 6, 2, 9, 11])
LAST = numpy.asarray([2, 7, 3, 11, 12])
ENTITY = numpy.asarray([0, 0, 1, 1, 2])
SENTENCE = numpy.asarray([0] * 4 + [1] * 4 + [2] * 4)
BATCH = PairBatch(
    EntityBatch(
        SpanBatch(numpy.zeros(5, dtype="int64"), FIRST, LAST),
        ENTITY,
        numpy.zeros(3, dtype="int64"),
        ENTITY[:3],
        numpy.zeros(5, dtype="int64"),
    ),
    head=numpy.asarray([0, 1, 0, 2]),
    tail=numpy.asarray([1, 0, 2, 1]),
)


def mention_row(encoded: EncodedBatch, mention: int, window: int):
    """Mean over the mention's pieces in the window of their attention rows (heads, S); None if it holds none."""
    lo, hi = encoded.windows[0].window_first[window], encoded.windows[0].window_last[window]
    rows, planes = [], encoded.planes
    for piece in range(FIRST[mention], LAST[mention]):
        if lo <= piece < hi:
            position = piece - lo + PREFIX
            scores = [
                (planes.queries[window, head, position] @ planes.keys[window, head].T / 2.0).softmax(-1)
                for head in range(2)
            ]
            rows.append(torch.stack(scores))
    return sum(rows) / len(rows) if rows else None


def test_mention_pairs_of_each_entity_pair():
    pair, head, tail = list_mention_pairs(BATCH)
    slow = [
        (p, h, t)
        for p, (a, b) in enumerate(zip(BATCH.head, BATCH.tail))
        for h, t in product(numpy.flatnonzero(ENTITY == a), numpy.flatnonzero(ENTITY == b))
    ]
    assert list(zip(pair.tolist(), head.tolist(), tail.tolist())) == slow


def test_weights_are_shares_of_overlap(encoded: EncodedBatch):
    pair, head, tail, found, _ = explain_by_attention(encoded, BATCH, SENTENCE)
    overlap = []
    for h, t in zip(head, tail):
        products = [0.0]
        for window in range(2):
            a, b = mention_row(encoded, h, window), mention_row(encoded, t, window)
            if a is not None and b is not None:
                products.append(float((a * b).sum()))
        overlap.append(max(products))
    for p in range(len(BATCH)):
        mine = numpy.flatnonzero(pair == p)
        total = sum(overlap[i] for i in mine)
        wanted = [overlap[i] / total if total else 1 / len(mine) for i in mine]
        assert found[mine] == pytest.approx(wanted, abs=1e-5)
        assert found[mine].sum() == pytest.approx(1.0)


def test_pairs_in_no_common_window_weigh_alike(encoded: EncodedBatch):
    """Entity 0 with its first mention alone, in the first window; entity 1 with its second one, in the second."""
    rows = numpy.asarray([0, 3, 4])
    entity = numpy.asarray([0, 1, 1])
    mentions = SpanBatch(numpy.zeros(3, dtype="int64"), FIRST[rows], LAST[rows])
    zeros = numpy.zeros(3, dtype="int64")
    entities = EntityBatch(mentions, entity, zeros[:2], zeros[:2], zeros)
    batch = PairBatch(entities, numpy.asarray([0]), numpy.asarray([1]))
    *_, weight, sentences = explain_by_attention(encoded, batch, SENTENCE)
    assert weight == pytest.approx([0.5, 0.5])
    assert len(sentences.pair) == 0


def test_sentence_shares_add_attention_of_real_pieces(encoded: EncodedBatch):
    sentences = explain_by_attention(encoded, BATCH, SENTENCE)[-1]
    assert set(zip(sentences.pair, sentences.sentence)) <= set(product(range(len(BATCH)), range(3)))
    found = numpy.zeros((len(BATCH), 3))
    found[sentences.pair, sentences.sentence] = sentences.share
    for p, (a, b) in enumerate(zip(BATCH.head, BATCH.tail)):
        masses = []
        for window in range(2):
            groups = []
            for entity in (a, b):
                held = [mention_row(encoded, m, window) for m in numpy.flatnonzero(ENTITY == entity)]
                held = [row for row in held if row is not None]
                groups.append(sum(held) / len(held) if held else None)
            if groups[0] is None or groups[1] is None:
                continue
            product_ = (groups[0] * groups[1]).mean(0)
            product_ = product_ / (product_.sum() + 1e-5)
            mass = [0.0, 0.0, 0.0]
            lo, hi = encoded.windows[0].window_first[window], encoded.windows[0].window_last[window]
            for piece in range(lo, hi):
                mass[SENTENCE[piece]] += float(product_[piece - lo + PREFIX])
            masses.append(mass)
        wanted = numpy.mean(masses, axis=0)
        assert found[p] == pytest.approx(wanted / wanted.sum(), abs=1e-5)


def test_nothing_to_explain(encoded: EncodedBatch):
    none = numpy.zeros(0, dtype="int64")
    nothing = PairBatch(BATCH.entities, none, none)
    pair, head, tail, weight, sentences = explain_by_attention(encoded, nothing, SENTENCE)
    assert len(pair) == len(head) == len(tail) == len(weight) == len(sentences.pair) == 0
