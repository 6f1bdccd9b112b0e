"""`relabel`: relations of one corpus on the documents of another."""

import json

import pytest
from typer.testing import CliRunner

from spacy_docre.cli import app
from spacy_docre.doc.layers import get_clusters, get_types
from spacy_docre.doc.notes import TITLE_ATTR, get_title
from spacy_docre.doc.records import get_relation_data
from toy import ACME1, ACME2, ANN, BOB, ENTITIES, ROME1, SHE, WORDS, make_doc, read_docs, write_docs


def titled(title, doc):
    doc._.set(TITLE_ATTR, title)
    return doc


def run(*args):
    return CliRunner().invoke(app, ["relabel", *map(str, args)])


def triples(doc):
    records = get_relation_data(doc)
    return None if records is None else [(r["head"], r["label"], r["tail"]) for r in records]


def count(result, text):
    return next(int(line.split()[0]) for line in result.stdout.splitlines() if text in line)


def test_relations_come_from_the_original(tmp_path):
    """Entities of the original in another order, one with a mention less, one unknown, and two that are one here."""
    entities = [
        ("PER", [BOB]),
        ("LOC", [ROME1]),
        ("PER", [ANN, SHE]),
        ("ORG", [ACME1]),
        ("ORG", [ACME2]),
        ("X", [(2, 3)]),
    ]
    relations = [(0, "residence", 1), (2, "employer", 3), (2, "employer", 4), (3, "same", 4), (2, "does", 5)]
    clean = write_docs(
        tmp_path / "clean.spacy", titled("one", make_doc()), titled("two", make_doc()), titled("four", make_doc())
    )
    original = write_docs(
        tmp_path / "original.spacy",
        titled("three", make_doc()),
        titled("one", make_doc(entities=entities, relations=relations)),
        titled("four", make_doc([*WORDS[:-1], "!"])),
    )
    result = run(clean, original, tmp_path / "out.spacy")
    assert result.exit_code == 0, result.output
    (doc,) = read_docs(tmp_path / "out.spacy")
    # Acme is one entity here, so it is employer once and not the same as itself; "works" is none.
    assert get_title(doc) == "one" and triples(doc) == [(3, "residence", 2), (0, "employer", 1)]
    assert get_clusters(doc) == [list(spans) for _, spans in ENTITIES] and get_types(doc) == [t for t, _ in ENTITIES]
    assert count(result, "share some mentions") == 3 and count(result, "share no mention") == 1
    assert count(result, "relations of ORIGINAL") == 2
    for text, title in (("only in CLEAN", "two"), ("only in ORIGINAL", "three"), ("with another text", "four")):
        assert count(result, text) == 1 and f"{text}: {title}\n" in result.stderr


def test_none_annotated_is_not_no_relations(tmp_path):
    clean = write_docs(tmp_path / "clean.spacy", titled("one", make_doc()), titled("two", make_doc()))
    original = write_docs(
        tmp_path / "original.spacy", titled("one", make_doc(relations=None)), titled("two", make_doc(relations=[]))
    )
    run(clean, original, tmp_path / "out.spacy")
    assert list(map(triples, read_docs(tmp_path / "out.spacy"))) == [None, []]


def test_files_in_docreds_format(tmp_path):
    """Both files as published: the evidence names sentences, the ids get names."""
    names = ["Ann", "Bob"]
    vertices = [[{"name": name, "sent_id": i, "pos": [0, 1], "type": "PER"}] for i, name in enumerate(names)]
    sents = [[name, "sings", "."] for name in names]
    label = {"h": 0, "t": 1, "r": "P26", "evidence": [1]}
    for name, labels, order in (("clean", [], 1), ("original", [label], -1)):
        labels = [{**one, "h": 1, "t": 0} for one in labels] if order == -1 else labels
        record = {"title": "one", "sents": sents, "vertexSet": vertices[::order], "labels": labels}
        (tmp_path / f"{name}.json").write_text(json.dumps([record]))
    (tmp_path / "names.json").write_text('{"P26": "spouse"}')
    paths = [tmp_path / name for name in ("clean.json", "original.json", "out.jsonl")]
    result = run(*paths, "--rel-info", tmp_path / "names.json")
    assert result.exit_code == 0, result.output
    (relation,) = json.loads(paths[2].read_text())["relations"]
    found = {key: relation[key] for key in ("head", "label", "kb_id", "tail", "sentences")}
    assert found == {"head": 0, "label": "spouse", "kb_id": "P26", "tail": 1, "sentences": [1]}


@pytest.mark.parametrize("out, code", [("clean.spacy", "R122"), ("original.spacy", "R122"), ("none.txt", "R118")])
def test_errors_are_one_line(tmp_path, out, code):
    paths = [write_docs(tmp_path / f"{name}.spacy", titled("one", make_doc())) for name in ("clean", "original")]
    before = [path.read_bytes() for path in paths]
    result = run(*paths, tmp_path / out)
    assert result.exit_code == 1 and code in result.stderr and [path.read_bytes() for path in paths] == before
