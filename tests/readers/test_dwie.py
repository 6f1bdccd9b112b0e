"""DWIE: types from tags, parts, faults, and missing texts."""

import os
from pathlib import Path

import pytest
import spacy

from formats import DWIE, write_files
from spacy_docre.doc.layers import get_clusters, get_types
from spacy_docre.readers.dwie import read_dwie
from spacy_docre.readers.faults import Faults

NLP = spacy.blank("en")
DATA = os.environ.get("DOCRE_DATA")


@pytest.fixture
def read(tmp_path):
    def run(*documents, **options):
        write_files(tmp_path / "annos", list(documents))
        faults = Faults()
        return list(read_dwie(tmp_path / "annos", nlp=NLP, faults=faults, **options)), faults

    return run


def counts(faults):
    return {name: n for name, n in vars(faults).items() if name != "messages" and n}


def with_tags(tags):
    return {**DWIE, "concepts": [{"concept": 0, "tags": tags}, DWIE["concepts"][1]]}


def test_everything_arrives(read):
    [doc], faults = read(DWIE, strict=True)
    assert not faults and doc._.docre_title == "DW_1"
    assert [str(relation) for relation in doc._.relations] == [
        "Ada 🌍 Berg (person) --based_in--> Oslo (location) [1.00]"
    ]


@pytest.mark.parametrize(
    "tags,expected,faults",
    [
        (["type::entity", "type::head_of_state", "type::person"], "person", {}),
        (["type::time", "type::value"], "time", {}),
        (["type::value"], "value", {}),
        (["type::location", "type::organization"], "organization", {"mixed_types": 1}),
        (["type::entity", "type::none"], "none", {}),
        (["type::entity"], "entity", {}),
        (["slot::keyword"], "", {"untyped_entities": 1}),
        ([], "", {"untyped_entities": 1}),
    ],
)
def test_types(read, tags, expected, faults):
    [doc], found = read(with_tags(tags), strict=True)
    assert get_types(doc)[0] == expected and counts(found) == faults


@pytest.mark.parametrize(
    "changes,faults",
    [
        (
            {"relations": [{"s": 0, "p": "in", "o": 5}], "concepts": [*DWIE["concepts"], {"concept": 5, "tags": []}]},
            {"lost_entities": 1, "lost_relations": 1},
        ),
        ({"relations": [{"s": 0, "p": "in", "o": 0}]}, {"self_relations": 1}),
        ({"mentions": [*DWIE["mentions"], {"begin": 1, "end": 4, "text": "Ada", "concept": 0}]}, {"wrong_offsets": 1}),
    ],
)
def test_what_is_dropped(read, changes, faults):
    _, found = read({**DWIE, **changes})
    assert counts(found) == faults and "0.json" in found.messages[0] and "DW_1" in found.messages[0]
    with pytest.raises(ValueError, match="R116"):
        read({**DWIE, **changes}, strict=True)


@pytest.mark.parametrize(
    "changes,problem",
    [
        ({"content": None}, "annos_with_content"),
        ({"mentions": None}, "mentions is not a list"),
        ({"mentions": [{"begin": 0, "end": 2, "text": "Ad", "concept": 7}]}, "concept that is not there"),
        ({"mentions": [{"begin": 2, "end": 2, "text": "", "concept": 0}]}, "not a range"),
        ({"concepts": [DWIE["concepts"][0]] * 2}, "two concepts"),
        ({"relations": [{"s": 0, "p": "in", "o": 9}]}, "not both concepts"),
        ({"relations": [{"s": 0, "o": 3}]}, "no label"),
    ],
)
def test_malformed_files_are_named(read, changes, problem):
    docs, faults = read({**DWIE, **changes}, DWIE)
    assert len(docs) == 1 and faults.skipped_documents == 1
    assert problem in faults.messages[0] and "0.json" in faults.messages[0]


def test_texts_can_be_laid_out(read):
    """Overlapping mentions agree; an existing text is kept."""
    mentions = [
        {"begin": 3, "end": 11, "text": "New York", "concept": 0},
        {"begin": 7, "end": 11, "text": "York", "concept": 3},
    ]
    [doc, whole], faults = read({**DWIE, "content": None, "mentions": mentions}, {**DWIE, "id": "b"}, lay_out=True)
    assert doc.text == "   New York" and whole.text == DWIE["content"]
    assert [span.text for span in doc.spans["mentions"]] == ["New York", "York"]
    assert counts(faults) == {"overlapping_mentions": 1}


def test_parts(read, tmp_path):
    """train and dev divide the documents with the tag train; documents without mentions are in neither."""
    documents = [{**DWIE, "id": f"t{i}"} for i in range(6)]
    documents += [{**DWIE, "id": "x", "tags": ["all", "test"]}, {**DWIE, "id": "e", "mentions": [], "relations": []}]
    parts = {part: {doc._.docre_title for doc in read(*documents, part=part, n_dev=2)[0]} for part in PARTS}
    assert len(parts["dev"]) == 2 and len(parts["train"]) == 4 and not parts["dev"] & parts["train"]
    assert parts["test"] == {"x"} and len(parts["all"]) == 8
    assert counts(read(*documents, part="train", n_dev=2)[1]) == {"left_out": 1}
    draws = {frozenset(doc._.docre_title for doc in read(*documents, part="dev", n_dev=2, seed=s)[0]) for s in range(5)}
    assert len(draws) > 1
    named, _ = read(*documents, part="dev", dev_titles={"t5"})
    assert [doc._.docre_title for doc in named] == ["t5"]


PARTS = ("all", "train", "dev", "test")


@pytest.mark.skipif(not (DATA and (Path(DATA) / "dwie" / "annos").is_dir()), reason="no dwie/annos in DOCRE_DATA")
def test_real_data():
    """All 802 annotation files: the faults equal an independent count, and no mention is lost."""
    faults = Faults()
    docs = list(read_dwie(Path(DATA) / "dwie" / "annos", nlp=NLP, lay_out=True, faults=faults))
    assert len(docs) == 802 and sum(len(get_clusters(doc)) for doc in docs) == 23_130 - 1_228
    assert sum(len(doc.spans["mentions"]) for doc in docs) == 43_373
    assert counts(faults) == {
        "without_mentions": 3,
        "without_relations": 14,
        "overlapping_mentions": 45,
        "mixed_types": 42,
        "untyped_entities": 158,
        "duplicate_relations": 27,
        "self_relations": 7,
        "lost_relations": 2256,
        "lost_entities": 1228,
    }
