"""`extract`: what goes in, what comes out, what fails, and what outlives a killed process."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import spacy
from typer.testing import CliRunner

from spacy_docre.cli import app
from spacy_docre.extraction import identify
from spacy_docre.readers.jsonl import read_jsonl

TEXT = "Ada Berg met Ole Dahl in Oslo. Number {} was there, too. Berg works for Norlys."
TEXTS = {f"{i}.txt": TEXT.format(i) for i in range(9)}

COMPONENT = """
import os, signal
from spacy.language import Language

@Language.component("test_extract_trap")
def trap(doc):
    if "FAIL" in doc.text:
        raise ValueError("this document fails")
    if "KILL" in doc.text and os.environ.get("TEST_EXTRACT_KILL"):
        os.kill(os.getpid(), signal.SIGKILL)
    return doc
"""
exec(COMPONENT)


@pytest.fixture(scope="module")
def model(tiny_model, tmp_path_factory):
    """An untrained pipeline that finds relations everywhere, and one component that can fail."""
    tiny_nlp = spacy.load(tiny_model)
    tiny_nlp.add_pipe("test_extract_trap", before="docre_transformer")
    for name, threshold in {"docre_mentions": 0.0, "docre_clusters": 1.0, "docre_relations": 0.0}.items():
        tiny_nlp.get_pipe(name).cfg["threshold"] = threshold
    tiny_nlp.get_pipe("docre_mentions").cfg["max_mentions"] = 0.2
    folder = tmp_path_factory.mktemp("extract") / "model"
    tiny_nlp.to_disk(folder)
    return str(folder)


@pytest.fixture
def folder(tmp_path):
    for name, text in TEXTS.items():
        path = tmp_path / "texts" / ("deep" if name == "3.txt" else "") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf8")
    return tmp_path / "texts"


def extract(*args, stdin=None):
    return CliRunner().invoke(app, ["extract", *map(str, args)], input=stdin)


def read(path):
    return [json.loads(line) for line in Path(path).read_text(encoding="utf8").splitlines()]


def test_a_folder_to_jsonl_as_the_pipeline_says(model, folder, tmp_path):
    out = tmp_path / "new" / "out.jsonl"
    out.parent.mkdir()
    done = extract(folder, out, "--model", model)
    assert done.exit_code == 0, done.output
    assert "9 documents written" in done.stderr
    records = read(out)
    assert [r["id"] for r in records] == [*(f"{i}.txt" for i in (0, 1, 2, 4, 5, 6, 7, 8)), "deep/3.txt"]
    assert sorted(p.name for p in out.parent.iterdir()) == ["out.jsonl", "out.jsonl.origin"]
    nlp = spacy.load(model)
    for record, doc in zip(records, read_jsonl(out, nlp=nlp)):
        again = nlp(record["text"])
        assert [str(r) for r in doc._.relations] == [str(r) for r in again._.relations] != []


@pytest.mark.parametrize("ending", ["csv", "ttl", "nt", "graphml"])
def test_other_formats(model, folder, tmp_path, ending):
    out = tmp_path / f"out.{ending}"
    assert extract(folder, out, "--model", model).exit_code == 0
    assert "Berg" in out.read_text(encoding="utf8")


def test_min_score(model, folder, tmp_path):
    def scores(least):
        assert extract(folder, tmp_path / "o.jsonl", "--model", model, "--min-score", least, "--force").exit_code == 0
        return sorted(r["score"] for record in read(tmp_path / "o.jsonl") for r in record["relations"])

    found = scores(0)
    middle = found[len(found) // 2]
    assert scores(middle) == [score for score in found if score >= middle] != found


JSONL = '\ufeff{"id": 7, "text": "Ada Berg met Ole Dahl."}\n\nbroken\n{"text": 5}\n{"text": "Ole Dahl"}\n[1]\n'


@pytest.mark.parametrize("through", ["file", "stdin"])
def test_jsonl_in(model, tmp_path, through):
    (tmp_path / "in.jsonl").write_text(JSONL, encoding="utf8")
    place, stdin = (tmp_path / "in.jsonl", None) if through == "file" else ("-", JSONL.encode())
    done = extract(place, "-", "--model", model, stdin=stdin)
    name = "in.jsonl" if through == "file" else "stdin"
    assert done.exit_code == 0, done.output
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(r["id"], r["text"]) for r in records] == [("7", "Ada Berg met Ole Dahl."), (f"{name}:5", "Ole Dahl")]
    assert "3 documents failed" in done.stderr
    assert f"{name}:3: it is not JSON" in done.stderr and f"{name}:4: the key text" in done.stderr


@pytest.mark.parametrize("lines,expected", [(False, ["stdin"]), (True, ["stdin:1", "stdin:3"])])
def test_text_from_stdin(model, lines, expected):
    done = extract("-", "-", "--model", model, *(["--lines"] if lines else []), stdin=b"Ada Berg\r\n\nOle Dahl")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [r["id"] for r in records] == expected
    assert [r["text"] for r in records] == (["Ada Berg", "Ole Dahl"] if lines else ["Ada Berg\r\n\nOle Dahl"])


@pytest.mark.parametrize("n_process", [1, 2])
def test_a_bad_document_stops_nothing(model, folder, tmp_path, n_process):
    (folder / "2.txt").write_text("This will FAIL.", encoding="utf8")
    (folder / "5.txt").write_bytes(b"\xff\xfe broken")
    (folder / "6.txt").write_text("", encoding="utf8")
    (tmp_path / "trap.py").write_text(COMPONENT, encoding="utf8")
    args = ["--model", model, "--n-process", n_process, "--batch-size", 3]
    done = extract(folder, tmp_path / "out.jsonl", *args)
    assert done.exit_code == 0, done.output
    assert len(read(tmp_path / "out.jsonl")) == 7
    assert "2 documents failed" in done.stderr and "9/9" in done.stderr
    assert "2.txt: this document fails" in done.stderr and "5.txt: 'utf-8' codec" in done.stderr


def test_a_text_above_the_limit_is_listed(model, tmp_path):
    too_long = "x" * (spacy.load(model).max_length + 1)
    (tmp_path / "in.txt").write_text(f"short\n{too_long}", encoding="utf8")
    done = extract(tmp_path / "in.txt", tmp_path / "out.jsonl", "--model", model, "--lines")
    assert done.exit_code == 0 and "in.txt:2: [R172]" in done.stderr and len(read(tmp_path / "out.jsonl")) == 1


def test_nothing_could_be_read(model, tmp_path):
    (tmp_path / "in.jsonl").write_text("broken", encoding="utf8")
    done = extract(tmp_path / "in.jsonl", tmp_path / "out.csv", "--model", model)
    assert done.exit_code == 1 and "1 document failed" in done.stderr


def test_killed_and_resumed(model, folder, tmp_path):
    """Process killed by SIGKILL: no finished document is lost, none is there twice, half a line is done again."""
    (tmp_path / "trap.py").write_text(COMPONENT, encoding="utf8")
    (folder / "5.txt").write_text("Ada Berg. KILL", encoding="utf8")
    out, journal = tmp_path / "out.jsonl", tmp_path / "out.jsonl.unfinished"
    args = ["extract", str(folder), str(out), "--model", model, "--batch-size", "1"]
    command = [sys.executable, "-m", "spacy_docre", *args, "--code", str(tmp_path / "trap.py")]
    killed = subprocess.run(command, env={**os.environ, "TEST_EXTRACT_KILL": "1"}, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    done = read(journal)
    assert not out.exists() and 2 <= len(done) <= 6
    with journal.open("a", encoding="utf8") as file:
        file.write('{"id": "half a li')

    refused = CliRunner().invoke(app, args)
    assert refused.exit_code == 1 and "R170" in refused.stderr and journal.exists()
    resumed = CliRunner().invoke(app, [*args, "--resume"])
    assert resumed.exit_code == 0, resumed.output
    assert f"{len(done) - 1} documents done already" in resumed.stderr and not journal.exists()
    records = read(out)
    assert [r["id"] for r in records[: len(done) - 1]] == [r["id"] for r in done[1:]]
    whole = CliRunner().invoke(app, [*args[:2], str(tmp_path / "whole.jsonl"), *args[3:]])
    assert whole.exit_code == 0
    assert records == read(tmp_path / "whole.jsonl")
    again = CliRunner().invoke(app, [*args, "--resume"])
    assert again.exit_code == 0 and "Nothing to resume" in again.stderr


def begin(out, model, *done):
    """What a run that was killed leaves."""
    path = out.with_name(out.name + ".unfinished")
    records = [identify(spacy.load(model), "some input"), *done]
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf8")
    return path


def test_one_text_twice_is_two_documents(model, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"id": "a", "text": "Ada"}\n' * 3, encoding="utf8")
    begin(tmp_path / "out.jsonl", model, {"id": "a", "text": "Ada", "relations": []})
    done = extract(tmp_path / "in.jsonl", tmp_path / "out.jsonl", "--model", model, "--resume")
    assert done.exit_code == 0 and len(read(tmp_path / "out.jsonl")) == 3
    assert "1 document done already" in done.stderr


def make_other(model, tmp_path):
    """The same name and version, and another threshold."""
    nlp = spacy.load(model)
    nlp.get_pipe("docre_relations").cfg["threshold"] = 0.5
    nlp.to_disk(tmp_path / "other")
    return tmp_path / "other"


def test_an_unfinished_file_of_another_pipeline(model, folder, tmp_path):
    out = tmp_path / "out.csv"
    journal = begin(out, model)
    done = extract(folder, out, "--model", make_other(model, tmp_path), "--resume")
    assert done.exit_code == 1 and "R174" in done.stderr and "other weights or settings" in done.stderr
    journal.write_text('{"pipeline": "en_other 1.0"}\n', encoding="utf8")
    done = extract(folder, out, "--model", model, "--resume")
    assert done.exit_code == 1 and "R174" in done.stderr and "en_other 1.0" in done.stderr
    assert extract(folder, out, "--model", model, "--force").exit_code == 0 and not journal.exists()


@pytest.mark.parametrize("through", ["file", "stdin"])
def test_an_unfinished_file_of_another_input(model, tmp_path, through):
    """Refused if a document in it is not in the input, before any work; documents that were added are no fault."""
    out = tmp_path / "out.jsonl"
    journal = begin(
        out, model, {"id": "a", "text": "Ada", "relations": []}, {"id": "b", "text": "Ole", "relations": []}
    )
    before = journal.read_bytes()

    def resume(*texts):
        lines = "".join(json.dumps({"id": name, "text": text}) + "\n" for name, text in texts)
        (tmp_path / "in.jsonl").write_text(lines, encoding="utf8")
        place, stdin = (tmp_path / "in.jsonl", None) if through == "file" else ("-", lines.encode())
        return extract(place, out, "--model", model, "--resume", stdin=stdin)

    for texts, problem in ([("a", "Ada"), ("c", "Ida")], "1 of the 2"), ([("a", "Ole"), ("b", "Ada")], "2 of the 2"):
        done = resume(*texts)
        assert done.exit_code == 1 and "R174" in done.stderr and problem in done.stderr, done.stderr
        assert "--force" in done.stderr and journal.read_bytes() == before and not out.exists()
    done = resume(("c", "Ida"), ("b", "Ole"), ("a", "Ada"))
    assert done.exit_code == 0 and [r["id"] for r in read(out)] == ["a", "b", "c"]


def test_a_complete_file_is_not_lost(model, folder, tmp_path):
    out = tmp_path / "out.jsonl"
    args = [folder, out, "--model", model]
    out.write_text("mine", encoding="utf8")
    done = extract(*args)
    assert done.exit_code == 1 and "R176" in done.stderr and "--force" in done.stderr
    done = extract(*args, "--resume")
    assert done.exit_code == 1 and "R174" in done.stderr and "not known" in done.stderr
    assert out.read_text(encoding="utf8") == "mine"
    done = extract(*args, "--force", "--resume")
    assert done.exit_code == 1 and "R177" in done.stderr
    assert extract(*args, "--force").exit_code == 0 and len(read(out)) == 9

    whole = out.read_bytes()
    for changed in ([], ["--batch-size", 2]):
        done = extract(*args, "--resume", *changed)
        assert done.exit_code == 0 and "Nothing to resume" in done.stderr and "9 documents, 0 failed" in done.stderr
    done = extract(*args, "--resume", "--min-score", 0.5)
    assert done.exit_code == 1 and "min_score 0.0, not 0.5" in done.stderr
    done = extract(*args[:3], make_other(model, tmp_path), "--resume")
    assert done.exit_code == 1 and "other weights or settings" in done.stderr
    (folder / "9.txt").write_text("One more.", encoding="utf8")
    done = extract(*args, "--resume")
    assert done.exit_code == 1 and "made of other documents" in done.stderr
    assert out.read_bytes() == whole


def test_force_with_a_mistake_drops_nothing(model, folder, tmp_path):
    journal = begin(tmp_path / "out.csv", model)
    for source, name in ((folder, "no_such_model"), (tmp_path / "none.txt", model)):
        assert extract(source, tmp_path / "out.csv", "--model", name, "--force").exit_code == 1
        assert journal.exists()


def test_ids_that_no_file_can_hold(model, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"id": "\\ud800", "text": "Ada"}\n', encoding="utf8")
    assert extract(tmp_path / "in.jsonl", tmp_path / "out.jsonl", "--model", model).exit_code == 0
    assert [r["id"] for r in read(tmp_path / "out.jsonl")] == ["\\ud800"]


@pytest.mark.parametrize(
    "source,target,code",
    [
        ("in.pdf", "o.csv", "R171"),
        ("none.txt", "o.csv", "R104"),
        ("empty", "o.csv", "R171"),
        ("in.txt", "o.doc", "R175"),
        ("in.jsonl", "in.jsonl", "R122"),
        ("in.jsonl", "empty/../in.jsonl", "R122"),
        ("in.jsonl", "folder.csv", "R105"),
    ],
)
def test_paths_that_will_not_do(model, tmp_path, source, target, code):
    for name in ("empty", "folder.csv"):
        (tmp_path / name).mkdir()
    for name in ("in.pdf", "in.txt", "in.jsonl"):
        (tmp_path / name).write_text("{}", encoding="utf8")
    done = extract(tmp_path / source, tmp_path / target, "--model", model)
    assert done.exit_code == 1 and code in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_pipeline_without_relations(tmp_path):
    spacy.blank("en").to_disk(tmp_path / "model")
    (tmp_path / "in.txt").write_text("Ada", encoding="utf8")
    done = extract(tmp_path / "in.txt", tmp_path / "out.csv", "--model", tmp_path / "model")
    assert done.exit_code == 1 and "R173" in done.stderr
    assert not list(tmp_path.glob("out.csv*"))
