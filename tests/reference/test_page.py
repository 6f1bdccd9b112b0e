"""The page of the reference: its links, and how it writes values."""

import re
from pathlib import Path

import pytest

from spacy_docre.reference.page import anchor, show_value

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"


def test_links_of_the_page():
    page = PAGE.read_text(encoding="utf8")
    links = re.findall(r"\[[^]]+\]\(#([^)]+)\)", page)
    headings = [anchor(heading) for heading in re.findall(r"^### (.+)$", page, flags=re.MULTILINE)]
    assert links == headings and len(set(headings)) == len(headings)


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
