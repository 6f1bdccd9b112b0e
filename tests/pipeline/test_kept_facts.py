"""What the relation component keeps of its training data, for Ign F1 and for cuts by frequency."""

from collections import Counter

import pytest
import spacy
import srsly
from spacy.tokens import DocBin

from spacy_docre.doc.records import get_relation_data
from spacy_docre.packed.pipeline import pack_pipeline, unpack_pipeline
from spacy_docre.readers.corpus import create_docre_corpus
from spacy_docre.scoring import collect_facts, load_facts
from spacy_docre.scoring.facts import hash_fact

NAME = "docre_relations"
GIVEN = ["mentions", "clusters", "types"]


@pytest.fixture
def known(sample_corpus):
    """Facts and frequencies of the training data."""
    docs = list(DocBin().from_disk(sample_corpus["train"]).get_docs(spacy.blank("en").vocab))
    counts = Counter(r["label"] for doc in docs for r in get_relation_data(doc) or ())
    return set(map(hash_fact, collect_facts(docs))), counts


def kept(nlp):
    pipe = nlp.get_pipe(NAME)
    return pipe.facts, pipe.cfg["frequencies"]


def ign_f(nlp, path, **settings):
    """With a threshold of 0 much is predicted, and some of it right."""
    nlp.get_pipe(NAME).cfg["threshold"] = 0.0
    scores = nlp.evaluate(list(create_docre_corpus(path, given=GIVEN)(nlp)), scorer_cfg=settings)
    assert scores["relations_f"] > 0
    return scores["relations_ign_f"]


def test_training_data_leave_their_facts(make_nlp, sample_corpus, known, tmp_path):
    # A label that the training data lack has the frequency 0.
    srsly.write_json(tmp_path / "labels.json", {**srsly.read_json(sample_corpus["relation_labels"]), "unseen": ""})
    nlp = make_nlp(paths__relation_labels=str(tmp_path / "labels.json"))
    facts, frequencies = kept(nlp)
    assert facts == known[0] and frequencies == {**known[1], "unseen": 0}
    # All that is right on the training data is known from there; the caller may say otherwise.
    assert ign_f(nlp, sample_corpus["train"]) == 0.0
    assert ign_f(nlp, sample_corpus["train"], facts=set()) > 0


def test_facts_survive_storage(make_nlp, sample_corpus, known, tmp_path):
    nlp = make_nlp()
    nlp.to_disk(tmp_path / "model")
    copy = make_nlp(**{f"components__{NAME}__keep_facts": False})
    copy.get_pipe(NAME).from_bytes(nlp.get_pipe(NAME).to_bytes())
    for other in (copy, spacy.load(tmp_path / "model"), unpack_pipeline(pack_pipeline(nlp)[0], tmp_path)):
        assert kept(other) == kept(nlp)
    # The file is one that `--facts` reads.
    assert load_facts(tmp_path / "model" / NAME / "facts") == known[0]


def test_models_without_facts_have_no_ign_f(make_nlp, sample_corpus, tmp_path):
    nlp = make_nlp()
    nlp.to_disk(tmp_path / "model")
    bare = make_nlp(**{f"components__{NAME}__keep_facts": False})
    assert kept(bare)[0] is None and kept(bare)[1] == kept(nlp)[1]
    bare.to_disk(tmp_path / "model")  # in place of the other: nothing of it is left
    assert kept(spacy.load(tmp_path / "model"))[0] is None
    assert ign_f(bare, sample_corpus["train"]) is None
    nlp.get_pipe(NAME).from_bytes(bare.get_pipe(NAME).to_bytes())
    assert kept(nlp)[0] is None


def test_streamed_data_leave_none(make_nlp):
    """Of a corpus that is streamed, the first documents alone are seen at the start."""
    assert kept(make_nlp(training__max_epochs=-1, training__max_steps=1)) == (None, None)


def test_facts_of_both_trainings_are_known(make_nlp, sample_corpus, tmp_path):
    first = make_nlp()
    first.to_disk(tmp_path / "first")
    paths = {"paths__train": sample_corpus["dev"], "paths__init_from": str(tmp_path / "first")}
    alone, continued = make_nlp(paths__train=sample_corpus["dev"]), make_nlp(**paths)
    assert kept(continued)[0] == kept(first)[0] | kept(alone)[0] > kept(alone)[0]
    assert kept(continued)[1] == kept(alone)[1]
