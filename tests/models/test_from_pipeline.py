"""Encoders inside trained spaCy pipelines: which are found, with what settings, and what is said of others."""

from pathlib import Path
from typing import Any, Callable

import pytest
import spacy
import torch
from spacy.language import Language

from spacy_docre.models.transformer import build_transformer_model
from spacy_docre.models.transformer.encoder import load_encoder, resolve_encoder

TEXT = "Mara Lind founded Acme in Oslo. Lind left Acme in 1999."


@pytest.fixture
def make_pipeline(make_encoder: Callable[..., str], tmp_path: Path) -> Callable[..., str]:
    """Save a pipeline with the components of these names and factories, their encoders' weights changed."""

    def make(family: str = "bert", factory: str = "transformer", *, names: Any = ("host",), train: bool = True) -> str:
        nlp = spacy.blank("en")
        nlp.add_pipe("sentencizer")
        for name in names:
            pipe: Any = nlp.add_pipe(factory, name=name, config={"model": {"name": make_encoder(family)}})
            if train:
                pipe.initialize(list)
                (shim,) = (shim for node in pipe.model.walk() for shim in node.shims)
                with torch.no_grad():
                    for parameter in shim._model.parameters():
                        parameter.mul_(1.1)
        nlp.to_disk(tmp_path / "pipeline")
        return str(tmp_path / "pipeline")

    return make


def hidden(nlp: Language) -> torch.Tensor:
    """RETURNS (torch.Tensor): What the component `host` gives for one short Doc. Shape (S, H)."""
    pipe: Any = nlp.get_pipe("host")
    output = pipe.model.predict([nlp.make_doc(TEXT)])
    return output.hidden[0] if hasattr(output, "hidden") else torch.as_tensor(output.model_output.last_hidden_state)[0]


@pytest.mark.parametrize("factory", ["transformer", "docre_transformer"])
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_weights_and_tokenizer_are_those_of_the_pipeline(make_pipeline, make_encoder, family, factory):
    path = make_pipeline(family, factory)
    model = build_transformer_model(path)
    model.initialize()
    assert model.attrs["name"] == "pipeline"
    docs = [spacy.blank("en")(TEXT)]
    found = model.predict(docs).hidden[0]
    assert torch.allclose(found, hidden(spacy.load(path)), atol=1e-5)
    other = build_transformer_model(make_encoder(family))
    other.initialize()
    assert not torch.allclose(found, other.predict(docs).hidden[0], atol=1e-2)
    saved = build_transformer_model("another").from_bytes(model.to_bytes())
    assert torch.equal(saved.predict(docs).hidden[0], found)


def test_settings_are_those_of_the_config(make_pipeline):
    objects = load_encoder(make_pipeline(), dropout=0.25, attention_dropout=0.125, options={"layer_norm_eps": 1e-3})
    modules = list(objects.transformer.modules())
    assert {m.p for m in modules if isinstance(m, torch.nn.Dropout)} == {0.25, 0.125}
    assert {m.eps for m in modules if isinstance(m, torch.nn.LayerNorm)} == {1e-3}


def test_a_pipeline_inside_an_installed_package(make_pipeline, tmp_path, monkeypatch):
    path = Path(make_pipeline())
    package = tmp_path / "docre_test_pipeline"
    package.mkdir()
    (package / "__init__.py").touch()
    path.rename(package / "docre_test_pipeline-1.0.0")
    monkeypatch.syspath_prepend(tmp_path)
    assert resolve_encoder("package:docre_test_pipeline") == str(package / "docre_test_pipeline-1.0.0")
    assert load_encoder("package:docre_test_pipeline", dropout=0.0, attention_dropout=0.0, options={}).tokenizer


OTHERS = {
    "none": ({"names": ()}, "sentencizer"),
    "two": ({"names": ("host", "second")}, r"host \(transformer\), second \(transformer\)"),
    "untrained": ({"train": False}, "'host' was never trained"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_pipelines_without_an_encoder_to_take(make_pipeline, case):
    settings, problem = OTHERS[case]
    with pytest.raises(ValueError, match=f"R303.*{problem}"):
        build_transformer_model(make_pipeline(**settings)).initialize()
