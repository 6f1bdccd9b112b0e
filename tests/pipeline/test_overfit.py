"""The whole pipeline learns two documents by heart, end to end from raw text, and keeps them through storage."""

from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc, DocBin

from spacy_docre.readers.corpus import create_docre_corpus
from trained import layers_of, train


@pytest.fixture
def corpus_path(tmp_path, sample_docs) -> str:
    path = tmp_path / "two.spacy"
    DocBin(docs=sample_docs[:2], store_user_data=True).to_disk(path)
    return str(path)


def test_overfits_two_documents_and_survives_storage(make_nlp, corpus_path: str, tmp_path: Path):
    nlp = make_nlp(paths__train=corpus_path, paths__dev=corpus_path)
    examples = list(create_docre_corpus(corpus_path)(nlp))
    train(nlp, examples, steps=150)
    scores = nlp.evaluate(list(create_docre_corpus(corpus_path)(nlp)))
    for key in ("mentions_f", "clusters_f", "types_f", "relations_f"):
        assert scores[key] == 1.0, (key, scores[key])

    text = examples[0].reference.text
    doc = nlp(text)
    wanted = layers_of(doc)
    assert wanted["relations"] and all(evidence for evidence in wanted["evidence"])
    for evidence in wanted["evidence"]:
        assert 0.8 - 1e-3 <= sum(weight for _, _, weight in evidence) <= 1 + 1e-3

    nlp.to_disk(tmp_path / "model")
    assert layers_of(spacy.load(tmp_path / "model")(text)) == wanted
    fresh = spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())
    assert layers_of(fresh(text)) == wanted

    # Gold layers given: the components leave them alone, and relations are found between gold entities.
    given = create_docre_corpus(corpus_path, given=["types"])
    for example in given(nlp):
        before = [(e.label, [(m.start, m.end) for m in e.mentions]) for e in example.predicted._.entities]
        after = nlp(example.predicted)
        assert [(e.label, [(m.start, m.end) for m in e.mentions]) for e in after._.entities] == before
        assert after._.relations

    # The encoder's output is gone after the last reader, and Docs cross process borders.
    assert not [key for key in doc.user_data if not isinstance(key, tuple)]
    assert layers_of(Doc(nlp.vocab).from_bytes(doc.to_bytes())) == wanted
    piped = list(nlp.pipe([text, "", examples[1].reference.text, "Hm."], batch_size=2))
    assert layers_of(piped[0]) == wanted and [len(d) for d in piped][1] == 0
    assert piped[1]._.relations == () and piped[1]._.entities == ()
    for got, single in zip(piped, [nlp(d.text) for d in piped]):
        assert layers_of(got) == layers_of(single)
