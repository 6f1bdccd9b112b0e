"""Ranges of numbers are split, in a saved pipeline too; all else stays as it was."""

import spacy

TEXT = "Clara (1819–1896) ran 3—4 miles in 1992-93, a well-known — and long – way, U.S.–Mexico."


def test_ranges_are_split(make_nlp, tmp_path):
    nlp = make_nlp()
    words = [t.text for t in nlp.make_doc(TEXT)]
    plain = [
        t.text for t in spacy.blank("en").make_doc(TEXT.replace("1819–1896", "1819 – 1896").replace("3—4", "3 — 4"))
    ]
    assert words == plain and words[2:5] == ["1819", "–", "1896"]
    nlp.to_disk(tmp_path / "model")
    assert [t.text for t in spacy.load(tmp_path / "model").make_doc(TEXT)] == words


def test_other_tokenizers_are_left_alone():
    from spacy_docre.training.tokenization import create_range_splitter

    nlp = spacy.blank("en")
    nlp.tokenizer = lambda text: spacy.tokens.Doc(nlp.vocab, words=text.split())
    assert [t.text for t in create_range_splitter()(nlp).make_doc("in 1819–1896")] == ["in", "1819–1896"]
