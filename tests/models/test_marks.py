"""Markers round mentions against a twin that writes the pieces out one by one."""

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from spacy_docre.models.transformer.marks import get_marker, insert_markers

MARK = -1


def twin(pieces, spans):
    """Pieces with markers, written from left to right, and the place of the marker before each span.

    pieces: Number of pieces of each token; those of a text are numbered through.
    """
    written, places, n = [], {}, 0
    for token, length in enumerate([*pieces, 0]):
        written += [MARK for _ in sorted(span for span in spans if span[1] == token)]
        for span in sorted((span for span in spans if span[0] == token), key=lambda span: -span[1]):
            places[span] = len(written)
            written.append(MARK)
        written += range(n, n + length)
        n += length
    return written, places


def mark(pieces, spans):
    last = numpy.cumsum(pieces, dtype="int64")
    return insert_markers(range(int(last[-1])), last - pieces, last, spans, MARK)


SPANS = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 4)).map(lambda t: (t[0], min(t[0] + t[1], 6))), max_size=6)


@given(st.lists(st.integers(1, 3), min_size=6, max_size=6), SPANS)
def test_markers_equal_slow_twin(pieces, spans):
    ids, first, last, marks = mark(pieces, spans)
    written, places = twin(pieces, set(spans))
    assert ids == written
    found = dict(zip(zip(marks.start.tolist(), marks.end.tolist()), marks.piece.tolist()))
    assert found == places
    n = 0
    for token, length in enumerate(pieces):  # a token's pieces are what they were, without markers
        assert ids[first[token] : last[token]] == list(range(n, n + length))
        n += length


def test_nested_mentions_nest():
    ids, _, _, marks = mark([1, 1, 1], [(1, 2), (0, 3), (0, 2), (0, 2)])
    assert ids == [MARK, MARK, 0, MARK, 1, MARK, MARK, 2, MARK]
    assert list(zip(marks.start, marks.end, marks.piece)) == [(0, 2, 1), (0, 3, 0), (1, 2, 3)]


def test_tokens_without_pieces():
    ids, first, last, marks = mark([1, 0, 1], [(1, 2), (0, 2)])
    assert [i for i in ids if i != MARK] == [0, 1] and ids.count(MARK) == 4
    assert (last - first).tolist() == [1, 0, 1]
    assert [ids[i] for i in marks.piece] == [MARK, MARK]


def test_no_mentions():
    ids, first, last, marks = mark([1, 2], [])
    assert ids == [0, 1, 2] and len(marks.piece) == 0
    assert first.tolist() == [0, 1] and last.tolist() == [1, 3]


def test_marker_has_to_be_a_piece_of_the_encoder(tiny_encoder):
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    assert get_marker(tokenizer, ".", "tiny") == tokenizer.convert_tokens_to_ids(".")
    with pytest.raises(ValueError, match="R308"):
        get_marker(tokenizer, "\u2603", "tiny")
