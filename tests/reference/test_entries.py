"""Each entry of the reference is described, with the types of its signature."""

import inspect
import re
import sys
from pathlib import Path

import pytest

from spacy_docre.reference.entries import list_entries

ROOT = Path(__file__).resolve().parents[2]
ENTRIES = list_entries()
SETTINGS = [(entry, setting) for entry in ENTRIES for setting in (*entry.settings, *entry.at_start)]


def load(entry):
    """The registered function, by the list in setup.py."""
    target = re.search(rf'"{re.escape(entry.name)} = (\S+):(\w+)"', (ROOT / "setup.py").read_text(encoding="utf8"))
    return getattr(sys.modules[target[1]], target[2])


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
