"""Views of entities, relations and evidence: what they show, and how relations are assigned."""

import copy
import json

import numpy
import pytest
from spacy.tokens import Doc, Span

from spacy_docre import Entity, Evidence, Relation
from spacy_docre.doc.layers import cluster_keys, get_types, set_clusters
from spacy_docre.doc.records import get_relation_data, has_relations, relation_record, set_relation_data
from toy import ACME1, ANN, ENTITIES, TRIPLES, make_doc

from .conftest import RECORDS, plain


def test_entities(doc):
    entities = doc._.entities
    assert isinstance(entities, tuple) and all(isinstance(e, Entity) for e in entities)
    assert [(e.id, e.label) for e in entities] == [(0, "PER"), (1, "ORG"), (2, "LOC"), (3, "PER")]
    assert [tuple((m.start, m.end) for m in e.mentions) for e in entities] == [spans for _, spans in ENTITIES]
    assert all(isinstance(m, Span) and m.label_ == e.label for e in entities for m in e.mentions)
    assert [e.text for e in entities] == ["Ann Lee", "Acme", "Rome", "Bob"]
    assert [str(e) for e in entities] == ["Ann Lee (PER)", "Acme (ORG)", "Rome (LOC)", "Bob (PER)"]
    assert str(Entity(0, "", entities[0].mentions)) == "Ann Lee"


def test_relations(doc):
    first, second = doc._.relations
    assert isinstance(first, Relation)
    assert (first.head.text, first.label, first.tail.text, first.score) == ("Ann Lee", "employer", "Acme", 0.75)
    assert first.kb_id == "P108" and first.head is not None and first.head == doc._.entities[0]
    assert [s.text for s in first.sentences] == ["Ann Lee works at Acme .", "She leads Acme in Rome ."]
    assert [(e.head.text, e.tail.text, e.weight) for e in first.evidence] == [
        ("Ann Lee", "Acme", 0.625),
        ("She", "Acme", 0.375),
    ]
    assert all(isinstance(e, Evidence) and e.head in first.head.mentions for e in first.evidence)
    assert str(first) == "Ann Lee (PER) --employer--> Acme (ORG) [0.75]"
    assert str(second.evidence[0]) == "Acme -> Rome (1.00)"


def test_views_are_in_order_whatever_the_data_is(doc):
    """Relations and evidence strongest first, sentences as in the document."""
    mixed = [copy.deepcopy(record) for record in RECORDS[::-1]]
    mixed[1]["evidence"].reverse()
    mixed[1]["sentences"] = [1, 0]
    expected = doc._.relations
    set_relation_data(doc, mixed)
    assert doc._.relations == expected


def test_views_are_values(doc):
    """Equal and of equal hash when built twice, unequal when anything differs; frozen."""
    assert doc._.relations == doc._.relations and doc._.entities == doc._.entities
    assert len({*doc._.relations, *doc._.relations}) == 2
    assert len({*doc._.entities, *(r.head for r in doc._.relations)}) == 4
    first = doc._.relations[0]
    assert len({first.evidence[0], first.evidence[1], doc._.relations[0].evidence[0]}) == 2
    for change in (
        {"score": 0.5},
        {"label": "x"},
        {"kb_id": ""},
        {"evidence": ()},
        {"sentences": ()},
        {"tail": first.head},
    ):
        assert type(first)(**{**vars(first), **change}) != first
    for view in (first, first.head, first.evidence[0]):
        with pytest.raises(AttributeError):
            view.label = "x"
        with pytest.raises(AttributeError):
            view.weight = 1.0


def test_to_dict_is_plain_data_with_characters(doc):
    text = doc.text
    data = [r.to_dict() for r in doc._.relations]
    assert json.loads(json.dumps(data)) == data
    first = data[0]
    assert list(first) == ["head", "label", "kb_id", "tail", "score", "sentences", "evidence"]
    assert first["head"]["text"] == "Ann Lee" and first["head"]["id"] == 0 and first["head"]["label"] == "PER"
    spans = [*first["head"]["mentions"], *first["sentences"], *(e["tail"] for e in first["evidence"])]
    assert spans and all(text[s["start"] : s["end"]] == s["text"] for s in spans)
    assert first["evidence"][0]["weight"] == 0.625


def test_offsets_count_code_points():
    doc = make_doc(["😀", "Ann"], sents=[0], entities=[("PER", [(1, 2)])], relations=None)
    assert doc._.entities[0].to_dict()["mentions"] == [{"start": 2, "end": 5, "text": "Ann"}]


@pytest.mark.parametrize(
    "words,mentions,text",
    [
        ("the big company and Acme".split(), [(0, 3), (4, 5)], "Acme"),  # the longest that has a capital
        ("the Acme company and Acme".split(), [(4, 5), (0, 3)], "the Acme company"),  # a capital in any token
        ("it and the firm".split(), [(0, 1), (2, 4)], "the firm"),  # the longest where none has
        ("Ann met Bob".split(), [(2, 3), (0, 1)], "Ann"),  # the earliest on ties
        ("he or it".split(), [(0, 1), (2, 3)], "he"),
        ("iPhone or Élan".split(), [(0, 1), (2, 3)], "Élan"),  # the first letter counts
    ],
)
def test_text_of_an_entity(words, mentions, text):
    doc = make_doc(words, sents=[0], entities=[("X", mentions)], relations=None)
    assert doc._.entities[0].text == text


def test_entity_without_mentions(doc):
    doc.spans["coref_clusters_5"] = []
    last = doc._.entities[-1]
    assert (last.id, last.label, last.mentions, last.text) == (4, "", (), "")


def test_without_sentences_the_document_is_one():
    doc = make_doc(sents=None)
    set_relation_data(doc, [relation_record(0, "employer", 1, sentences=[0, 1])])
    assert [(s.start, s.end) for s in doc._.relations[0].sentences] == [(0, len(doc))]


def test_evidence_outside_the_entity_is_shown_all_the_same(doc):
    set_relation_data(doc, [relation_record(0, "employer", 1, evidence=[((0, 1), ACME1, 1.0)])])
    (evidence,) = doc._.relations[0].evidence
    assert evidence.head.text == "Ann" and evidence.head.label_ == "PER"


def test_clusters_beyond_nine_are_in_order():
    words = [f"W{i}" for i in range(12)]
    doc = make_doc(words, sents=[0], entities=[(f"T{i}", [(i, i + 1)]) for i in range(12)], relations=[(11, "r", 1)])
    for d in (doc, Doc(doc.vocab).from_bytes(doc.to_bytes())):
        assert cluster_keys(d, "coref_clusters") == [f"coref_clusters_{i}" for i in range(1, 13)]
        assert [e.text for e in d._.entities] == words and [e.id for e in d._.entities] == list(range(12))
        assert get_types(d) == [f"T{i}" for i in range(12)]
        assert (d._.relations[0].head.text, d._.relations[0].tail.text) == ("W11", "W1")


# Assigning


def test_assigned_triples():
    doc = make_doc(relations=None)
    doc._.relations = [*TRIPLES, (numpy.int64(0), "employer", numpy.int32(1))]
    found = [(r.head.id, r.label, r.tail.id) for r in doc._.relations]
    assert found == [*TRIPLES, TRIPLES[0]]
    assert all(r.score == 1.0 and r.kb_id == "" and not r.evidence and not r.sentences for r in doc._.relations)
    doc.to_bytes()  # plain numbers were stored
    doc._.relations = iter([TRIPLES[1]])
    assert len(doc._.relations) == 1
    doc._.relations = []
    assert doc._.relations == () and has_relations(doc)


def test_assigned_relations(doc):
    expected = doc._.relations
    other = make_doc(relations=None, vocab=doc.vocab)
    other._.relations = expected
    assert [r.to_dict() for r in other._.relations] == [r.to_dict() for r in expected]
    assert get_relation_data(other) == RECORDS
    doc._.relations = [doc._.relations[1], (0, "employer", 1)]
    assert [(r.label, r.score, r.kb_id) for r in doc._.relations] == [
        ("employer", 1.0, ""),
        ("headquarters location", 0.5, "P159"),
    ]


@pytest.mark.parametrize(
    "value,code",
    [
        (None, "R102"),
        (5, "R102"),
        ([5], "R102"),
        ([None], "R102"),
        (["abc"], "R102"),
        ([(0, "x")], "R102"),
        ([(0, "x", 1, 2)], "R102"),
        ([("employer", 0, 1)], "R102"),
        ([("0", "x", 1)], "R102"),
        ([(0.5, "x", 1)], "R102"),
        ([(0, None, 1)], "R102"),
        ([(0, 7, 1)], "R102"),
        ([(0, "", 1)], "R102"),
        ([{"head": 0, "label": "x", "tail": 1}], "R102"),
        ([(0, "x", 4)], "R101"),
        ([(-1, "x", 0)], "R101"),
        ([(0, "ok", 1), (9, "x", 1)], "R101"),
    ],
)
def test_wrong_values_raise_by_code(doc, value, code):
    expected = plain(doc)
    with pytest.raises(ValueError, match=rf"\[{code}\]"):
        doc._.relations = value
    assert plain(doc) == expected


def test_relations_of_entities_that_are_gone(doc):
    """Clusters were rewritten behind the relations' back."""
    set_clusters(doc, [[ANN]])
    with pytest.raises(ValueError, match="R101"):
        doc._.relations  # noqa: B018
