"""Mentions, clusters and types as span groups, and whether they are there."""

from spacy_docre.doc.layers import (
    cluster_keys,
    get_clusters,
    get_mentions,
    get_types,
    has_clusters,
    has_mentions,
    has_types,
    set_clusters,
    set_mentions,
    sort_clusters,
)
from spacy_docre.doc.records import get_relation_data, has_relations
from toy import ACME1, ANN, ROME1, SHE, make_doc


def test_clusters_are_replaced_whole(doc):
    set_clusters(doc, [[SHE, ANN], [ROME1]], ["PER", "LOC"], scores=[0.75, 0.5])
    assert get_clusters(doc) == [[SHE, ANN], [ROME1]] and get_types(doc) == ["PER", "LOC"]
    assert [doc.spans[key].attrs["type_score"] for key in cluster_keys(doc, "coref_clusters")] == [0.75, 0.5]
    set_clusters(doc, [])
    assert get_clusters(doc) == [] and doc._.entities == ()
    assert len(get_mentions(doc)) == 7  # those are another layer


def test_scores_of_mentions():
    doc = make_doc(entities=None, relations=None)
    set_mentions(doc, [ANN, SHE], scores=[0.75, 0.5])
    assert get_mentions(doc) == [ANN, SHE] and doc.spans["mentions"].attrs["scores"] == [0.75, 0.5]
    set_mentions(doc, [SHE])
    assert get_mentions(doc) == [SHE] and "scores" not in doc.spans["mentions"].attrs


def test_other_places(doc, other):
    """Each layer is kept once for each place, and none looks at the layers of another."""
    assert not any(has(doc, other) for has in (has_mentions, has_clusters, has_types))
    assert get_mentions(doc, other) == get_clusters(doc, other) == get_types(doc, other) == []
    set_mentions(doc, [ROME1], places=other)
    set_clusters(doc, [[ROME1]], ["CITY"], places=other)
    assert all(has(doc, other) for has in (has_mentions, has_clusters, has_types))
    assert get_mentions(doc, other) == [ROME1] and get_clusters(doc, other) == [[ROME1]]
    assert get_types(doc, other) == ["CITY"] and len(get_mentions(doc)) == 7 and len(get_clusters(doc)) == 4


def test_sorted_clusters():
    """Mentions within clusters, clusters by first mention; a span twice in a cluster counts once, empty ones go."""
    assert sort_clusters([[(5, 6), (2, 3), (5, 6)], [], [(0, 2)], [(2, 4)]]) == [[(0, 2)], [(2, 3), (5, 6)], [(2, 4)]]


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
