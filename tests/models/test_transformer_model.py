"""The encoder: its vectors and attention rows are the model's own, and so are the gradients through them."""

import tempfile
from pathlib import Path

import numpy
import pytest
import spacy
import torch
from spacy.tokens import Doc
from thinc.api import Adam, Model
from transformers import AutoModel

from spacy_docre.batches import SpanBatch
from spacy_docre.layers.encoded import EncodedBatch
from spacy_docre.models.transformer.encoder import find_query_key, resolve_encoder
from spacy_docre.models.transformer.model import build_transformer_model, get_plan, get_shim
from tiny_encoders import BY_QUERY_AND_KEY, FAMILIES
from toy import all_windows, attention_rows

VOCAB = spacy.blank("en").vocab
SOME = [*sorted(BY_QUERY_AND_KEY), "mpnet", "deberta-v2", "bert relative"]


def build(folder, **settings) -> Model:
    model = build_transformer_model(folder, **{"overlap": 16, "dropout": 0.0, **settings})
    model.initialize()
    return model


def hf(model: Model):
    return get_shim(model).encoder


def make_doc(n, first=0):
    """n tokens, most of them one piece, some more, one without any."""
    words = ["the", "of", "Skarne", "1987", "\xa0", "and", "a", ",", "in", "Harcastle"]
    return Doc(VOCAB, words=[words[(first + 7 * i) % 10] for i in range(n)])


DOCS = (make_doc(9), make_doc(90, 3), Doc(VOCAB), make_doc(2, 5), make_doc(20, 1))


@pytest.fixture
def model(tiny_encoder):
    return build(tiny_encoder)


@pytest.fixture(params=SOME)
def family(request, make_encoder):
    name = request.param
    return name, make_encoder(name.partition(" ")[0], **FAMILIES[name])


def run_windows(model, doc, **kwargs):
    """Each window of a document through the eager model, alone and without padding."""
    plan = get_plan(model)
    encoded = model.predict([doc])
    ids = get_shim(model).tokenizer(doc.text, add_special_tokens=False)["input_ids"]
    eager = AutoModel.from_config(hf(model).config, attn_implementation="eager")
    eager.load_state_dict(hf(model).state_dict())
    eager.eval()
    for first, last in zip(encoded.layout.window_first, encoded.layout.window_last):
        window = [[*plan.prefix, *ids[first:last], *plan.suffix]]
        yield eager(torch.tensor(window), output_attentions=True, **kwargs)


# The same numbers as the model itself


@torch.no_grad()
def test_attention_and_vectors_are_the_models_own(family):
    """Of every family, in windows of several documents, padded to the longest."""
    name, folder = family
    model = build(folder)
    assert (find_query_key(hf(model)) is not None) == (name in BY_QUERY_AND_KEY)
    encoded = model.predict(list(DOCS))
    rows = attention_rows(encoded)
    w = 0
    for doc in DOCS:
        for output in run_windows(model, doc) if len(doc) else ():
            length = output.last_hidden_state.shape[1]
            assert torch.allclose(rows[w, :, :length, :length], output.attentions[-1][0], atol=1e-5)
            assert rows[w, :, :length, length:].abs().max() == 0 if length < rows.shape[-1] else True
            assert torch.allclose(encoded.hidden[w, :length], output.last_hidden_state[0], atol=1e-5)
            w += 1
    assert w == len(rows) > 5  # the long document has several windows, the empty one has none


@torch.no_grad()
def test_rows_are_far_from_even(model):
    """Else the tests above would show little."""
    rows = attention_rows(model.predict([DOCS[0]]))
    assert rows.max() > 4 / rows.shape[-1]


@torch.no_grad()
def test_long_documents_keep_every_token(model):
    """A document three times longer than the limit: each piece has the vector of its window, run alone, and no
    token that has pieces goes without."""
    doc = make_doc(200)
    encoded = model.predict([doc])
    n_pieces = len(encoded.layout.piece_rows)
    assert n_pieces > 3 * 64 and encoded.hidden.shape[0] > 4
    alone = [output.last_hidden_state[0] for output in run_windows(model, doc)]
    (windows,) = encoded.windows
    pieces = encoded.pieces()
    for p, w in enumerate(windows.piece_window):
        assert torch.allclose(pieces[p], alone[w][p - windows.window_first[w] + windows.prefix], atol=1e-5)
    assert (pieces.abs().sum(-1) > 0.1).all()
    has_piece = windows.token_last > windows.token_first
    assert [bool(b) for b in has_piece] == [token.text != "\xa0" for token in doc]
    assert windows.token_first[0] == 0 and windows.token_last[-1] == n_pieces
    assert numpy.array_equal(windows.token_first[1:], windows.token_last[:-1])


def close(one: EncodedBatch, other: EncodedBatch):
    assert one.hidden.shape == other.hidden.shape
    assert torch.allclose(one.pieces(), other.pieces(), atol=1e-5)
    assert torch.allclose(attention_rows(one), attention_rows(other), atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("max_batch_items,max_padding", [(1, 0.2), (100, 0.0), (130, 0.2), (100000, 1.0)])
def test_batch_equals_one_by_one(tiny_encoder, max_batch_items, max_padding):
    model = build(tiny_encoder, max_batch_items=max_batch_items, max_padding=max_padding)
    together = model.predict(list(DOCS))
    for doc, part in zip(DOCS, together.split()):
        alone = model.predict([doc])
        (single,) = alone.split()
        for a, b in zip(part.planes.named().values(), single.planes.named().values()):
            assert a.shape == b.shape and torch.allclose(a, b, atol=1e-5)


def test_a_forward_pass_is_bounded(tiny_encoder):
    """However long the documents, the encoder never sees more than max_batch_items positions at once."""
    model = build(tiny_encoder, max_batch_items=130)
    sizes = []
    hf(model).register_forward_pre_hook(lambda m, a, k: sizes.append(k["input_ids"].numel()), with_kwargs=True)
    model.predict([make_doc(300), make_doc(30)])
    assert len(sizes) > 3 and max(sizes) <= 130


@torch.no_grad()
def test_nothing_to_encode(model, make_encoder):
    blank = Doc(VOCAB, words=["\xa0", "\n"], spaces=[False, False])
    for m in (model, build(make_encoder("mpnet"))):
        for docs in ([], [Doc(VOCAB)], [blank, Doc(VOCAB)]):
            encoded = m.predict(docs)
            assert encoded.pieces().shape == (0, 32) and len(encoded.windows) == len(docs)
            assert attention_rows(encoded).shape[0] == 0
        mixed = m.predict([blank, DOCS[0], Doc(VOCAB)])
        assert torch.allclose(mixed.pieces(), m.predict([DOCS[0]]).pieces(), atol=1e-5)
        first, last = mixed.layout.span_pieces(SpanBatch(*numpy.asarray([[0], [0], [2]])))
        assert first == last


# The same gradients


def autograd(model, loss):
    """Gradients of the encoder's parameters by plain autograd: `loss` of vectors, queries and keys of DOCS[0]."""
    (query, key), captured = find_query_key(hf(model)), {}
    handles = [
        m.register_forward_hook(lambda m, a, out, k=k: captured.update({k: out})) for k, m in (("q", query), ("k", key))
    ]
    plan = get_plan(model)
    ids = get_shim(model).tokenizer(DOCS[0].text, add_special_tokens=False)["input_ids"]
    output = hf(model)(torch.tensor([[*plan.prefix, *ids, *plan.suffix]]))
    for handle in handles:
        handle.remove()
    heads = [captured[k].unflatten(-1, (2, -1)).transpose(1, 2) for k in "qk"]
    named = {n: p for n, p in hf(model).named_parameters() if p.requires_grad}
    found = torch.autograd.grad(loss(output.last_hidden_state, *heads), list(named.values()), allow_unused=True)
    return dict(zip(named, found))


def backprop(model, docs, loss):
    """The same through our own forward and backward pass."""
    encoded, backward = model.begin_update(docs)
    leaves = encoded.leaves()
    loss(leaves.hidden, leaves.planes.queries, leaves.planes.keys).backward()
    backward(leaves.planes.gradients())
    found = {n: p.grad for n, p in hf(model).named_parameters()}
    hf(model).zero_grad()
    return found


@pytest.mark.parametrize("name", sorted(BY_QUERY_AND_KEY))
def test_gradients_equal_plain_autograd(name, make_encoder):
    model = build(make_encoder(name, **FAMILIES[name]))
    weights = [torch.randn(shape) for shape in ((1, 1, 32), (1, 2, 1, 16), (1, 2, 1, 16))]

    def loss(*tensors):
        return sum((t * w).square().sum() for t, w in zip(tensors, weights))

    expected, found = autograd(model, loss), backprop(model, [DOCS[0]], loss)
    assert expected.keys() == found.keys()
    for key, gradient in expected.items():
        assert (gradient is None) == (found[key] is None), key
        assert gradient is None or torch.allclose(gradient, found[key], rtol=1e-4, atol=1e-4), key


@pytest.mark.parametrize("part", [0, 1, 2])
def test_each_output_has_its_own_gradient(model, part):
    """Hidden states, queries, keys: a loss on one of them alone."""

    def loss(*tensors):
        return tensors[part].square().sum()

    expected, found = autograd(model, loss), backprop(model, [DOCS[0]], loss)
    for key, gradient in expected.items():
        zero = gradient is None or gradient.abs().max() == 0
        assert (
            torch.allclose(found[key], gradient, atol=1e-4) if not zero else found[key] is None or not found[key].any()
        )


def test_an_attention_loss_reaches_the_last_layers_queries(model):
    encoded, backward = model.begin_update(list(DOCS))
    leaves = encoded.leaves()
    rows = attention_rows(leaves)
    (rows[:, :, 1, 2] - 1).square().sum().backward()
    assert leaves.hidden.grad is None
    backward(leaves.planes.gradients())
    last, first = (hf(model).encoder.layer[i].attention.self for i in (1, 0))
    for projection in (last.query, last.key, first.query, first.value):
        assert projection.weight.grad.abs().max() > 1e-6
    assert last.value.weight.grad is None  # the vectors themselves had no part in it


def test_gradients_of_a_batch_are_the_sum_of_its_documents(model):
    """Windows of one document, forward passes of bounded size and padding change nothing."""

    def loss(hidden, queries, keys):
        return hidden.square().sum() + queries.pow(3).sum() + keys.sum()

    def backward(docs):
        encoded, back = model.begin_update(docs)
        leaves, mask = encoded.leaves(), all_windows(encoded).mask()[:, None, :, None]
        masked = {name: t * (mask[:, 0] if name == "hidden" else mask) for name, t in leaves.planes.named().items()}
        loss(**masked).backward()
        back(leaves.planes.gradients())
        found = [p.grad.clone() for p in hf(model).parameters() if p.grad is not None]
        hf(model).zero_grad()
        return found

    docs = [doc for doc in DOCS if len(doc)]
    together = backward(docs)
    alone = [backward([doc]) for doc in docs]
    size = torch.stack([gradient.norm() for gradient in together]).norm()
    for gradient, *parts in zip(together, *alone):
        assert (gradient - sum(parts)).norm() < 1e-6 * size


@pytest.mark.parametrize("family", ["bert", "deberta-v2"])  # queries and keys, or attention
def test_large_batches_hold_few_activations(make_encoder, family):
    """Forward passes that are computed anew in the backward pass give the same gradients, with the same dropout."""
    model = build_transformer_model(make_encoder(family), dropout=0.3, window=12, overlap=4, max_batch_items=24)
    model.initialize()
    found, n_passes = [], []
    for most in (10**6, 1):
        model.attrs["max_train_items"] = most
        calls: list = []
        handle = hf(model).register_forward_pre_hook(lambda *args, calls=calls: calls.append(1))
        torch.manual_seed(1)
        encoded, back = model.begin_update(list(DOCS))
        n_passes.append(len(calls))
        back(encoded.planes.map(torch.ones_like).named())
        n_passes.append(len(calls))
        handle.remove()
        found.append({n: p.grad.clone() for n, p in hf(model).named_parameters() if p.grad is not None})
        hf(model).zero_grad()
    assert n_passes[0] > 2 and n_passes == [n_passes[0], n_passes[0], n_passes[0], 2 * n_passes[0]]
    assert found[0].keys() == found[1].keys()
    assert all(torch.allclose(found[0][n], found[1][n], atol=1e-5) for n in found[0])


def test_backprop_without_gradients(model):
    encoded, backward = model.begin_update(list(DOCS))
    assert not encoded.hidden.requires_grad
    assert backward({}) == list(DOCS)
    assert all(p.grad is None for p in hf(model).parameters())
    encoded, backward = model.begin_update([Doc(VOCAB)])
    backward({"hidden": torch.zeros_like(encoded.hidden)})


def test_prediction_keeps_no_graph(model):
    assert not any(t.requires_grad for t in model.predict([DOCS[0]]).planes.named().values())


def test_mixed_precision_in_training_alone(tiny_encoder):
    model = build(tiny_encoder, mixed_precision=True)
    exact = model.predict([DOCS[0]])
    assert torch.equal(exact.hidden, build(tiny_encoder).predict([DOCS[0]]).hidden)
    rough, backward = model.begin_update([DOCS[0]])
    assert all(t.dtype == torch.float32 for t in rough.planes.named().values())
    assert 0 < (rough.hidden - exact.hidden).norm() / exact.hidden.norm() < 0.1
    backward({"hidden": torch.ones_like(rough.hidden)})
    assert all(torch.isfinite(p.grad).all() for p in hf(model).parameters() if p.grad is not None)


@torch.no_grad()
def test_attention_rows_are_exact_in_mixed_precision(tiny_encoder):
    """Of queries and keys rounded to bfloat16 (that is what training has), but not themselves rounded again."""
    encoded, _ = build(tiny_encoder, mixed_precision=True).begin_update([DOCS[0]])
    for t in (encoded.planes.queries, encoded.planes.keys):
        assert torch.equal(t, t.bfloat16().float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rows = attention_rows(encoded)
    assert rows.dtype == torch.float32 and torch.equal(rows, attention_rows(encoded))


def test_dropout_is_that_of_the_setting(tiny_encoder, make_encoder):
    model = build(tiny_encoder, dropout=0.5, attention_dropout=0.25)
    rates = {n: m.p for n, m in hf(model).named_modules() if isinstance(m, torch.nn.Dropout)}
    assert {rate for n, rate in rates.items() if n.endswith("attention.self.dropout")} == {0.25}
    assert {rate for n, rate in rates.items() if not n.endswith("attention.self.dropout")} == {0.5}
    one, two = (model.begin_update([DOCS[0]])[0].hidden for _ in range(2))
    assert not torch.equal(one, two)
    assert torch.equal(*(model.predict([DOCS[0]]).hidden for _ in range(2)))
    distilbert = hf(build(make_encoder("distilbert"), dropout=0.5, attention_dropout=0.25)).config
    assert (distilbert.dropout, distilbert.attention_dropout) == (0.5, 0.25)


# Optimisation and storage


def learn(model, optimizer):
    """One step on some gradient of vectors and queries, the same at each call. (One that is 1 everywhere would be lost
    in the last LayerNorm, whose outputs always add up to the same.)"""
    encoded, backward = model.begin_update([DOCS[0]])
    generator = torch.Generator().manual_seed(0)
    hidden, queries = (torch.randn(t.shape, generator=generator) for t in (encoded.hidden, encoded.planes.queries))
    backward({"hidden": hidden, "queries": queries})
    model.finish_update(optimizer)


def test_frozen_parameters_do_not_move(tiny_encoder):
    """Not by a gradient, not by decay, not in the copy that came from disk."""
    model = build(tiny_encoder, frozen=["embeddings.word_embeddings", "encoder.layer.0."])
    for m in (model, model.copy(), build(tiny_encoder, frozen=get_shim(model).frozen).from_bytes(model.to_bytes())):
        before = {n: p.detach().clone() for n, p in hf(m).named_parameters()}
        learn(m, Adam(0.01, L2=0.1))
        for name, parameter in hf(m).named_parameters():
            # The pooler is no part of what we read; a bias of all keys cancels out in the softmax.
            if not name.startswith("pooler") and not name.endswith("key.bias"):
                assert torch.equal(parameter, before[name]) == name.startswith(get_shim(m).frozen), name


def test_learn_rate_scale(tiny_encoder):
    """Plain gradient descent moves in proportion to the rate."""
    moved = []
    for scale in (1.0, 0.1):
        model = build(tiny_encoder, learn_rate_scale=scale)
        weight = hf(model).encoder.layer[0].output.dense.weight
        before = weight.detach().clone()
        learn(model, Adam(0.001, L2=0.0, grad_clip=0.0, beta1=0.0, beta2=0.0))
        moved.append(weight - before)
    assert moved[0].abs().max() > 1e-3 and torch.allclose(moved[0] * 0.1, moved[1], rtol=1e-3, atol=1e-7)


def test_bytes_round_trip(family):
    """The same vectors and attention, though the folder of the encoder is gone from the settings."""
    _, folder = family
    model = build(folder)
    loaded = build_transformer_model("no such encoder", overlap=16).from_bytes(model.to_bytes())
    for docs in ([DOCS[1]], list(DOCS)):
        a, b = model.predict(docs), loaded.predict(docs)
        assert torch.equal(a.hidden, b.hidden) and torch.equal(attention_rows(a), attention_rows(b))
    assert (a.planes.attention is None) == (b.planes.attention is None)


def test_trained_weights_are_what_is_saved(model, tiny_encoder):
    learn(model, Adam(0.01))
    loaded = build_transformer_model(tiny_encoder, overlap=16).from_bytes(model.to_bytes())
    loaded.initialize()  # does not load the folder again
    assert torch.equal(model.predict([DOCS[0]]).hidden, loaded.predict([DOCS[0]]).hidden)
    assert not torch.equal(model.predict([DOCS[0]]).hidden, build(tiny_encoder).predict([DOCS[0]]).hidden)


def test_saved_bytes_name_no_folder_of_this_machine(model, tiny_encoder):
    for m in (model, build_transformer_model("x", overlap=16).from_bytes(model.to_bytes())):
        data = m.to_bytes()
        assert tiny_encoder.encode() not in data
        assert tempfile.gettempdir().encode() + b"/" not in data and str(Path.home()).encode() + b"/" not in data


def test_copy_has_its_own_parameters(model):
    copied = model.copy()
    assert get_shim(copied).id != get_shim(model).id
    assert torch.equal(copied.predict([DOCS[0]]).hidden, model.predict([DOCS[0]]).hidden)
    before = model.predict([DOCS[0]]).hidden
    learn(copied, Adam(0.01))
    assert torch.equal(model.predict([DOCS[0]]).hidden, before)
    assert not torch.equal(copied.predict([DOCS[0]]).hidden, before)


@pytest.mark.parametrize("loaded", [False, True])
def test_a_gpu_that_thinc_cannot_use_is_told(model, tiny_encoder, monkeypatch, loaded):
    """When an encoder is made, and when a trained one is loaded."""
    data = model.to_bytes()
    monkeypatch.setattr("spacy_docre.models.transformer.model.torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("spacy_docre.models.transformer.model.has_cupy", False)
    with pytest.warns(UserWarning, match="RW05"):
        if loaded:
            build_transformer_model(tiny_encoder, overlap=16).from_bytes(data)
        else:
            build(tiny_encoder)


# Finding encoders


@pytest.mark.parametrize("name", ["/no/such/folder", "package:no_such_package", "package:json", "package:srsly"])
def test_no_such_encoder(name):
    with pytest.raises(ValueError, match="R303"):
        build(name)


@pytest.mark.parametrize("held", [[], ["config.json"], ["config.json", "tokenizer.json"]])
def test_a_folder_without_weights(tiny_encoder, tmp_path, held):
    for name in held:
        (tmp_path / name).symlink_to(f"{tiny_encoder}/{name}")
    with pytest.raises(ValueError, match="R303"):
        build(str(tmp_path))


def test_weights_inside_an_installed_package(tiny_encoder, tmp_path, monkeypatch):
    package = tmp_path / "docre_test_encoder"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "config.json").touch()  # not beside weights
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (package / "deep" / name).symlink_to(f"{tiny_encoder}/{name}")
    monkeypatch.syspath_prepend(tmp_path)
    assert resolve_encoder("package:docre_test_encoder") == str(package / "deep")
    found = build("package:docre_test_encoder").predict([DOCS[0]])
    assert torch.equal(found.hidden, build(tiny_encoder).predict([DOCS[0]]).hidden)
