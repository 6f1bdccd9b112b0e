"""Doc extensions of any name: two sets on one Doc, another package's, and across processes."""

import pickle
from dataclasses import replace

import pytest
from spacy.tokens import Doc

from spacy_docre.doc.extensions import install_extensions
from spacy_docre.doc.layers import set_clusters
from spacy_docre.doc.places import DEFAULT
from spacy_docre.doc.records import get_relation_data, set_relation_data
from toy import ACME1, ROME1

from .conftest import RECORDS


def test_two_pipelines_on_one_doc(doc, other, recwarn):
    install_extensions(other)
    install_extensions(other)  # once more, as each component does
    set_clusters(doc, [[ROME1], [ACME1]], ["CITY", "FIRM"], places=other)
    doc._.mine = [(1, "in", 0)]
    assert [str(r) for r in doc._.mine] == ["Acme (FIRM) --in--> Rome (CITY) [1.00]"]
    assert [e.label for e in doc._.my_entities] == ["CITY", "FIRM"]
    assert len(doc._.entities) == 4 and len(doc._.relations) == 2
    assert not recwarn.list


def test_anothers_extension_is_left_alone(doc, other):
    """One sentence says what to set; what we find is stored all the same, and the other's value stays."""
    Doc.set_extension("mine", default="theirs")
    with pytest.warns(UserWarning, match="RW04") as found:
        install_extensions(replace(other, clusters=DEFAULT.clusters))
    assert len(found) == 1 and "Doc._.mine" in str(found[0].message) and "relations_attr" in str(found[0].message)
    assert doc._.mine == "theirs"
    set_relation_data(doc, RECORDS, other)
    assert get_relation_data(doc, other) == RECORDS
    assert len(doc._.my_entities) == 4


def test_our_own_extension_with_other_keys_is_in_the_way_too(other):
    """Else one pipeline's relations would be shown with the other's entities."""
    install_extensions(replace(other, clusters="first_clusters"))
    with pytest.warns(UserWarning, match="RW04") as found:
        install_extensions(replace(other, clusters="second_clusters"))
    assert [setting in str(w.message) for w, setting in zip(found, ("relations_attr", "entities_attr"))] == [True, True]


def test_what_shows_them_can_be_pickled(doc, other):
    """A process that is spawned gets getters and setters with each Doc."""
    install_extensions(other)
    for attr in (other.relations, other.entities):
        _, _, getter, setter = Doc.get_extension(attr)
        for function in filter(None, (getter, setter)):
            copied = pickle.loads(pickle.dumps(function))
            assert type(copied) is type(function) and copied.places == other
