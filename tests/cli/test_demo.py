"""`demo`: the tables, without a trained model."""

import re

import pytest
import spacy
from typer.testing import CliRunner

from spacy_docre.cli import app, demo
from spacy_docre.doc.layers import set_clusters, set_mentions


@pytest.fixture
def doc():
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    doc = nlp("Ada Berg lives in Oslo. Berg works for Norlys.")
    set_mentions(doc, [(0, 2), (4, 5), (6, 7), (9, 10)])
    set_clusters(doc, [[(0, 2), (6, 7)], [(4, 5)], [(9, 10)]], ["PER", "LOC", "ORG"])
    doc._.relations = [(0, "residence", 1)]
    return doc


def test_tables(doc):
    header, rule, *entities = [re.split(r"\s{2,}", line.strip()) for line in demo.entity_table(doc).splitlines()]
    assert header == ["entity", "type", "mentions", "also called"] and set("".join(rule)) == {"-"}
    assert entities == [["Ada Berg", "PER", "2", "Berg"], ["Oslo", "LOC", "1"], ["Norlys", "ORG", "1"]]
    header, rule, row = [re.split(r"\s{2,}", line.strip()) for line in demo.relation_table(doc).splitlines()]
    assert header == ["head", "type", "relation", "tail", "type", "score", "sentences"]
    assert row == ["Ada Berg", "PER", "residence", "Oslo", "LOC", "1.00"]


def test_nothing_found():
    doc = spacy.blank("en")("")
    assert demo.entity_table(doc) == "No entities found." and demo.relation_table(doc) == "No relations found."


def test_command(tiny_model):
    done = CliRunner().invoke(app, ["demo", "--model", str(tiny_model), "--text", "Ada lives in Oslo."])
    assert done.exit_code == 0 and done.output.startswith("Ada lives in Oslo.")
    missing = CliRunner().invoke(app, ["demo", "--model", "no_such_model"])
    assert missing.exit_code == 1 and "R155" in missing.output


@pytest.mark.parametrize("command", [["demo", "-m"], ["evaluate"], ["tune"], ["pack"]])
def test_missing_and_packed_models_are_told_apart(tmp_path, command):
    (tmp_path / "packed.zip").write_bytes(b"")
    rest = {"evaluate": ["dev.spacy"], "tune": ["dev.spacy"], "pack": ["out.zip"]}.get(command[0], [])
    for model, code in [("no_such_model", "R155"), (tmp_path / "packed.zip", "R158"), (tmp_path, "R155")]:
        done = CliRunner().invoke(app, [*command, str(model), *rest])
        assert done.exit_code == 1 and code in done.output, done.output
