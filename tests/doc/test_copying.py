"""Layers carried from one place on a Doc to another."""

import pytest

from spacy_docre.doc.copying import copy_layers
from spacy_docre.doc.layers import get_clusters, get_mentions, get_types, has_clusters, has_mentions, set_clusters
from spacy_docre.doc.places import DEFAULT
from spacy_docre.doc.records import get_relation_data, has_relations, set_relation_data
from toy import ANN, make_doc


def contents(doc, places):
    return get_mentions(doc, places), get_clusters(doc, places), get_types(doc, places), get_relation_data(doc, places)


def test_all_layers_are_copied_and_stay_where_they_are(doc, other):
    before = contents(doc, DEFAULT)
    copy_layers(doc, DEFAULT, other)
    assert contents(doc, other) == before == contents(doc, DEFAULT)
    copy_layers(doc, DEFAULT, other)  # once more changes nothing
    copy_layers(doc, DEFAULT, DEFAULT)
    assert contents(doc, other) == before == contents(doc, DEFAULT)


def test_what_is_there_already_stays(doc, other):
    set_clusters(doc, [[ANN]], ["X"], places=other)
    set_relation_data(doc, [], other)
    copy_layers(doc, DEFAULT, other)
    assert get_clusters(doc, other) == [[ANN]] and get_types(doc, other) == ["X"]
    assert get_relation_data(doc, other) == [] and get_mentions(doc, other) == get_mentions(doc)


@pytest.mark.parametrize("entities", [None, []])
def test_a_missing_layer_is_not_written_and_an_empty_one_is(other, entities):
    doc = make_doc(entities=entities, relations=entities)
    copy_layers(doc, DEFAULT, other)
    found = has_mentions(doc, other), has_clusters(doc, other), has_relations(doc, other)
    assert found == (entities is not None,) * 3
