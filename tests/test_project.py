"""project.yml: its commands, and the whole workflow on the sample corpus."""

import shutil
from pathlib import Path

import pytest
import srsly
from spacy.util import working_dir
from weasel.cli.run import project_run
from weasel.util.config import load_project_config

from spacy_docre.about import __version__

ROOT = Path(__file__).resolve().parents[1]


def test_version_and_names():
    project = load_project_config(ROOT)
    assert project["vars"]["version"] == __version__
    assert set(project["workflows"]["all"]) <= {command["name"] for command in project["commands"]}
    citation = srsly.read_yaml(ROOT / "CITATION.cff")
    assert citation["version"] == __version__ and len(citation["references"]) == 5


@pytest.mark.parametrize("head", [p.stem for p in (ROOT / "configs").glob("*.cfg") if p.stem != "base"])
def test_every_head_has_a_config(head):
    project = load_project_config(ROOT, overrides={"vars.head": head})
    train = next(command for command in project["commands"] if command["name"] == "train")
    assert f"configs/{head}.cfg" in train["deps"] and any(f"config {head} " in line for line in train["script"])


@pytest.mark.slow
def test_all(make_encoder, tmp_path):
    for name in ("assets", "configs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.zip"))
    shutil.copy(ROOT / "project.yml", tmp_path)
    overrides = {"vars.encoder": make_encoder("bert", hidden_size=64), "vars.epochs": 2, "vars.eval_frequency": 5}
    with working_dir(tmp_path):
        for command in ("all", "pack"):
            project_run(tmp_path, command, overrides=overrides, capture=False)
    made = ["metrics/end_to_end.json", f"packages/en_docre-{__version__}/setup.py", "packages/en_docre.zip"]
    assert all((tmp_path / path).is_file() for path in made)
