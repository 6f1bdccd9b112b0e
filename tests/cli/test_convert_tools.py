"""`convert prodigy`, `labelstudio` and `brat`: options and summaries."""

import pytest
from tool_exports import (
    ANN,
    label_studio_answer,
    label_studio_task,
    prodigy_task,
    write_brat,
    write_label_studio,
    write_prodigy,
)
from typer.testing import CliRunner

from spacy_docre.cli import app
from toy import read_docs


@pytest.fixture
def convert(tmp_path):
    write_prodigy(tmp_path / "prodigy", [prodigy_task(), prodigy_task(answer="reject")])
    answers = [label_studio_answer(), label_studio_answer([], completed_by=11)]
    write_label_studio(tmp_path / "labelstudio", [label_studio_task(*answers)])
    write_brat(tmp_path / "brat", ANN + "#1\tAnnotatorNotes T1\thm\n")

    def run(tool, *options):
        """RETURNS (Tuple[str, List[Doc]]): What is printed, and what is written."""
        out = tmp_path / "out.spacy"
        result = CliRunner().invoke(app, ["convert", tool, str(tmp_path / tool), str(out), *options])
        assert result.exit_code == 0, result.output
        return result.stdout, read_docs(out)

    return run


@pytest.mark.parametrize(
    "tool,left_out",
    [
        ("prodigy", "answers that were rejected, ignored or cancelled (left out)"),
        ("labelstudio", "further answers to a text, or of other annotators (left out)"),
        ("brat", "annotations of kinds that have no place here (left out)"),
    ],
)
def test_links_and_summary(convert, tool, left_out):
    printed, [doc] = convert(tool, "--strict")
    assert [str(relation) for relation in doc._.relations] == ["Ada 🌍 Berg (PER) --knows--> Oslo (LOC) [1.00]"]
    assert left_out in printed
    printed, [doc] = convert(tool, "--link", "none")
    assert len(doc._.relations) == 2 and len(doc._.entities) == 3
    if tool != "brat":  # Equiv needs no label
        _, [doc] = convert(tool, "--link", "none", "--coref-label", "same", "--coref-label", "knows")
        assert [relation.label for relation in doc._.relations] == ["COREF"]


def test_annotator(convert):
    assert convert("labelstudio", "--annotator", "11")[1][0]._.relations == ()
    assert len(convert("prodigy", "--annotator", "anna")[1]) == 1
