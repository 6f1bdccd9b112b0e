"""`settings`: the page is that of the code; one entry is a part of it."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spacy_docre.cli import app
from spacy_docre.reference.entries import list_entries

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "settings.md"
REGENERATE = "python -m spacy_docre settings > docs/settings.md"
ENTRIES = list_entries()


def run(*args):
    return CliRunner().invoke(app, ["settings", *args])


def test_page_is_that_of_the_code():
    done = run()
    assert done.exit_code == 0, done.output
    assert done.stdout == PAGE.read_text(encoding="utf8"), f"docs/settings.md is not up to date: {REGENERATE}"


def test_page_has_all_names_of_setup():
    listed = re.findall(r'"([\w.-]+) = spacy_docre\.(?!cli:)', (ROOT / "setup.py").read_text(encoding="utf8"))
    shown = [name for name in re.findall(r"^### (.+)$", PAGE.read_text(encoding="utf8"), flags=re.MULTILINE)]
    assert len(listed) > 30 and sorted(shown) == sorted(listed), (
        "pip install -e . where setup.py is newer; " + REGENERATE
    )


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_one_entry_is_a_part_of_the_page(entry):
    done = run(entry.name)
    assert done.exit_code == 0 and done.stdout.startswith(f"### {entry.name}\n")
    assert done.stdout in PAGE.read_text(encoding="utf8")


@pytest.mark.parametrize(
    "name,close", [("docre_relation", "docre_relations"), ("atlop", "spacy-docre.AtlopHead.v1"), ("???", "docre_types")]
)
def test_unknown_name(name, close):
    done = run(name)
    assert done.exit_code == 1 and "R180" in done.stderr and done.stderr.count("\n") == 1
    assert close in done.stderr and (name == "???" or "docre_mentions" not in done.stderr)
