"""What all components offer to code that works with them: settings for a while, the torch module, the loss."""

import pytest
import torch

from spacy_docre.readers.corpus import create_docre_corpus
from trained import train

NAMES = ("docre_mentions", "docre_clusters", "docre_types", "docre_relations")


@pytest.fixture
def nlp(make_nlp):
    return make_nlp()


@pytest.fixture
def examples(nlp, sample_corpus):
    return list(create_docre_corpus(sample_corpus["train"], given=["sents"], limit=2)(nlp))


def test_settings_for_a_while(nlp):
    pipe = nlp.get_pipe("docre_relations")
    before = dict(pipe.cfg)
    with pytest.raises(KeyError), pipe.with_settings(threshold=0.9, top_k=1):
        with pipe.with_settings(top_k=2):
            assert (pipe.cfg["threshold"], pipe.cfg["top_k"]) == (0.9, 2)
        assert pipe.cfg["top_k"] == 1
        pipe.cfg["new"] = 1
        raise KeyError
    assert pipe.cfg == before


def test_the_module_is_what_the_model_runs(nlp, sample_docs):
    text = sample_docs[0].text
    pipe = nlp.get_pipe("docre_types")
    assert (
        isinstance(pipe.module, torch.nn.Module) and nlp.get_pipe("docre_transformer").module.config.hidden_size == 32
    )
    nlp.get_pipe("docre_mentions").cfg["threshold"] = 0.0
    assert nlp(text)._.entities
    with torch.no_grad():
        for parameter in pipe.module.parameters():
            parameter.zero_()  # then the first type wins everywhere
    assert {entity.label for entity in nlp(text)._.entities} == {pipe.labels[0]}
    assert nlp.create_pipe("docre_types").module is None


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_is_that_of_the_training(nlp, examples, name):
    """With the gold labels of the batch, or made anew where nothing is drawn; its gradient has the loss's weight."""
    pipe = nlp.get_pipe(name)
    train(nlp, examples, steps=2)
    nlp.get_pipe("docre_transformer").update(examples)
    batch, gold = pipe.make_training_batch(examples)
    scores, _ = pipe.model.begin_update(([eg.predicted for eg in examples], batch))
    loss, gradient = pipe.get_loss(examples, scores, gold=gold)
    assert loss > 0 and gradient["logits"].shape == scores["logits"].shape
    with pipe.with_settings(loss_weight=2 * pipe.cfg["loss_weight"]):
        twice, doubled = pipe.get_loss(examples, scores, gold=gold)
    assert twice == loss and torch.allclose(doubled["logits"], 2 * gradient["logits"])
    if name in ("docre_types", "docre_relations"):
        assert pipe.get_loss(examples, scores)[0] == loss
    assert pipe.get_loss([], scores) == (0.0, {})
