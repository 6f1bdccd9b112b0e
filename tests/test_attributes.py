"""The former module of attributes: its names, and its arguments by keyword and position, work until 0.3."""

import pytest
from spacy.tokens import Doc

import spacy_docre
from spacy_docre import arrays, attributes, batches, ty
from spacy_docre.attributes import (
    cluster_keys,
    get_clusters,
    get_entities,
    get_mentions,
    get_relation_data,
    get_relations,
    get_types,
    has_clusters,
    has_mentions,
    has_relations,
    has_types,
    install_extensions,
    relation_record,
    set_clusters,
    set_mentions,
    set_relation_data,
    set_relations,
)
from spacy_docre.doc import views
from toy import ACME1, ANN, ROME1, SHE, make_doc

KEY, PREFIX, ATTR = "my_mentions", "my_clusters", "mine"
RECORDS = [relation_record(1, "in", 0)]


@pytest.fixture
def doc():
    yield make_doc()
    for name in (ATTR, f"{ATTR}_data", "my_entities"):
        if Doc.has_extension(name):
            Doc.remove_extension(name)


def test_constants_name_the_default_places(doc):
    assert get_mentions(doc, attributes.MENTIONS_KEY) == get_mentions(doc) == get_mentions(doc, key="mentions")
    assert cluster_keys(doc) == [f"{attributes.CLUSTER_PREFIX}_{i}" for i in range(1, 5)]
    assert get_relation_data(doc) == doc._.get(attributes.RELATIONS_ATTR + attributes.DATA_SUFFIX)
    assert get_entities(doc) == doc._.get(attributes.ENTITIES_ATTR) and len(get_relations(doc)) == 3
    assert attributes.LAYERS == ("tokens", "sents", "mentions", "clusters", "types")


def test_notes(doc):
    doc._.set(attributes.GIVEN_ATTR, ["mentions"])
    doc._.set(attributes.TITLE_ATTR, "Annals")
    attributes.note_skipped(doc, "docre_relations", "pairs", 2)
    assert attributes.is_given(doc, "mentions") and attributes.get_title(doc) == "Annals"
    assert doc._.get(attributes.SKIPPED_ATTR) == {"docre_relations: pairs": 2}


def test_sentences_and_sorting(doc):
    assert len(attributes.get_sentences(doc)) == 3
    assert attributes.sort_clusters([[(2, 3)], [(1, 2), (0, 1)]]) == [[(0, 1), (1, 2)], [(2, 3)]]


@pytest.mark.parametrize("by_keyword", [True, False], ids=["keyword", "position"])
def test_names_of_places(doc, by_keyword):
    """Each function takes the names as it did, one by one; the default places stay as they are."""
    before = get_mentions(doc), get_clusters(doc), get_types(doc), get_relation_data(doc), get_entities(doc)

    def call(function, *arguments, **names):
        """Hand over the names of places by keyword, or by position in the order given."""
        return function(*arguments, **names) if by_keyword else function(*arguments, *names.values())

    assert not call(has_mentions, doc, key=KEY) and not call(has_clusters, doc, key=KEY, prefix=PREFIX)
    assert not call(has_types, doc, key=KEY, prefix=PREFIX) and not call(has_relations, doc, attr=ATTR)
    call(set_mentions, doc, [ROME1, ANN, SHE], [1.0, 0.5, 0.5], key=KEY)
    call(set_clusters, doc, [[ROME1], [ANN, SHE]], ["CITY", "PER"], prefix=PREFIX, scores=[0.75, 0.5])
    assert call(has_mentions, doc, key=KEY) and call(has_clusters, doc, key=KEY, prefix=PREFIX)
    assert call(has_types, doc, key=KEY, prefix=PREFIX)
    assert call(get_mentions, doc, key=KEY) == [ROME1, ANN, SHE]
    assert doc.spans[KEY].attrs["scores"] == [1.0, 0.5, 0.5]
    assert call(cluster_keys, doc, prefix=PREFIX) == ["my_clusters_1", "my_clusters_2"]
    assert call(get_clusters, doc, prefix=PREFIX) == [[ROME1], [ANN, SHE]]
    assert call(get_types, doc, prefix=PREFIX) == ["CITY", "PER"]
    assert doc.spans["my_clusters_1"].attrs["type_score"] == 0.75
    assert [e.label for e in call(get_entities, doc, prefix=PREFIX)] == ["CITY", "PER"]
    call(set_relation_data, doc, RECORDS, attr=ATTR)
    assert call(get_relation_data, doc, attr=ATTR) == RECORDS and call(has_relations, doc, attr=ATTR)
    call(set_relations, doc, [(0, "of", 1)], attr=ATTR, prefix=PREFIX)
    assert [str(r) for r in call(get_relations, doc, attr=ATTR, prefix=PREFIX)] == [
        "Rome (CITY) --of--> Ann Lee (PER) [1.00]"
    ]
    call(install_extensions, relations_attr=ATTR, entities_attr="my_entities", prefix=PREFIX)
    assert len(doc._.mine) == 1 and [e.label for e in doc._.my_entities] == ["CITY", "PER"]
    assert before == (
        get_mentions(doc),
        get_clusters(doc),
        get_types(doc),
        get_relation_data(doc),
        get_entities(doc),
    )


def test_some_names_stay_at_their_defaults(doc):
    set_relations(doc, [(0, "of", 1)], ATTR)
    assert str(get_relations(doc, attr=ATTR)[0]) == "Ann Lee (PER) --of--> Acme (ORG) [1.00]"
    set_clusters(doc, [[ACME1]], ["ORG"], scores=[0.5])
    assert get_types(doc) == ["ORG"] and doc.spans["coref_clusters_1"].attrs["type_score"] == 0.5


def test_names_of_types():
    assert (ty.Entity, ty.Evidence, ty.Relation) == (spacy_docre.Entity, spacy_docre.Evidence, spacy_docre.Relation)
    for name in ("CandidateBatch", "EntityBatch", "MentionPairBatch", "PairBatch", "SpanBatch"):
        assert getattr(ty, name) is getattr(batches, name)
    assert ty.SpanIndices is arrays.SpanIndices and attributes.Triple is views.Triple
