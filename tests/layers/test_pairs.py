"""Pairs of entities and mentions as index arrays, against loops."""

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_docre.layers.pairs import (
    keep_near,
    list_mention_pairs,
    mention_bounds,
    sentence_distance,
    share_out,
    token_distance,
    unordered_pairs,
)
from toy import pair_up

# Mentions 0, 1 of entity 0, mention 2 of entity 1, mentions 3, 4, 5 of entity 2; 6 and 7, 8 in a second document.
ONE = [[(0, 1), (9, 11)], [(2, 5)], [(4, 6), (10, 12), (17, 18)]]
TWO = [[(0, 1)], [(2, 3), (4, 5)]]
MENTIONS = {0: [0, 1], 1: [2], 2: [3, 4, 5], 3: [6], 4: [7, 8]}


def to_list(arrays):
    return list(zip(*(a.tolist() for a in arrays)))


def test_mentions_of_an_entity_follow_one_another():
    assert mention_bounds(pair_up([ONE, [], TWO]).entities).tolist() == [0, 2, 3, 6, 7, 9]
    assert mention_bounds(pair_up([]).entities).tolist() == [0]


def rows_of(docs, pairs=None):
    batch = pair_up(docs, pairs)
    return batch.head, batch.tail


def test_unordered_pairs():
    one, other, unordered = unordered_pairs(*rows_of([ONE, TWO]))
    assert to_list([one, other]) == [(0, 1), (0, 2), (1, 2), (3, 4)]
    #          (0,1) (0,2) (1,0) (1,2) (2,0) (2,1) (3,4) (4,3)
    assert unordered.tolist() == [0, 1, 0, 2, 1, 2, 3, 3]
    assert [len(x) for x in unordered_pairs(*rows_of([ONE], []))] == [0, 0, 0]
    assert [len(x) for x in unordered_pairs(*rows_of([]))] == [0, 0, 0]


@pytest.mark.parametrize("pairs", [None, [(2, 0), (0, 1), (0, 2), (2, 0)], []])
def test_mention_pairs(pairs):
    batch = pair_up([ONE, TWO], pairs)
    slow = [
        (p, i, j)
        for p, (h, t) in enumerate(zip(batch.head.tolist(), batch.tail.tolist()))
        for i in MENTIONS[h]
        for j in MENTIONS[t]
    ]
    assert to_list(list_mention_pairs(batch)) == slow


def test_distances():
    """[9, 11) and [2, 5): tokens 5, 6, 7, 8 lie between. [2, 5) and [4, 6) overlap, [2, 3) and [3, 4) touch."""
    e = pair_up([[*ONE, [(2, 3)], [(3, 4)]]], sents=[[0, 4, 10, 11]]).entities
    first, second = numpy.asarray([1, 2, 2, 6]), numpy.asarray([2, 1, 3, 7])
    assert token_distance(e, first, second).tolist() == [4, 4, 0, 0]
    # Sentences [0, 4), [4, 10), [10, 11), [11, ...): that of a mention is that of its first token.
    assert e.sentence.tolist() == [0, 1, 0, 1, 2, 3, 0, 0]
    assert sentence_distance(e, first, second).tolist() == [1, 1, 1, 0]


def slow_near(entities, pairs):
    """Pairs within a sentence; where an entity pair has none, that of fewest tokens between, then the earliest."""
    m, kept = entities.mentions, []
    for p in sorted({p for p, _, _ in pairs}):
        own = [(i, j) for q, i, j in pairs if q == p]
        near = [(p, i, j) for i, j in own if entities.sentence[i] == entities.sentence[j]]
        ranks = []
        for i, j in own:
            gap = max(0, max(m.start[i], m.start[j]) - min(m.end[i], m.end[j]))
            ranks.append((gap, min(m.start[i], m.start[j]), max(m.start[i], m.start[j]), i, j))
        kept += near or [(p, *min(ranks)[3:])]
    return kept


@given(
    st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=4, unique=True), min_size=2, max_size=4),
    st.sets(st.integers(1, 30), max_size=6),
)
def test_near_mention_pairs_equal_slow_twin(entities, sents):
    docs = [[[(start, start + 1) for start in sorted(starts)] for starts in entities]]
    batch = pair_up(docs, sents=[[0, *sents]])
    pairs = list_mention_pairs(batch)
    assert to_list(keep_near(batch.entities, pairs)) == slow_near(batch.entities, to_list(pairs))


def test_no_near_mention_pairs_of_nothing():
    batch = pair_up([ONE], [])
    assert [len(x) for x in keep_near(batch.entities, list_mention_pairs(batch))] == [0, 0, 0]


def test_shares():
    """Group 0 has 1 and 3, group 2 nothing above 0, group 1 no member."""
    shares = share_out(numpy.asarray([1.0, 0.0, 3.0, 0.0]), numpy.asarray([0, 2, 0, 2]))
    assert shares.tolist() == [0.25, 0.5, 0.75, 0.5]
    assert share_out(numpy.zeros(0), numpy.zeros(0, dtype="int64")).shape == (0,)
