"""Relation data: plain, its own copy, and the same however a Doc travels."""

import copy
import json
import pickle

import numpy
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin

from spacy_docre.doc.layers import set_clusters, set_mentions
from spacy_docre.doc.records import check_entities, get_relation_data, has_relations, relation_record, set_relation_data

from .conftest import RECORDS, plain


def test_stored_data_is_not_the_callers(doc):
    data = get_relation_data(doc)
    data[0]["label"] = "changed"
    data.clear()
    assert get_relation_data(doc) == RECORDS


def test_records_hold_plain_numbers():
    """Whatever kind of numbers they are made of, JSON can be made of them."""
    number, share = numpy.int64(1), numpy.float32(0.5)
    record = relation_record(
        number, "r", number, score=share, sentences=numpy.arange(2), evidence=[((number, number), (0, 1), share)]
    )
    assert json.loads(json.dumps(record)) == record
    assert record["score"] == 0.5 and record["sentences"] == [0, 1]
    assert record["evidence"] == [{"head": [1, 1], "tail": [0, 1], "weight": 0.5}]


@pytest.mark.parametrize("head,tail,is_right", [(0, 3, True), (3, 0, True), (-1, 0, False), (0, 4, False)])
def test_entities_that_a_relation_may_name(doc, head, tail, is_right):
    record = relation_record(head, "r", tail)
    if is_right:
        check_entities(doc, record, 4)
    else:
        with pytest.raises(ValueError, match=rf"R101.*{head} and {tail}.*only 4"):
            check_entities(doc, record, 4)


def test_other_places(doc, other):
    assert not has_relations(doc, other) and get_relation_data(doc, other) is None
    set_relation_data(doc, RECORDS[:1], other)
    assert get_relation_data(doc, other) == RECORDS[:1] and get_relation_data(doc) == RECORDS


# Round trips


def round_trips():
    def to_bytes(doc):
        return Doc(doc.vocab).from_bytes(doc.to_bytes())

    def to_disk(doc, path):
        doc.to_disk(path / "doc")
        return Doc(doc.vocab).from_disk(path / "doc")

    def doc_bin(doc):
        data = DocBin(docs=[doc], store_user_data=True).to_bytes()
        return next(DocBin().from_bytes(data).get_docs(spacy.blank("en").vocab))

    def to_json(doc):
        plain = doc.to_json(underscore=["relations_data"])
        return Doc(doc.vocab).from_json(json.loads(json.dumps(plain)))

    def twice(doc):
        return doc_bin(doc_bin(to_bytes(doc)))

    pickled = [lambda doc, p=p: pickle.loads(pickle.dumps(doc, p)) for p in (2, pickle.HIGHEST_PROTOCOL)]
    return [to_bytes, doc_bin, *pickled, lambda doc: doc.copy(), copy.deepcopy, to_json, twice, to_disk]


@pytest.mark.parametrize("trip", round_trips(), ids=lambda f: f.__name__)
@pytest.mark.parametrize("data", [RECORDS, [], None], ids=["relations", "none", "unannotated"])
def test_round_trip(doc, trip, data, tmp_path):
    set_relation_data(doc, data)
    expected = plain(doc)
    other = trip(doc, tmp_path) if trip.__name__ == "to_disk" else trip(doc)
    assert plain(other) == expected == plain(doc)
    assert has_relations(other) == (data is not None)
    assert all(span.doc is other for e in other._.entities for span in e.mentions)
    other._.relations = [(3, "residence", 2)]  # and it can be written to
    assert [r.label for r in other._.relations] == ["residence"]
    assert plain(doc) == expected  # without a change to the first


@Language.component("toy_annotator")
def annotate(doc):
    """Write what a pipeline would find: every word is an entity, the first is related to the last."""
    set_mentions(doc, [(i, i + 1) for i in range(len(doc))], scores=[0.5] * len(doc))
    set_clusters(doc, [[(i, i + 1)] for i in range(len(doc))], ["X"] * len(doc), scores=[0.5] * len(doc))
    last = len(doc) - 1
    set_relation_data(doc, [relation_record(0, "r", last, score=0.75, evidence=[((0, 1), (last, last + 1), 1.0)])])
    return doc


def test_several_processes():
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("toy_annotator")
    texts = ["Ann left Rome.", "Bob stayed.", "So did Eve and Eve's friend."] * 2
    alone, together = (list(nlp.pipe(texts, n_process=n, batch_size=1)) for n in (1, 2))
    assert [plain(doc) for doc in alone] == [plain(doc) for doc in together]
    assert all(doc._.relations[0].evidence for doc in together)
    assert together[0].spans["mentions"].attrs["scores"] == [0.5] * 4
