"""`stats`: the tables, the file of figures, and one-line errors."""

import json

from typer.testing import CliRunner

from formats import JSONL, write_lines
from spacy_docre.cli import app


def run(*args):
    return CliRunner().invoke(app, [*map(str, args)])


def test_figures_and_warnings(tmp_path):
    write_lines(tmp_path / "in.jsonl", [JSONL])
    assert run("convert", "jsonl", tmp_path / "in.jsonl", tmp_path / "in.spacy").exit_code == 0
    for corpus in ("in.jsonl", "in.spacy"):
        result = run(
            "stats", tmp_path / corpus, "--against", tmp_path / "in.spacy", "--json", tmp_path / "a" / "o.json"
        )
        assert result.exit_code == 0, result.output
        assert "| PER " in result.stdout and "| residence " in result.stdout
        assert "1 texts are in both corpora: 'a1'" in result.stdout
        rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in result.stdout.splitlines()]
        assert ["Pairs without relation (NA)", "50.00 %"] in rows and ["Mentions per entity", "1.50"] in rows
        written = json.loads((tmp_path / "a" / "o.json").read_text(encoding="utf8"))
        assert written["facts"] == 1 and len(written["warnings"]) == 2


def test_a_missing_corpus_is_one_line(tmp_path):
    for name in ("none.spacy", "none.jsonl"):
        result = run("stats", tmp_path / name)
        assert result.exit_code == 1 and "R104" in result.stderr and result.stderr.count("\n") == 1


def test_what_is_wrong_with_lines_is_named(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"text": "Ada"}\nbroken\n{"text": "Ole", "relation": []}\n', encoding="utf8")
    result = run("stats", tmp_path / "in.jsonl")
    assert result.exit_code == 0 and "| documents that could not be used (left out)" in result.stdout
    assert "line 2" in result.stderr and "line 3" in result.stderr and "'relation'" in result.stderr


def test_narrow_columns_are_markdown(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"text": "Ada"}\n', encoding="utf8")
    rule = run("stats", tmp_path / "in.jsonl").stdout.splitlines()[1]
    assert all("--" in cell for cell in rule.split("|")[1:-1])
