"""A Doc with relations, and what its views show."""

from typing import Any, Iterator, Tuple

import pytest
from spacy.tokens import Doc

from spacy_docre.doc.layers import get_mentions
from spacy_docre.doc.places import Places
from spacy_docre.doc.records import relation_record, set_relation_data
from toy import ACME1, ANN, ROME1, SHE, make_doc

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
OTHER = Places("my_mentions", "my_clusters", "mine", "my_entities")


@pytest.fixture
def doc() -> Doc:
    doc = make_doc()
    set_relation_data(doc, RECORDS)
    return doc


def plain(doc: Doc) -> Tuple[Any, ...]:
    """All that the views show, without the Docs they belong to."""
    return [e.to_dict() for e in doc._.entities], [r.to_dict() for r in doc._.relations], get_mentions(doc)


@pytest.fixture
def other() -> Iterator[Places]:
    """Places of other names, whose extensions are taken back after the test."""
    yield OTHER
    for name in (OTHER.relations, OTHER.relation_data, OTHER.entities):
        if Doc.has_extension(name):
            Doc.remove_extension(name)
