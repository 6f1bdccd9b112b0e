"""Spans carried from one tokenisation of a text to another, and what two texts must share for it."""

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc

from spacy_docre.doc.align import align_spans, check_same_text, token_offsets

NLP = spacy.blank("en")


def test_align_by_hand():
    """Gold "Os" and "lo" are one token of the prediction, gold "Berg's" is two."""
    reference = Doc(NLP.vocab, words=["Os", "lo", "Berg's"], spaces=[False, True, False])
    predicted = Doc(NLP.vocab, words=["Oslo", "Berg", "'s"], spaces=[True, False, False])
    spans = [(0, 1), (1, 2), (0, 2), (2, 3), (0, 3), (1, 3)]
    assert align_spans(reference, predicted, spans) == [None, None, (0, 1), (1, 3), (0, 3), None]
    assert align_spans(reference, predicted, []) == []


def test_texts_have_to_agree():
    with pytest.raises(ValueError, match="R103.*character 2"):
        align_spans(Doc(NLP.vocab, words=["Oslo"]), Doc(NLP.vocab, words=["Os"]), [(0, 1)])


@pytest.mark.parametrize("gold,pred,at", [("Oslo", "Oslo 1", 4), ("", "a", 0), ("Rome", "Roma", 3)])
def test_where_texts_differ_is_told(gold, pred, at):
    reference, predicted = NLP.make_doc(gold), NLP.make_doc(pred)
    reference._.docre_title = "Annals"
    check_same_text(reference, reference.copy())
    with pytest.raises(ValueError, match=f"R103.*'Annals'.*character {at}"):
        check_same_text(reference, predicted)


pieces = st.lists(st.sampled_from(["a", "é", "🌍", "bc", "\xa0"]), min_size=1, max_size=12)


@given(pieces, st.data())
def test_align_equals_slow_twin(chars, data):
    """Two tokenisations of one text; the slow twin compares character offsets one by one."""
    docs = []
    for _ in range(2):
        cuts = data.draw(st.lists(st.booleans(), min_size=len(chars), max_size=len(chars)))
        words = [""]
        for char, cut in zip(chars, cuts):
            words = [*words, char] if cut and words[-1] else [*words[:-1], words[-1] + char]
        docs.append(Doc(NLP.vocab, words=words, spaces=[False] * len(words)))
    reference, predicted = docs
    n = len(reference)
    spans = [(s, e) for s in range(n) for e in range(s + 1, n + 1)]
    slow = [predicted.char_span(reference[s:e].start_char, reference[s:e].end_char) for s, e in spans]
    assert align_spans(reference, predicted, spans) == [span and (span.start, span.end) for span in slow]


@given(st.text(max_size=40))
def test_token_offsets(text):
    doc = NLP.make_doc(text)
    starts, ends = token_offsets(doc)
    assert starts.tolist() == [token.idx for token in doc]
    assert ends.tolist() == [token.idx + len(token) for token in doc]
