"""`convert`: formats by ending, the summary, and one-line errors."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from spacy_docre.cli import app
from spacy_docre.writers import corpus
from toy import read_docs

RUNNER = CliRunner()


def mention(start, end, label):
    return {"name": "", "sent_id": 0, "pos": [start, end], "type": label}


def document(title, **changes):
    entities = [[mention(0, 1, "PER"), mention(0, 0 + 1, "PER")], [mention(3, 4, "LOC")]]
    labels = [{"h": 0, "t": 1, "r": "P551", "evidence": [0]}]
    sents = [["Ada", "lived", "in", "Oslo", "."]]
    return {"title": title, "sents": sents, "vertexSet": entities, "labels": labels, **changes}


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.json"
    path.write_text(json.dumps([document(str(i)) for i in range(5)]), encoding="utf8")
    (tmp_path / "rel_info.json").write_text('{"P551": "residence"}', encoding="utf8")
    return path


def run(*args):
    return RUNNER.invoke(app, ["convert", *map(str, args)])


def only_line(stderr):
    """Besides the progress, which is shown where the machine is slow."""
    [line] = [line for line in stderr.replace("\r", "\n").splitlines() if line.strip() and " docs" not in line]
    return line


def test_docred_to_spacy(source, tmp_path):
    out = tmp_path / "new" / "out.spacy"
    result = run("docred", source, out, "--rel-info", tmp_path / "rel_info.json")
    assert result.exit_code == 0, result.output
    docs = read_docs(out)
    assert [str(relation) for relation in docs[4]._.relations] == ["Ada (PER) --residence--> Oslo (LOC) [1.00]"]
    rows = {text: n for n, text in (line.split(None, 1) for line in result.stdout.splitlines())}
    assert rows == {
        "documents": "5",
        "entities": "10",
        "mentions": "10",
        "relations": "5",
        "mentions annotated twice in one entity (kept once)": "5",
    }
    assert [path.name for path in out.parent.iterdir()] == ["out.spacy"]


def test_docred_to_jsonl_to_spacy(source, tmp_path):
    assert run("docred", source, tmp_path / "a.jsonl", "--limit", 2).exit_code == 0
    lines = (tmp_path / "a.jsonl").read_text(encoding="utf8").splitlines()
    assert len(lines) == 2 and json.loads(lines[0])["text"] == "Ada lived in Oslo."
    assert run("jsonl", tmp_path / "a.jsonl", tmp_path / "b.spacy", "--strict").exit_code == 0
    assert [relation.label for doc in read_docs(tmp_path / "b.spacy") for relation in doc._.relations] == [
        "P551",
        "P551",
    ]
    assert run("jsonl", tmp_path / "a.jsonl", tmp_path / "b.jsonl").exit_code == 0
    assert (tmp_path / "b.jsonl").read_text(encoding="utf8").splitlines() == lines


def test_shards(source, tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "SHARD_SIZE", 2)
    assert run("docred", source, tmp_path / "out").exit_code == 0
    shards = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in shards] == ["part-00000.spacy", "part-00001.spacy", "part-00002.spacy"]
    assert [doc._.docre_title for path in shards for doc in read_docs(path)] == list("01234")


def test_a_cut_off_file_leaves_no_shards(source, tmp_path, monkeypatch):
    """Neither new ones that look whole, nor a mixture with those of an earlier run."""
    monkeypatch.setattr(corpus, "SHARD_SIZE", 2)
    assert run("docred", source, tmp_path / "out").exit_code == 0
    whole = source.read_bytes()
    source.write_bytes(whole[:-100])
    for out in (tmp_path / "out", tmp_path / "new"):
        result = run("docred", source, out)
        assert result.exit_code == 1 and "R123" in result.stderr and "--limit 4" in result.stderr
    assert len(list((tmp_path / "out").iterdir())) == 3 and not (tmp_path / "new").exists()
    assert run("docred", source, tmp_path / "out", "--limit", 4).exit_code == 0
    assert len(list((tmp_path / "out").iterdir())) == 2
    assert not list(tmp_path.glob(".*"))


def test_unannotated_relations_are_named(source, tmp_path):
    source.write_text(json.dumps([document("a", labels=None)]), encoding="utf8")
    assert "documents without annotated relations" in run("docred", source, tmp_path / "o.spacy").stdout


def test_faults_are_shown_and_fatal_with_strict(source, tmp_path):
    source.write_text(json.dumps([document("a"), document("b", sents=[[]])]), encoding="utf8")
    out = tmp_path / "out.spacy"
    result = run("docred", source, out)
    assert result.exit_code == 0 and "documents that could not be used (left out)" in result.stdout
    assert "in.json: document 1 ('b')" in result.stderr
    out.unlink()
    for target in (out, tmp_path / "out.jsonl"):
        result = run("docred", source, target, "--strict")
        assert result.exit_code == 1 and "R111" in only_line(result.stderr)
        assert not target.exists() and not list(tmp_path.glob(".*partial"))


@pytest.mark.parametrize(
    "args,code",
    [
        (["docred", "none.json", "o.spacy"], "R104"),
        (["docred", "in.json", "o.conll"], "R118"),
        (["docred", "in.json", "o.spacy", "--rel-info", "none.json"], "R104"),
        (["docred", "in.json", "o.spacy", "--rel-info", "in.json"], "R114"),
        (["docred", "bad.json", "o.spacy"], "R121"),
        (["dwie", "none", "o.spacy"], "R125"),
        (["dwie", ".", "o.spacy", "--part", "valid"], "R206"),
        (["dwie", ".", "o.spacy", "--part", "dev"], "R124"),
        (["pubtator", "in.json", "o.spacy"], "R119"),
        (["docred", "empty.json", "o.spacy"], "R119"),
        (["jsonl", "none.jsonl", "o.spacy"], "R104"),
        (["jsonl", "bad.json", "o.spacy"], "R119"),
        (["jsonl", "in.json", "in.json/o.spacy"], "in.json"),
    ],
)
def test_errors_are_one_line(source, tmp_path, monkeypatch, args, code):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.json").write_text("{\n\n", encoding="utf8")
    (tmp_path / "empty.json").write_text("[]", encoding="utf8")
    result = run(*args)
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    assert code in only_line(result.stderr)
    assert not (tmp_path / "o.spacy").exists()


@pytest.mark.parametrize("command", ["docred", "dwie", "jsonl", "pubtator"])
def test_help_has_an_example(command):
    result = run(command, "--help")
    assert result.exit_code == 0 and f"python -m spacy_docre convert {command}" in " ".join(result.stdout.split())


def test_as_a_module():
    shown = subprocess.run([sys.executable, "-m", "spacy_docre", "convert"], capture_output=True, text=True)
    assert "docred" in shown.stdout + shown.stderr
