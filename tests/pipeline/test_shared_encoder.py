"""The shared encoder: one backward pass a batch, whoever listens."""

import gc

import pytest
import spacy
import torch
from spacy.language import Language
from spacy.training import Example
from thinc.api import Adam

from spacy_docre.pipeline.transformer import DocreTransformer

from .conftest import finish, layers_of

COMPONENTS = ["docre_mentions", "docre_clusters", "docre_types", "docre_relations"]


@pytest.fixture
def nlp(make_nlp) -> Language:
    return make_nlp()


def gradient(nlp: Language, sample_docs, exclude=()) -> torch.Tensor:
    torch.manual_seed(0)
    import numpy

    numpy.random.seed(0)
    examples = [Example(nlp.make_doc(d.text), d) for d in sample_docs[:3]]
    nlp.update(examples, sgd=False, exclude=exclude, annotates=["sentencizer"])
    encoder = nlp.get_pipe("docre_transformer")
    encoder._backprop()
    module = encoder.model.shims[0]._model
    grads = [p.grad.flatten() if p.grad is not None else torch.zeros(p.numel()) for p in module.parameters()]
    module.zero_grad(set_to_none=True)
    for name in COMPONENTS:
        nlp.get_pipe(name).model.shims[0].module.zero_grad(set_to_none=True)
    return torch.cat(grads)


def test_backward_runs_once_a_batch(nlp: Language, sample_docs, monkeypatch):
    calls = []
    examples = [Example(nlp.make_doc(d.text), d) for d in sample_docs[:3]]
    encoder = nlp.get_pipe("docre_transformer")
    original = torch.autograd.backward

    def count(tensors, grads=None, **kwargs):
        calls.append(len(tensors))
        return original(tensors, grads, **kwargs)

    monkeypatch.setattr("spacy_docre.models.transformer.model.torch.autograd.backward", count)
    nlp.update(examples, sgd=False, annotates=["sentencizer"])
    in_components = len(calls)
    assert in_components == len(COMPONENTS)
    finish(nlp, Adam(0.001))
    assert len(calls) == in_components + 1
    assert encoder._pending is None


@pytest.mark.parametrize("frozen", [[], ["docre_relations"], ["docre_mentions", "docre_types"], COMPONENTS[:3]])
def test_gradients_of_listeners_add_up(nlp: Language, sample_docs, frozen):
    """Whichever components are frozen, the encoder gets the sum of the gradients of the others."""
    live = [name for name in COMPONENTS if name not in frozen]
    together = gradient(nlp, sample_docs, exclude=frozen)
    # Components draw negatives in pipeline order, so each alone is run with the others' updates, minus theirs.
    parts = []
    for name in live:
        weights = {n: nlp.get_pipe(n).cfg["loss_weight"] for n in live}
        for n in live:
            nlp.get_pipe(n).cfg["loss_weight"] = weights[n] if n == name else 0.0
        parts.append(gradient(nlp, sample_docs, exclude=frozen))
        for n in live:
            nlp.get_pipe(n).cfg["loss_weight"] = weights[n]
    assert together.abs().sum() > 0
    assert torch.allclose(together, sum(parts), atol=1e-5)


def test_batches_without_gradient_leave_the_encoder_alone(nlp: Language):
    bare = [Example(nlp.make_doc("Nothing here."), nlp.make_doc("Nothing here."))]
    encoder = nlp.get_pipe("docre_transformer")
    before = {k: v.clone() for k, v in encoder.model.shims[0]._model.state_dict().items()}
    for _ in range(2):
        nlp.update(bare, sgd=Adam(0.1))
    nlp.update([Example(nlp.make_doc(""), nlp.make_doc(""))], sgd=Adam(0.1))
    after = encoder.model.shims[0]._model.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)


def test_gradients_of_several_batches_accumulate(nlp: Language, sample_docs):
    examples = [Example(nlp.make_doc(d.text), d) for d in sample_docs[:2]]
    encoder = nlp.get_pipe("docre_transformer")
    nlp.update(examples[:1], sgd=False, annotates=["sentencizer"])
    nlp.update(examples[1:], sgd=False, annotates=["sentencizer"])  # settles the first one
    first = encoder.model.shims[0]._model.encoder.layer[0].output.dense.weight.grad.clone()
    assert first.abs().sum() > 0
    encoder._backprop()
    assert not torch.equal(first, encoder.model.shims[0]._model.encoder.layer[0].output.dense.weight.grad)


def test_frozen_annotating_encoder_trains_the_heads(nlp: Language, sample_docs):
    examples = [Example(nlp.make_doc(d.text), d) for d in sample_docs[:3]]
    encoder = nlp.get_pipe("docre_transformer").model.shims[0]._model
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    losses: dict = {}
    kwargs = {"exclude": ["docre_transformer"], "annotates": ["sentencizer", "docre_transformer"]}
    optimizer = Adam(0.001)
    nlp.update(examples, sgd=optimizer, losses=losses, **kwargs)
    first = losses["docre_relations"]
    for _ in range(10):
        losses = {}
        nlp.update(examples, sgd=optimizer, losses=losses, **kwargs)
    assert losses["docre_relations"] < first
    assert all(torch.equal(before[k], encoder.state_dict()[k]) for k in before)


def test_frozen_encoder_that_does_not_annotate_is_an_error(nlp: Language, sample_docs):
    examples = [Example(nlp.make_doc(d.text), d) for d in sample_docs[:1]]
    with pytest.raises(ValueError, match="R201"):
        nlp.update(examples, sgd=False, exclude=["docre_transformer"])


def test_replaced_listener_gives_the_same_result(nlp: Language, sample_docs):
    nlp.get_pipe("docre_mentions").cfg["threshold"] = 0.45
    wanted = layers_of(nlp(sample_docs[0].text))
    nlp.replace_listeners("docre_transformer", "docre_relations", ["model.tok2vec"])
    assert nlp.get_pipe("docre_transformer").listening_components == COMPONENTS[:3]
    assert layers_of(nlp(sample_docs[0].text)) == wanted


def make_host(source: Language, **names: str) -> Language:
    """A blank pipeline with the components of another one, some of them under other names."""
    host = spacy.blank("en")
    host.add_pipe("sentencizer")
    for name in source.pipe_names:
        if name.startswith("docre_"):
            host.add_pipe(name, name=names.get(name, name), source=source)
    return host


def test_components_sourced_into_another_pipeline(nlp: Language, sample_docs):
    nlp.get_pipe("docre_mentions").cfg["threshold"] = 0.45
    text = sample_docs[0].text
    wanted = layers_of(nlp(text))
    host = make_host(nlp)
    del nlp
    gc.collect()
    doc = host(text)
    assert layers_of(doc) == wanted
    assert not [key for key in doc.user_data if not isinstance(key, tuple)]
    again = spacy.blank("en").from_config(host.config).from_bytes(host.to_bytes())
    assert layers_of(again(text)) == wanted


def test_listeners_match_one_exact_name(nlp: Language):
    encoder = nlp.get_pipe("docre_transformer")
    assert isinstance(encoder, DocreTransformer) and encoder.listening_components == COMPONENTS
    other = DocreTransformer(nlp.vocab, encoder.model, name="another", max_batch_items=100)
    other.find_listeners(nlp.get_pipe("docre_mentions"))
    assert other.listeners == []


def test_disabled_reader_does_not_keep_the_output(nlp: Language):
    with nlp.select_pipes(disable=["docre_relations"]):
        docs = list(nlp.pipe(["Mara Lind founded Acme in Oslo."] * 3))
    assert not [key for doc in docs for key in doc.user_data if not isinstance(key, tuple)]
    assert nlp("Mara Lind founded Acme in Oslo.")._.relations is not None


def test_sharing_with_a_pipeline_that_disables_components(nlp: Language, sample_docs):
    nlp.get_pipe("docre_mentions").cfg["threshold"] = 0.45
    text = sample_docs[0].text
    wanted = layers_of(nlp(text))
    host = make_host(nlp, docre_relations="rel")
    with nlp.select_pipes(disable=["docre_types", "docre_relations"]):
        assert layers_of(host(text)) == wanted
        assert [layers_of(doc) for doc in host.pipe([text, text])] == [wanted, wanted]
    assert layers_of(nlp(text)) == wanted
