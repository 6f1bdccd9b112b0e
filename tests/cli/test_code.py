"""`--code`: pipelines with heads of one's own, from the command line."""

from pathlib import Path

import pytest
from spacy.training.initialize import init_nlp
from typer.testing import CliRunner

from spacy_docre.cli import app

CODE = """
import spacy
from spacy_docre.models.heads.jerex import build_jerex_global_head


@spacy.registry.architectures("acme.{name}.v1")
def build_own_head(loss, hidden_width=0, meta_width=25, dropout=0.1):
    return build_jerex_global_head(loss, hidden_width=hidden_width, meta_width=meta_width, dropout=dropout)
"""


@pytest.mark.parametrize("command", ["evaluate", "tune"])
def test_own_head(command, tiny_config, sample_corpus, tmp_path: Path):
    tiny_config["components"]["docre_relations"]["model"]["head"] = {
        "@architectures": "spacy-docre.JerexGlobalHead.v1",
        "loss": {"@losses": "spacy-docre.AdaptiveThreshold.v1"},
    }
    init_nlp(tiny_config).to_disk(tmp_path / "model")
    config = tmp_path / "model" / "config.cfg"
    config.write_text(config.read_text("utf8").replace("spacy-docre.JerexGlobalHead", f"acme.{command}"), "utf8")
    (tmp_path / "head.py").write_text(CODE.format(name=command), "utf8")
    given = ["--given", "mentions,clusters,types"]
    args = [command, str(tmp_path / "model"), sample_corpus["dev"], *given]
    assert CliRunner().invoke(app, args).exit_code == 1
    done = CliRunner().invoke(app, [*args, "--code", str(tmp_path / "head.py")])
    assert done.exit_code == 0, done.output
    assert ("relations (threshold)" if command == "tune" else "Evidence sentences") in done.output
