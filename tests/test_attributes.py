"""The data model: views over plain spaCy storage, what they show, and that they survive every way a Doc travels."""

import copy
import json
import pickle

import numpy
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span

from spacy_docre import Entity, Evidence, Relation
from spacy_docre.attributes import (
    cluster_keys,
    get_clusters,
    get_mentions,
    get_relation_data,
    get_title,
    get_types,
    has_clusters,
    has_mentions,
    has_relations,
    has_types,
    install_extensions,
    is_given,
    relation_record,
    set_clusters,
    set_mentions,
    set_relation_data,
    sort_clusters,
)
from toy import ACME1, ANN, ENTITIES, ROME1, SHE, TRIPLES, make_doc

RECORDS = [
    relation_record(
        0,
        "employer",
        1,
        kb_id="P108",
        score=0.75,
        sentences=[0, 1],
        evidence=[(ANN, ACME1, 0.625), (SHE, ACME1, 0.375)],
    ),
    relation_record(
        1, "headquarters location", 2, kb_id="P159", score=0.5, sentences=[1], evidence=[(ACME1, ROME1, 1.0)]
    ),
]


@pytest.fixture
def doc() -> Doc:
    doc = make_doc()
    set_relation_data(doc, RECORDS)
    return doc


# Views


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
        assert cluster_keys(d) == [f"coref_clusters_{i}" for i in range(1, 13)]
        assert [e.text for e in d._.entities] == words and [e.id for e in d._.entities] == list(range(12))
        assert get_types(d) == [f"T{i}" for i in range(12)]
        assert (d._.relations[0].head.text, d._.relations[0].tail.text) == ("W11", "W1")


def test_keys_of_others_are_left_alone(doc):
    """Heads as spacy-experimental writes them, other prefixes, other numbers."""
    for key in (
        "coref_head_clusters_1",
        "coref_clusters",
        "coref_clusters_x",
        "my_coref_clusters_1",
        "coref_clusters_1b",
    ):
        doc.spans[key] = [doc[0:1]]
    assert len(doc._.entities) == 4
    set_clusters(doc, [[(0, 1)]])
    assert len(doc._.entities) == 1 and "coref_head_clusters_1" in doc.spans and "coref_clusters_1b" in doc.spans


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


def plain(doc):
    """All that the views show, without the Docs they belong to."""
    return [e.to_dict() for e in doc._.entities], [r.to_dict() for r in doc._.relations], get_mentions(doc)


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


# Annotating


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


def test_messages_name_the_document_and_what_to_do(doc):
    doc._.docre_title = "Annals"
    with pytest.raises(ValueError, match=r"'Annals'.*employer.*0 and 7.*only 4"):
        doc._.relations = [(0, "employer", 7)]
    assert get_title(make_doc()) == make_doc().text[:40].strip()
    assert get_title(make_doc([], sents=None, entities=None, relations=None)) == "(empty document)"


def test_relations_of_entities_that_are_gone(doc):
    """Clusters were rewritten behind the relations' back."""
    set_clusters(doc, [[ANN]])
    with pytest.raises(ValueError, match="R101"):
        doc._.relations  # noqa: B018


def test_stored_data_is_not_the_callers(doc):
    data = get_relation_data(doc)
    data[0]["label"] = "changed"
    data.clear()
    assert get_relation_data(doc) == RECORDS


def test_clusters_are_replaced_whole(doc):
    set_clusters(doc, [[SHE, ANN], [ROME1]], ["PER", "LOC"], scores=[0.75, 0.5])
    assert get_clusters(doc) == [[SHE, ANN], [ROME1]] and get_types(doc) == ["PER", "LOC"]
    assert [doc.spans[key].attrs["type_score"] for key in cluster_keys(doc)] == [0.75, 0.5]
    set_clusters(doc, [])
    assert get_clusters(doc) == [] and doc._.entities == ()
    assert len(get_mentions(doc)) == 7  # those are another layer


def test_sorted_clusters():
    """Mentions within clusters, clusters by first mention; a span twice in a cluster counts once, empty ones go."""
    assert sort_clusters([[(5, 6), (2, 3), (5, 6)], [], [(0, 2)], [(2, 4)]]) == [[(0, 2)], [(2, 3), (5, 6)], [(2, 4)]]


# What is there


def layers(doc):
    return has_mentions(doc), has_clusters(doc), has_types(doc), has_relations(doc)


def test_unannotated_is_not_none():
    bare = make_doc(entities=None, relations=None)
    assert layers(bare) == (False, False, False, False)
    assert bare._.entities == () and bare._.relations == () and get_relation_data(bare) is None
    none = make_doc(entities=[], relations=[])
    assert layers(none) == (True, True, True, True)
    assert none._.entities == () and none._.relations == () and get_relation_data(none) == []
    assert layers(make_doc()) == (True, True, True, True)
    assert layers(make_doc(relations=None)) == (True, True, True, False)


def test_layers_one_by_one():
    doc = make_doc(entities=None, relations=None)
    set_mentions(doc, [ANN, ACME1])
    assert layers(doc) == (True, False, False, False)
    set_clusters(doc, [[ANN], [ACME1]])
    assert layers(doc) == (True, True, False, False)
    set_clusters(doc, [[ANN], [ACME1]], ["PER", ""])
    assert layers(doc) == (True, True, False, False)  # not every cluster has a type
    set_clusters(doc, [[ANN], [ACME1]], ["PER", "ORG"])
    assert layers(doc) == (True, True, True, False)


def test_given_layers():
    doc = make_doc()
    assert not is_given(doc, "mentions")
    doc._.docre_given = ["tokens", "mentions"]
    assert is_given(doc, "mentions") and not is_given(doc, "clusters")


# Names


@pytest.fixture
def names():
    """Names of extensions, taken back after the test."""
    yield ("mine", "my_entities")
    for name in ("mine", "mine_data", "my_entities"):
        if Doc.has_extension(name):
            Doc.remove_extension(name)


def test_two_pipelines_on_one_doc(doc, names, recwarn):
    install_extensions("mine", "my_entities", "my_clusters")
    install_extensions("mine", "my_entities", "my_clusters")  # once more, as each component does
    set_clusters(doc, [[ROME1], [ACME1]], ["CITY", "FIRM"], prefix="my_clusters")
    doc._.mine = [(1, "in", 0)]
    assert [str(r) for r in doc._.mine] == ["Acme (FIRM) --in--> Rome (CITY) [1.00]"]
    assert [e.label for e in doc._.my_entities] == ["CITY", "FIRM"]
    assert len(doc._.entities) == 4 and len(doc._.relations) == 2
    assert not recwarn.list


def test_anothers_extension_is_left_alone(doc, names):
    """One sentence says what to set; what we find is stored all the same, and the other's value stays."""
    Doc.set_extension("mine", default="theirs")
    with pytest.warns(UserWarning, match="RW04") as found:
        install_extensions("mine", "my_entities")
    assert len(found) == 1 and "Doc._.mine" in str(found[0].message) and "relations_attr" in str(found[0].message)
    assert doc._.mine == "theirs"
    set_relation_data(doc, RECORDS, attr="mine")
    assert get_relation_data(doc, attr="mine") == RECORDS
    assert len(doc._.my_entities) == 4


def test_our_own_extension_with_other_keys_is_in_the_way_too(names):
    """Else one pipeline's relations would be shown with the other's entities."""
    install_extensions("mine", "my_entities", "first_clusters")
    with pytest.warns(UserWarning, match="RW04") as found:
        install_extensions("mine", "my_entities", "second_clusters")
    assert [setting in str(w.message) for w, setting in zip(found, ("relations_attr", "entities_attr"))] == [True, True]
