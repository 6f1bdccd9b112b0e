"""Statistics: counted by hand, and a warning for each fault that later gives scores of zero."""

import pytest
import spacy

from formats import JSONL, write_lines
from spacy_docre.doc.records import set_relation_data
from spacy_docre.readers.jsonl import read_jsonl
from spacy_docre.readers.statistics import count_documents

NLP = spacy.blank("en")


@pytest.fixture
def count(tmp_path):
    def run(*records):
        write_lines(tmp_path / "in.jsonl", list(records))
        return count_documents(read_jsonl(tmp_path / "in.jsonl", nlp=NLP, strict=True))

    return run


def record(**changes):
    return {key: value for key, value in {**JSONL, **changes}.items() if value is not ...}


def relation(head, label, tail, **more):
    return {"head": head, "label": label, "tail": tail, **more}


THREE = [*JSONL["entities"], {"label": "PER", "mentions": [[22, 26]]}]


def test_figures(count):
    """Three entities, six ordered pairs; two labels on one pair are two facts. One entity is mentioned in both
    sentences, another in the second only."""
    relations = [
        relation(0, "residence", 1, sentences=[0]),
        relation(0, "birthplace", 1),
        relation(1, "inhabitant", 2),
    ]
    figures = count(record(entities=THREE, relations=relations), record(id="b", text=JSONL["text"] + "!")).to_dict()
    assert figures == {
        "documents": 2,
        "sentences": 4,
        "tokens": 11 + 12,
        "entities": 5,
        "mentions": 6,
        "mentions_per_entity": 7 / 5,
        "multi_mention_entities": 2 / 5,
        "documents_with_relations": 2,
        "facts": 4,
        "facts_per_document": 2.0,
        "pairs": 8,
        "pairs_without_relation": 5 / 8,
        "facts_with_evidence": 2 / 4,
        "facts_within_sentence": 3 / 4,
        "types": {"PER": 3, "LOC": 2},
        "labels": {"residence": 2, "birthplace": 1, "inhabitant": 1},
    }


def test_nothing_to_share(count):
    figures = count({"text": "Nothing."}).to_dict()
    assert figures["documents"] == 1 and figures["facts"] == 0
    assert {key for key, value in figures.items() if value is None} == {
        "mentions_per_entity",
        "multi_mention_entities",
        "facts_per_document",
        "pairs_without_relation",
        "facts_with_evidence",
        "facts_within_sentence",
    }


def test_a_good_corpus_has_no_warnings(count):
    good = count(record(), record(id="b", text=JSONL["text"] + "!"))
    assert good.warnings() == []
    assert good.warnings(count(record(text=JSONL["text"] + "?"))) == []


GOOD = record(id="good", text=JSONL["text"] + "!", relations=[relation(0, "common", 1), relation(1, "common", 0)])
UNTYPED = [{"mentions": entity["mentions"]} for entity in JSONL["entities"]]
CASES = [
    ([record(entities=[], relations=[])], "No document has entities"),
    ([GOOD, record(relations=...)], "1 of 2 documents have no annotated relations: they train all but relations"),
    ([GOOD, record(sents=..., relations=[])], "1 of 2 documents have no annotated sents"),
    ([GOOD, record(entities=..., relations=...)], "1 of 2 documents have no annotated mentions"),
    ([GOOD, record(entities=UNTYPED)], "2 of 4 entities have no type"),
    ([GOOD, record(entities=UNTYPED)], "1 of 2 documents have no annotated types"),
    ([GOOD, record(entities=JSONL["entities"][:1], relations=[])], "fewer than two entities"),
    ([GOOD, record(sents=[[0, 5], [5, 40]], relations=[])], "1 mentions run over the end of a sentence"),
    ([GOOD, record(relations=[relation(0, "rare", 1)])], "1 relations have one example only, too few to learn: 'rare'"),
    ([GOOD, record(text=GOOD["text"].upper())], "1 documents have the text of an earlier one: 'a1'"),
]


@pytest.mark.parametrize("records,expected", CASES, ids=[text for _, text in CASES])
def test_warnings(count, records, expected):
    """The good document alone gives none of the warnings."""
    assert count(GOOD).warnings() == []
    assert any(expected in warning for warning in count(*records).warnings())


def test_no_relation_at_all(count):
    assert any("all scores of relations will be zero" in warning for warning in count(record(relations=[])).warnings())
    assert not any("zero" in warning for warning in count(record(relations=...)).warnings())


def test_relations_of_entities_that_are_not_there(tmp_path):
    write_lines(tmp_path / "in.jsonl", [record()])
    [doc] = read_jsonl(tmp_path / "in.jsonl", nlp=NLP)
    set_relation_data(doc, [relation(0, "in", 7), relation(1, "in", 1)])
    found = count_documents([doc])
    assert found.facts == 0 and any("2 relations do not join two different" in text for text in found.warnings())


def test_overlap_with_another_corpus(count):
    """Texts that differ only in spaces or case are the same text."""
    dev = count(record(relations=[relation(0, "new", 1)]), record(id="b", text=JSONL["text"] + " More."))
    train = count(record(id="c", text=JSONL["text"].upper()))
    warnings = dev.warnings(train)
    assert any("1 texts are in both corpora: 'a1'" in text for text in warnings)
    assert any(
        "1 relations are not in the other corpus, and can't be learned there: 'new'" in text for text in warnings
    )
