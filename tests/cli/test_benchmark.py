"""`benchmark` prints a row for each layer."""

import pytest
from typer.testing import CliRunner

from spacy_docre.cli import app
from spacy_docre.textbook.cases import CASES


@pytest.mark.slow
def test_command_prints_a_table():
    result = CliRunner().invoke(app, ["benchmark", "--rounds", "1"])
    assert result.exit_code == 0, result.output
    rows = [line for line in result.stdout.splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + len(CASES)
