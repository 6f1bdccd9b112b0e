"""`settings`: the page is that of the code, and says what every setting is."""

import inspect
import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spacy_docre.cli import app
from spacy_docre.cli.docstrings import read_docstring
from spacy_docre.cli.settings import anchor, list_entries, show_value

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "settings.md"
REGENERATE = "python -m spacy_docre settings > docs/settings.md"
ENTRIES = list_entries()
SETTINGS = [(entry, setting) for entry in ENTRIES for setting in (*entry.settings, *entry.at_start)]


def run(*args):
    return CliRunner().invoke(app, ["settings", *args])


def load(entry):
    """The registered function, by the list in setup.py."""
    target = re.search(rf'"{re.escape(entry.name)} = (\S+):(\w+)"', (ROOT / "setup.py").read_text(encoding="utf8"))
    return getattr(sys.modules[target[1]], target[2])


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


def test_links_of_the_page():
    page = PAGE.read_text(encoding="utf8")
    links = re.findall(r"\[[^]]+\]\(#([^)]+)\)", page)
    headings = [anchor(heading) for heading in re.findall(r"^### (.+)$", page, flags=re.MULTILINE)]
    assert links == headings and len(set(headings)) == len(headings)


@pytest.mark.parametrize("entry,setting", SETTINGS, ids=[f"{entry.name}-{setting.name}" for entry, setting in SETTINGS])
def test_every_setting_is_described(entry, setting):
    assert setting.type and len(setting.text.split()) >= 2 and setting.text.endswith(".")


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_entry_is_described(entry):
    """In words of its own, and of no argument that is not there."""
    assert entry.doc.about or "RETURNS" in entry.doc.outcomes
    assert entry.doc.arguments.keys() == {setting.name for setting in entry.settings}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_types_are_those_of_the_signature(entry):
    """A docstring may leave the parameters of Model out, but names no other type."""
    function = load(entry)
    parameters = inspect.signature(function).parameters
    for setting in entry.settings:
        told = inspect.formatannotation(eval(setting.type, vars(sys.modules[function.__module__])))
        pattern = re.escape(told).replace(r"thinc\.model\.Model", r"thinc\.model\.Model(\[.*\])?")
        assert re.fullmatch(pattern, inspect.formatannotation(parameters[setting.name].annotation)), setting.name


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
    assert done.exit_code == 1 and "R179" in done.stderr and done.stderr.count("\n") == 1
    assert close in done.stderr and (name == "???" or "docre_mentions" not in done.stderr)


def test_new_entry_points_appear(tmp_path, monkeypatch):
    """What an installed distribution registers, in groups known and unknown; its command line is nothing to set."""
    (tmp_path / "acme_things.py").write_text(
        "def make_clean(level: int, *, marks: str = '|'):\n"
        '    """Clean up.\n\n    level (int): How much,\n        in percent.\n    marks (str): What goes.\n    """\n',
        encoding="utf8",
    )
    info = tmp_path / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n", encoding="utf8")
    groups = "[console_scripts]\nacme = acme_things:main\n[spacy_misc]\nacme.clean.v1 = acme_things:make_clean\n"
    (info / "entry_points.txt").write_text(groups, encoding="utf8")
    monkeypatch.syspath_prepend(tmp_path)
    (entry,) = list_entries("acme")
    assert (entry.group, entry.name, entry.doc.about) == ("spacy_misc", "acme.clean.v1", ("Clean up.",))
    assert [(s.name, s.type, s.text) for s in entry.settings] == [
        ("level", "int", "How much, in percent."),
        ("marks", "str", "What goes."),
    ]
    with pytest.raises(ValueError, match="R178"):
        list_entries("acme_that_is_not_there")


def test_docstrings():
    def function():
        """Do it (well): here.

        first, second (Dict[str, int]): Two of them,
            over two lines.

        Some words on it.
        They go on.
        RETURNS (Tuple[int, str]): What: comes (back).
        RAISES (ValueError): If not.
        """

    doc = read_docstring(function)
    assert doc.about == ("Do it (well): here.", "Some words on it. They go on.")
    assert doc.arguments == dict.fromkeys(["first", "second"], ("Dict[str, int]", "Two of them, over two lines."))
    assert doc.outcomes["RETURNS"] == ("Tuple[int, str]", "What: comes (back).") and "RAISES" in doc.outcomes
    assert read_docstring(lambda: None).about == ()


@pytest.mark.parametrize(
    "value,shown",
    [
        (None, "null"),
        (True, "true"),
        (["ents"], '["ents"]'),
        ({}, "{}"),
        ({"@architectures": "a.B.v1", "n": 1, "part": {"@losses": "c.D.v1"}}, "a.B.v1 (n = 1, part = c.D.v1)"),
    ],
)
def test_values_are_written_as_in_a_config(value, shown):
    assert show_value(value) == shown
