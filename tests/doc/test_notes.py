"""What a Doc says of itself: its title, the layers that it was given, what was skipped."""

import pytest

from spacy_docre.doc.notes import get_title, is_given, note_skipped
from toy import make_doc


def test_given_layers():
    doc = make_doc()
    assert not is_given(doc, "mentions")
    doc._.docre_given = ["tokens", "mentions"]
    assert is_given(doc, "mentions") and not is_given(doc, "clusters")


def test_messages_name_the_document_and_what_to_do(doc):
    doc._.docre_title = "Annals"
    with pytest.raises(ValueError, match=r"'Annals'.*employer.*0 and 7.*only 4"):
        doc._.relations = [(0, "employer", 7)]
    assert get_title(make_doc()) == make_doc().text[:40].strip()
    assert get_title(make_doc([], sents=None, entities=None, relations=None)) == "(empty document)"


def test_skipped_counts(doc):
    """A count of zero is noted only where there was another one before."""
    note_skipped(doc, "docre_relations", "pairs", 0)
    assert doc._.docre_skipped is None
    note_skipped(doc, "docre_relations", "pairs", 3)
    note_skipped(doc, "docre_clusters", "mentions", 2)
    note_skipped(doc, "docre_relations", "pairs", 0)
    assert doc._.docre_skipped == {"docre_relations: pairs": 0, "docre_clusters: mentions": 2}
