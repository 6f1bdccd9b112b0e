"""The bridge between torch and thinc: optimisation, storage, gradients there and back."""

import pickle

import pytest
import torch
from spacy.tokens import Doc
from spacy.vocab import Vocab
from thinc.api import Adam, Model
from torch import nn

from spacy_docre.models.bridge import TorchShim, build_torch_model, differentiate, update_parameters, use_parameters
from toy import encode_at_random, lay_windows

DESCENT = {"beta1": 0.0, "beta2": 0.0}  # plain gradient descent: a step is rate times gradient


def make_module():
    """4 * 3 weights, 4 biases, 4 + 4 of a LayerNorm, all of them 1."""
    module = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    for parameter in module.parameters():
        nn.init.ones_(parameter)
    return module


def set_gradients(module, value):
    for parameter in module.parameters():
        parameter.grad = torch.full_like(parameter, value)


# The optimizer's step


def test_clips_all_parameters_together():
    """24 gradients of 10 have the norm 10 sqrt(24); clipped to 1, each is 1 / sqrt(24). Tensor by tensor, as thinc does
    it, those of a bias would be 1 / sqrt(4)."""
    module = make_module()
    set_gradients(module, 10.0)
    optimizer = Adam(0.1, L2=0.0, grad_clip=1.0, **DESCENT)
    update_parameters(module, 1, optimizer)
    for parameter in module.parameters():
        assert torch.allclose(parameter, torch.tensor(1 - 0.1 / 24**0.5))
        assert parameter.grad is None
    assert optimizer.grad_clip == 1.0


def test_small_gradients_are_not_clipped():
    module = make_module()
    set_gradients(module, 0.1)  # norm 0.49
    update_parameters(module, 1, Adam(1.0, L2=0.0, grad_clip=1.0, **DESCENT))
    assert all(torch.allclose(p, torch.tensor(0.9)) for p in module.parameters())


def test_biases_and_norms_do_not_decay():
    """Gradients of 0: weights shrink by rate * decay, the rest stays."""
    module = make_module()
    set_gradients(module, 0.0)
    optimizer = Adam(0.1, L2=0.5, grad_clip=1.0)
    update_parameters(module, 1, optimizer)
    for name, parameter in module.named_parameters():
        expected = 0.95 if name == "0.weight" else 1.0
        assert torch.allclose(parameter, torch.tensor(expected)), name
    assert optimizer.L2 == 0.5


def test_learn_rate_scale():
    module = make_module()
    set_gradients(module, 1.0)
    update_parameters(module, 1, Adam(0.1, L2=0.0, grad_clip=0.0, **DESCENT), learn_rate_scale=3.0)
    assert all(torch.allclose(p, torch.tensor(0.7)) for p in module.parameters())


def test_parameters_without_gradient_are_left_alone():
    module = make_module()
    module[0].weight.grad = torch.ones(4, 3)
    update_parameters(module, 1, Adam(0.1, L2=0.5))
    for name, parameter in module.named_parameters():
        assert torch.equal(parameter, torch.ones_like(parameter)) == (name != "0.weight")
    update_parameters(module, 1, Adam(0.1))  # no gradient at all


def test_parameters_stay_where_they_are():
    """Their memory is written to, not replaced: each replacement kept the one before alive, and memory grew."""
    module, optimizer = make_module(), Adam(0.1)
    where = [p.data_ptr() for p in module.parameters()]
    for _ in range(3):
        set_gradients(module, 1.0)
        update_parameters(module, 1, optimizer)
    assert [p.data_ptr() for p in module.parameters()] == where
    assert all((p < 1).all() for p in module.parameters())


@pytest.mark.parametrize("clip", [0.0, 1.0])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_no_number_changes_nothing(clip, value):
    """Not the weights, not the optimizer's moments; warnings say how often, at the 1st, 2nd, 4th time."""
    shim, optimizer = make_shim(), Adam(0.1, grad_clip=clip)
    before = {name: t.clone() for name, t in shim.module.state_dict().items()}
    with pytest.warns(UserWarning, match="RW11") as caught:
        for _ in range(5):
            shim.module.weight.grad = torch.ones(2, 3)
            shim.module.bias.grad = torch.tensor([1.0, value])
            shim.finish_update(optimizer)
            assert shim.module.weight.grad is None and shim.module.bias.grad is None
    assert [str(w.message).split(" update")[0].split(": ")[1] for w in caught] == ["1", "2", "4"]
    assert all(torch.equal(t, before[name]) for name, t in shim.module.state_dict().items())
    assert not optimizer.mom1 and optimizer.grad_clip == clip


def test_settings_return_after_an_error():
    module = make_module()
    set_gradients(module, 1.0)
    optimizer = Adam(0.1, L2=0.5, grad_clip=2.0)
    optimizer.mom1[(1, "0.weight")] = "nonsense"
    with pytest.raises(Exception):  # noqa: B017
        update_parameters(module, 1, optimizer)
    assert (optimizer.grad_clip, optimizer.L2) == (2.0, 0.5)


def test_equals_torchs_own_adamw():
    """Adam with decoupled decay, no clipping: three steps of both."""
    ours, theirs = nn.Linear(3, 4), nn.Linear(3, 4)
    theirs.load_state_dict(ours.state_dict())
    decayed = [{"params": [theirs.weight], "weight_decay": 0.1}, {"params": [theirs.bias], "weight_decay": 0.0}]
    optimizer, reference = Adam(0.01, L2=0.1, grad_clip=0.0, eps=1e-8), torch.optim.AdamW(decayed, lr=0.01, eps=1e-8)
    x = torch.randn(5, 3)
    for _ in range(3):
        for module in (ours, theirs):
            module(x).square().sum().backward()
        update_parameters(ours, 1, optimizer)
        reference.step()
        reference.zero_grad()
    # AdamW decays before its step, thinc after it.
    assert torch.allclose(ours.weight, theirs.weight, atol=1e-4) and torch.allclose(ours.bias, theirs.bias, atol=1e-6)


def test_two_modules_of_one_name_do_not_share_moments():
    optimizer = Adam(0.1, L2=0.0, grad_clip=0.0)
    one, two = make_module(), make_module()
    for _ in range(3):
        set_gradients(one, 1.0)
        update_parameters(one, 1, optimizer)
    set_gradients(two, 1.0)
    update_parameters(two, 2, optimizer)
    fresh = make_module()
    set_gradients(fresh, 1.0)
    update_parameters(fresh, 1, Adam(0.1, L2=0.0, grad_clip=0.0))
    assert all(torch.equal(a, b) for a, b in zip(two.parameters(), fresh.parameters()))


def test_averages_for_a_while():
    module = make_module()
    optimizer = Adam(0.1, use_averages=True)
    for _ in range(5):
        set_gradients(module, 1.0)
        update_parameters(module, 7, optimizer)
    last = {name: p.detach().clone() for name, p in module.named_parameters()}
    with use_parameters(module, 7, optimizer.averages):
        for name, parameter in module.named_parameters():
            assert torch.equal(parameter, torch.from_numpy(optimizer.averages[7, name]))
            assert not torch.equal(parameter, last[name])
    assert all(torch.equal(p, last[name]) for name, p in module.named_parameters())
    with pytest.raises(KeyError), use_parameters(module, 7, optimizer.averages):
        raise KeyError
    assert all(torch.equal(p, last[name]) for name, p in module.named_parameters())
    with use_parameters(None, 7, optimizer.averages), use_parameters(module, 8, optimizer.averages):
        assert all(torch.equal(p, last[name]) for name, p in module.named_parameters())


# The shim


def build_linear(width, n_out):
    return nn.Linear(width, n_out)


def make_shim(**settings):
    shim = TorchShim(build_linear, **settings)
    shim.build(width=3, n_out=2)
    return shim


def test_shim_round_trip():
    shim = make_shim()
    for other in (TorchShim(build_linear), make_shim()):
        loaded = other.from_bytes(shim.to_bytes())
        assert loaded.sizes == {"width": 3, "n_out": 2}
        assert torch.equal(loaded.module.weight, shim.module.weight)
        assert loaded.to_bytes() == shim.to_bytes()


def test_shim_of_other_sizes_is_built_anew():
    """A model initialised for two labels takes over weights for five."""
    other = TorchShim(build_linear)
    other.build(width=3, n_out=5)
    shim = make_shim().from_bytes(other.to_bytes())
    assert shim.module.weight.shape == (5, 3) and torch.equal(shim.module.weight, other.module.weight)


def test_shim_without_module():
    empty = TorchShim(build_linear)
    assert empty.module is None
    assert TorchShim(build_linear).from_bytes(empty.to_bytes()).module is None
    assert empty.copy().module is None
    empty.finish_update(Adam(0.1))
    with empty.use_params({}):
        pass
    empty.to_device("cpu", -1)


def test_shim_is_built_once():
    shim = make_shim()
    module = shim.module
    assert shim.build(width=3, n_out=2) is module
    assert shim.build(width=3, n_out=4) is not module


def test_shim_copy_has_its_own_id_and_parameters():
    shim = make_shim(learn_rate_scale=2.0)
    copied = shim.copy()
    assert copied.id != shim.id and copied.learn_rate_scale == 2.0
    assert torch.equal(copied.module.weight, shim.module.weight)
    before = shim.module.weight.detach().clone()
    optimizer = Adam(0.1)
    set_gradients(copied.module, 1.0)
    copied.finish_update(optimizer)
    assert torch.equal(shim.module.weight, before) and not torch.equal(copied.module.weight, before)
    assert {key for key, _ in optimizer.mom1} == {copied.id}


def test_saved_states_hold_tensors_alone():
    """Nothing that could run when loaded: no pickle."""
    assert b"\x80\x04" not in make_shim().to_bytes() and b"torch" not in make_shim().to_bytes()


# The model


class Sum(nn.Module):
    """Scores a batch (a list of factors) by the sum of all vectors, and offers a second score nobody may want."""

    def __init__(self, width, n_out):
        super().__init__()
        self.linear = nn.Linear(width, n_out)

    def forward(self, encoded, batch):
        pooled = encoded.pieces().sum(0)
        return {"logits": self.linear(pooled)[None] * torch.tensor(batch)[:, None], "extra": pooled.square()}


class Encoder:
    """Stands for an encoder: gives one fixed output, keeps the gradients it gets."""

    def __init__(self, attention=False):
        self.output = encode_at_random([lay_windows([1, 2], [(0, 3)])], dtype=torch.float32, attention=attention)
        self.gradients = None

    def __call__(self, model, docs, is_train):
        def backprop(gradients):
            self.gradients = gradients
            return docs

        return self.output, backprop


DOCS = [Doc(Vocab(), words=["a", "b"])]


def make_model(encoder, **settings):
    tok2vec = Model("encoder", encoder, dims={"nO": 4})
    model = build_torch_model("sum", tok2vec, Sum, **settings)
    model.set_dim("nO", 2)
    model.initialize()
    return model


def test_gradients_reach_module_and_encoder():
    """d logits = 1: the vectors' gradient is the column sums of the weights times the sum of factors, 1 + 2."""
    encoder = Encoder()
    model = make_model(encoder)
    scores, backprop = model.begin_update((DOCS, [1.0, 2.0]))
    assert scores["logits"].shape == (2, 2) and scores["logits"].is_leaf
    assert backprop({"logits": torch.ones(2, 2), "extra": None}) is DOCS
    module = model.shims[0].module
    hidden, queries, keys, attention = encoder.gradients
    assert torch.allclose(hidden[0, 1:4], 3 * module.linear.weight.sum(0).expand(3, 4))
    assert not hidden[0, 0].any() and not hidden[0, 4].any()  # special pieces
    assert queries is None and keys is None and attention is None
    assert torch.allclose(module.linear.bias.grad, torch.tensor([3.0, 3.0]))


def test_gradients_of_both_scores_add_up():
    encoder = Encoder()
    model = make_model(encoder)
    found = []
    for wanted in ({"logits"}, {"extra"}, {"logits", "extra"}):
        scores, backprop = model.begin_update((DOCS, [1.0]))
        backprop({k: torch.ones_like(v) if k in wanted else None for k, v in scores.items()})
        found.append(encoder.gradients[0])
    assert torch.allclose(found[0] + found[1], found[2], atol=1e-5)


def test_no_gradient_is_none():
    encoder = Encoder()
    _, backprop = make_model(encoder).begin_update((DOCS, [1.0]))
    backprop({"logits": None, "extra": None})
    assert encoder.gradients == [None] * 4


def test_prediction_keeps_no_graph_and_uses_no_dropout():
    model = make_model(Encoder())
    scores = model.predict((DOCS, [1.0]))
    assert not any(t.requires_grad for t in scores.values())
    assert not model.shims[0].module.training
    model.begin_update((DOCS, [1.0]))
    assert model.shims[0].module.training


def test_mixed_precision_in_training_alone():
    model = make_model(Encoder(), mixed_precision=True)
    rough, _ = model.begin_update((DOCS, [1.0]))
    exact = model.predict((DOCS, [1.0]))
    assert rough["logits"].dtype == torch.float32
    assert 0 < (rough["logits"] - exact["logits"]).abs().max() < 0.1


def test_model_round_trip():
    model = make_model(Encoder())
    fresh = build_torch_model("sum", Model("encoder", Encoder(), dims={"nO": None}), Sum)
    loaded = fresh.from_bytes(model.to_bytes())
    assert torch.equal(loaded.predict((DOCS, [1.0]))["logits"], model.predict((DOCS, [1.0]))["logits"])
    assert loaded.get_dim("nO") == 2 and loaded.layers[0].get_dim("nO") == 4


def test_model_copy():
    """thinc drops a copied model's references; the encoder is found all the same."""
    model = make_model(Encoder())
    copied = model.copy()
    assert torch.equal(copied.predict((DOCS, [1.0]))["logits"], model.predict((DOCS, [1.0]))["logits"])
    assert copied.shims[0].id != model.shims[0].id


def test_functions_made_inside_functions_can_be_pickled():
    """As those of a config are: with what they remember."""
    factor = 3.0
    model = build_torch_model(
        "sum",
        Model("encoder", encode_nothing),
        lambda **sizes: nn.Linear(int(factor), 2),
        attrs={"loss": lambda scores: factor * scores["logits"].sum()},
    )
    loaded = pickle.loads(pickle.dumps(model))
    assert loaded.attrs["loss"]({"logits": torch.ones(2)}) == 6.0
    assert loaded.shims[0].build().in_features == 3


def encode_nothing(model, docs, is_train):
    raise NotImplementedError


def test_differentiate():
    """Loss sum(w x^2) with w = 3 at x = 2: value 12, gradient 2 * 3 * 2 = 12, times the weight 0.5."""

    def loss(scores, factor):
        return (factor * scores["logits"].square()).sum()

    scores = {"logits": torch.tensor([2.0], requires_grad=True), "extra": torch.ones(1, requires_grad=True)}
    value, gradients = differentiate(loss, scores, 3.0, weight=0.5)
    assert value == 12.0
    assert gradients["logits"].tolist() == [6.0] and gradients["extra"] is None
    assert scores["logits"].grad is None
