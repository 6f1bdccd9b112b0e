"""`convert folder`: known layouts, joined training data, relation labels."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spacy_docre.cli import app
from spacy_docre.doc.records import has_relations
from toy import read_docs

ROOT = Path(__file__).resolve().parents[2]


def run(*args):
    return CliRunner().invoke(app, ["convert", "folder", *map(str, args)])


def document(title, **changes):
    entities = [[{"name": "", "sent_id": 0, "pos": [i, i + 1], "type": "PER"}] for i in (0, 3)]
    labels = [{"h": 0, "t": 1, "r": "P551", "evidence": [0]}]
    return {
        "title": title,
        "sents": [[title, "lived", "in", "Oslo"]],
        "vertexSet": entities,
        "labels": labels,
        **changes,
    }


@pytest.fixture
def redocred(tmp_path):
    unlabelled = [document("Eve"), document("Ada")]
    for each in unlabelled:
        del each["labels"]
    files = {
        "redocred/train.json": [document("Ada"), document("Bo")],
        "redocred/dev.json": [document("Cy")],
        "docred/entities_only.json": unlabelled,
        "docred/rel_info.json": {"P551": "residence", "P19": "place of birth"},
    }
    for name, content in files.items():
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf8")
    return tmp_path / "data"


def test_sample_corpus(tmp_path):
    done = run(ROOT / "assets", tmp_path)
    assert done.exit_code == 0, done.output
    assert (len(read_docs(tmp_path / "train.spacy")), len(read_docs(tmp_path / "dev.spacy"))) == (24, 10)
    labels = json.loads((tmp_path / "relation_labels.json").read_text())
    assert len(labels) == 16 and labels["country"] == "P17"


def test_redocred_layout(redocred, tmp_path):
    done = run(redocred, tmp_path / "corpus")
    assert done.exit_code == 0, done.output
    train = read_docs(tmp_path / "corpus" / "train.spacy")
    # Ada is in both files: the annotated document, which comes first, counts.
    assert [(doc[0].text, has_relations(doc)) for doc in train] == [("Ada", True), ("Bo", True), ("Eve", False)]
    labels = json.loads((tmp_path / "corpus" / "relation_labels.json").read_text())
    assert list(labels.items()) == [("residence", "P551"), ("place of birth", "P19")]
    (redocred / "docred" / "entities_only.json").unlink()
    assert run(redocred, tmp_path / "corpus").exit_code == 0
    assert len(read_docs(tmp_path / "corpus" / "train.spacy")) == 2


def test_what_is_wrong_is_said_in_a_line(redocred, tmp_path):
    for folder, code in ((tmp_path / "none", "R104"), (tmp_path, "R157")):
        done = run(folder, tmp_path / "out")
        assert done.exit_code == 1 and code in done.output and "Traceback" not in done.output
    (redocred / "docred" / "rel_info.json").write_text('{"P551": "residence", "P19": "residence"}')
    done = run(redocred, tmp_path / "out")
    assert done.exit_code == 1 and "R156" in done.output
