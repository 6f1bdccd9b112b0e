"""Components with other names: what a config says of them is renamed, too."""

import pytest
import spacy
from spacy.cli.train import train
from spacy.util import load_config, load_model_from_config

from spacy_docre.pipeline.naming import rename_components
from spacy_docre.training.configs import make_config


def train_with(config, path):
    config.to_disk(path.with_suffix(".cfg"))
    overrides = {"training.max_epochs": 0, "training.max_steps": 3, "training.eval_frequency": 3}
    train(path.with_suffix(".cfg"), path, overrides=overrides)
    return spacy.load(path / "model-last")


def test_the_config_of_a_renamed_pipeline_trains(tiny_config, tmp_path):
    """The same scores after the same steps, with `spacy train`."""
    tiny_config["training"]["annotating_components"] += ["docre_transformer"]
    plain = train_with(tiny_config, tmp_path / "plain")
    nlp = load_model_from_config({**tiny_config, "initialize": {}}, auto_fill=True)
    rename_components(nlp, "press")
    config = nlp.config.copy()
    assert config["training"]["annotating_components"] == ["sentencizer", "press_docre_transformer"]
    config["initialize"] = {
        **tiny_config["initialize"],
        "components": {f"press_{name}": value for name, value in tiny_config["initialize"]["components"].items()},
    }
    config["paths"], config["corpora"] = tiny_config["paths"], tiny_config["corpora"]
    press = train_with(config, tmp_path / "press")
    assert "press_docre_relations" in press.pipe_names
    scores = plain.meta["performance"]
    assert scores["mentions_f"] is not None and scores["relations_f"] is not None

    def by_name(nlp):
        return {name.replace("press_", ""): n for name, n in nlp.meta["performance"].items()}

    assert by_name(press) == pytest.approx(by_name(plain), nan_ok=True)


def test_callbacks_and_labels_follow(tiny_encoder, sample_corpus, tmp_path):
    config = make_config("kmgre", encoder=tiny_encoder)
    config["paths"].update(sample_corpus)
    nlp = load_model_from_config(config, auto_fill=True)
    rename_components(nlp, "press")
    nlp.config.to_disk(tmp_path / "press.cfg")
    found = load_config(tmp_path / "press.cfg")
    assert found["training"]["before_update"]["component"] == "press_docre_relations"
    assert found["initialize"]["components"].keys() == {"press_docre_relations"}


@pytest.mark.parametrize("prefix", ["", "my press", "1st", "a-b"])
def test_prefixes_that_name_no_attribute(tiny_nlp, prefix):
    with pytest.raises(ValueError, match="R206.*prefix"):
        rename_components(tiny_nlp, prefix)
    assert "docre_relations" in tiny_nlp.pipe_names


def test_variables_and_lists_in_the_training_config(tiny_config):
    tiny_config["vars"]["frozen"] = ["docre_types"]
    tiny_config["training"]["frozen_components"] = "${vars.frozen}"
    nlp = load_model_from_config({**tiny_config, "initialize": {}}, auto_fill=True)
    nlp.config["training"]["before_update"] = {"component": ["docre_types", "sentencizer"], "n": 1}
    rename_components(nlp, "press")
    assert nlp.config["training"]["frozen_components"] == "${vars.frozen}"
    assert nlp.config["training"]["before_update"] == {"component": ["press_docre_types", "sentencizer"], "n": 1}
