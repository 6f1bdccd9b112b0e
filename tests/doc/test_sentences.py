"""Sentences and their numbers; a Doc without any is one sentence."""

import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc

from spacy_docre.doc.sentences import (
    get_sentences,
    has_sentences,
    number_by_start,
    number_sentences,
    sentence_starts,
)
from toy import make_doc

NLP = spacy.blank("en")


def test_without_annotation_a_doc_is_one_sentence():
    doc = make_doc(sents=None)
    assert not has_sentences(doc) and [(s.start, s.end) for s in get_sentences(doc)] == [(0, len(doc))]
    assert number_sentences(doc).tolist() == [0] * len(doc)
    assert sentence_starts(doc) == [0] and number_by_start(doc) == {0: 0}


def test_without_tokens_there_are_no_numbers():
    assert number_sentences(Doc(NLP.vocab)).shape == (0,)


def test_a_first_token_that_begins_no_sentence():
    """Other packages may leave it open where the first sentence begins."""
    doc = Doc(NLP.vocab, words=["Ann", "sang", "Bob", "sang"], sent_starts=[None, False, True, False])
    assert number_sentences(doc).tolist() == [0, 0, 1, 1]


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_numbers_equal_a_loop(starts):
    doc = Doc(NLP.vocab, words=["a"] * len(starts), sent_starts=[True, *starts[1:]])
    expected = [i for i, sent in enumerate(doc.sents) for _ in sent]
    assert number_sentences(doc).tolist() == expected
    assert [i for i, sent in enumerate(get_sentences(doc)) for _ in sent] == expected
    first = [i for i, start in enumerate([True, *starts[1:]]) if start]
    assert sentence_starts(doc) == [doc[i].idx for i in first]
    assert number_by_start(doc) == {token: number for number, token in enumerate(first)}
