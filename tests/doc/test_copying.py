"""Layers carried from one place on a Doc to another."""

from dataclasses import replace

import pytest

from spacy_docre.doc.copying import copy_layers, move_layers
from spacy_docre.doc.layers import (
    get_clusters,
    get_mentions,
    get_types,
    has_clusters,
    has_mentions,
    set_clusters,
    set_mentions,
)
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


@pytest.mark.parametrize("layer", ["mentions", "clusters", "relations"])
def test_two_annotations_are_not_mixed(doc, other, layer):
    """Where the target holds a layer of its own, the others stay away: relations would join other clusters."""
    {
        "mentions": lambda: set_mentions(doc, [ANN], places=other),
        "clusters": lambda: set_clusters(doc, [[ANN]], ["X"], places=other),
        "relations": lambda: set_relation_data(doc, [], other),
    }[layer]()
    before = contents(doc, other)
    copy_layers(doc, DEFAULT, other)
    assert contents(doc, other) == before


@pytest.mark.parametrize("layer", ["mentions", "clusters", "relations"])
@pytest.mark.parametrize("carry", [copy_layers, move_layers])
def test_a_name_that_both_share_stays(doc, other, layer, carry):
    """Only what has another name is carried."""
    target = replace(DEFAULT, **{layer: getattr(other, layer)})
    before = contents(doc, DEFAULT)
    carry(doc, DEFAULT, target)
    assert contents(doc, target) == before
    gone = carry is move_layers
    assert (contents(doc, DEFAULT) == before) != gone
    assert contents(move_layers(doc, target, DEFAULT), DEFAULT) == before


@pytest.mark.parametrize("entities", [None, []])
def test_a_missing_layer_is_not_written_and_an_empty_one_is(other, entities):
    doc = make_doc(entities=entities, relations=entities)
    copy_layers(doc, DEFAULT, other)
    found = has_mentions(doc, other), has_clusters(doc, other), has_relations(doc, other)
    assert found == (entities is not None,) * 3
