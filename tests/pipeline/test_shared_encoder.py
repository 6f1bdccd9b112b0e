"""The shared encoder: one backward pass a batch, whoever listens."""

import gc
from typing import Any, Dict, List

import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Adam, fix_random_seed

from spacy_docre.doc.layers import set_clusters, set_mentions
from spacy_docre.pipeline.transformer import DocreTransformer
from trained import finish, layers_of

COMPONENTS = ["docre_mentions", "docre_clusters", "docre_types", "docre_relations"]
ALL = ["docre_transformer", *COMPONENTS]


@pytest.fixture
def nlp(make_nlp) -> Language:
    return make_nlp()


def gradient(nlp: Language, sample_docs, exclude=()) -> torch.Tensor:
    fix_random_seed(0)
    examples = [Example(nlp.make_doc(d.text), d) for d in sample_docs[:3]]
    nlp.update(examples, sgd=False, exclude=exclude, annotates=["sentencizer"])
    encoder = nlp.get_pipe("docre_transformer")
    encoder._backprop()
    module = encoder.module
    grads = [p.grad.flatten() if p.grad is not None else torch.zeros(p.numel()) for p in module.parameters()]
    module.zero_grad(set_to_none=True)
    for name in COMPONENTS:
        nlp.get_pipe(name).module.zero_grad(set_to_none=True)
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
def test_gradients_of_listeners_add_up(nlp: Language, sample_docs, monkeypatch, frozen):
    """Whichever components are frozen, the encoder gets the sum of the gradients of the others."""
    monkeypatch.setattr("numpy.random.permutation", lambda x: x)  # negatives do not depend on who drew before
    together = gradient(nlp, sample_docs, exclude=frozen)
    live = [name for name in COMPONENTS if name not in frozen]
    parts = [gradient(nlp, sample_docs, exclude=[n for n in COMPONENTS if n != name]) for name in live]
    assert all(part.any() for part in parts)
    assert torch.allclose(together, sum(parts), atol=1e-5)


def weights(nlp: Language) -> Dict[str, bytes]:
    return {name: nlp.get_pipe(name).model.to_bytes() for name in ALL}


# Documents, components that are frozen, that annotate, and whose weights move.
REGIMES: Dict[str, Any] = {
    "all live": ("full", [], [], ALL),
    **{f"{name} frozen": ("full", [name], [], [n for n in ALL if n != name]) for name in COMPONENTS},
    "frozen and annotating": ("full", COMPONENTS[:2], ALL[:3], [ALL[0], *COMPONENTS[2:]]),
    "encoder annotating": ("full", [], ALL, ALL),
    "encoder frozen and annotating": ("full", ALL[:1], ALL[:1], COMPONENTS),
    "encoder alone": ("full", COMPONENTS, [], []),
    "no pairs": ("one mention", [], [], ["docre_transformer", "docre_mentions", "docre_types"]),
    "no gold": ("bare", [], [], []),
    "white space": ("blank", [], [], []),
    "empty documents": ("empty", [], [], []),
    "some empty": ("full and empty", [], [], ALL),
}


@pytest.fixture
def batches(nlp: Language, sample_docs) -> Dict[str, List[Doc]]:
    """Gold documents by what they hold."""
    single = nlp.make_doc("Mara Lind left.")
    set_mentions(single, [(0, 2)])
    set_clusters(single, [[(0, 2)]], ["PER"])
    single._.relations = []
    texts = {"bare": "Nothing here.", "blank": " \n ", "empty": ""}
    plain = {key: [nlp.make_doc(text), nlp.make_doc(text)] for key, text in texts.items()}
    full = sample_docs[:3]
    return {"full": full, "full and empty": [*plain["empty"], *full], "one mention": [single], **plain}


@pytest.mark.parametrize("in_update", [False, True], ids=["finish after", "sgd in update"])
@pytest.mark.parametrize("regime", REGIMES)
def test_weights_that_should_move_do_and_no_others(nlp: Language, batches, regime, in_update):
    docs, frozen, annotating, moving = REGIMES[regime]
    optimizer = Adam(0.01, L2=0.1)
    before = weights(nlp)
    losses: Dict[str, float] = {}
    for _ in range(2):
        examples = [Example(nlp.make_doc(doc.text), doc) for doc in batches[docs]]
        sgd = optimizer if in_update else False
        nlp.update(examples, sgd=sgd, losses=losses, exclude=frozen, annotates=["sentencizer", *annotating])
        if not in_update:
            finish(nlp, optimizer, exclude=frozen)
    nlp.evaluate(examples)  # settles what is left over
    after = weights(nlp)
    assert [name for name in ALL if before[name] != after[name]] == moving
    assert {name for name, loss in losses.items() if loss} == set(moving)
    for name in ALL:
        assert all(p.grad is None for p in nlp.get_pipe(name).module.parameters())
    pending = nlp.get_pipe("docre_transformer")._pending
    assert pending is None or not moving and not pending.has_gradient


@pytest.mark.parametrize("last", ["full", "bare", "empty"])
def test_a_step_is_the_sum_of_the_batches_gathered_for_it(nlp: Language, batches, last):
    """accumulate_gradient = 3: plain descent moves by what each batch alone would have moved it."""
    kinds = ["full", "one mention", last]
    start = nlp.get_pipe("docre_transformer").module
    state = {key: value.clone() for key, value in start.state_dict().items()}

    def move(kinds: List[str]) -> torch.Tensor:
        start.load_state_dict(state)
        for kind in kinds:
            fix_random_seed(0)
            examples = [Example(nlp.make_doc(doc.text), doc) for doc in batches[kind]]
            nlp.update(examples, sgd=False, annotates=["sentencizer"])
        nlp.get_pipe("docre_transformer").finish_update(Adam(0.1, L2=0.0, grad_clip=0.0, beta1=0.0, beta2=0.0))
        return torch.cat([(value - state[key]).flatten() for key, value in start.state_dict().items()])

    together, alone = move(kinds), [move([kind]) for kind in kinds]
    assert alone[0].any() and alone[1].any() and alone[2].any() == (last == "full")
    assert torch.allclose(together, sum(alone), atol=1e-5)


def test_averages_are_no_place_for_a_step(nlp: Language, batches):
    """What `nlp.update(sgd=...)` left over is done before the averages take the weights' place, and stays."""
    examples = [Example(nlp.make_doc(doc.text), doc) for doc in batches["full"]]
    optimizer, steps = Adam(0.01, use_averages=True), []
    for _ in range(3):
        nlp.update(examples, sgd=optimizer)
        with nlp.use_params(optimizer.averages):
            nlp.evaluate(examples)
        steps.append(weights(nlp)["docre_transformer"])
    assert len(set(steps)) == 3


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_no_number_changes_nothing(nlp: Language, batches, value):
    """Neither in the component it comes from, nor in the encoder, which gets it."""
    with torch.no_grad():
        next(nlp.get_pipe("docre_types").module.parameters()).fill_(value)
    examples = [Example(nlp.make_doc(doc.text), doc) for doc in batches["full"]]
    before = weights(nlp)
    with pytest.warns(UserWarning, match="RW11.* 1 update"):
        nlp.update(examples, sgd=False, annotates=["sentencizer"])
        finish(nlp, Adam(0.01))
    after = weights(nlp)
    assert [name for name in ALL if before[name] == after[name]] == ["docre_transformer", "docre_types"]


def test_frozen_annotating_encoder_trains_the_heads(nlp: Language, sample_docs):
    examples = [Example(nlp.make_doc(d.text), d) for d in sample_docs[:3]]
    encoder = nlp.get_pipe("docre_transformer").module
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


@pytest.mark.parametrize("frozen,annotating", [("docre_transformer", "sentencizer"), ("tagger", "docre_mentions")])
def test_an_encoder_that_should_annotate_and_does_not_is_an_error(nlp: Language, sample_docs, frozen, annotating):
    examples = [Example(nlp.make_doc(d.text), d) for d in sample_docs[:1]]
    with pytest.raises(ValueError, match=r"R201.*annotating_components\] if it is frozen"):
        nlp.update(examples, sgd=False, exclude=[frozen], annotates=["sentencizer", annotating])


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
