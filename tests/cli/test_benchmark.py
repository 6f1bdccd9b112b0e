"""`benchmark`: the textbook forms it compares with compute the same."""

import pytest
import torch
from typer.testing import CliRunner

from spacy_docre.cli import app, benchmark


@pytest.mark.parametrize("name", benchmark.CASES)
def test_textbook_form_gives_the_same(name, monkeypatch):
    monkeypatch.setattr(benchmark, "N_ENTITIES", 5)
    ours, textbook, inputs = benchmark.prepare(name, 0)
    one, other = ours(*inputs), textbook(*inputs)
    assert torch.allclose(one, other, atol=1e-4)
    weight = torch.randn_like(one)
    for found, expected in zip(
        torch.autograd.grad((one * weight).sum(), inputs), torch.autograd.grad((other * weight).sum(), inputs)
    ):
        assert torch.allclose(found, expected, atol=1e-3)


@pytest.mark.slow
def test_command_prints_a_table():
    result = CliRunner().invoke(app, ["benchmark", "--rounds", "1"])
    assert result.exit_code == 0, result.output
    rows = [line for line in result.output.splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + len(benchmark.CASES)
