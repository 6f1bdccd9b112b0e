"""thinc models round torch modules: storage, gradients there and back."""

import pickle

import numpy
import torch
from spacy.tokens import Doc
from spacy.vocab import Vocab
from thinc.api import Adam, Model
from torch import nn

from spacy_docre.models.torch_model import TorchShim, build_torch_model, differentiate, get_module, get_shim
from toy import encode_at_random, lay_windows

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
    for parameter in copied.module.parameters():
        parameter.grad = torch.ones_like(parameter)
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


def sum_scores(scores, gold):
    return (gold * scores["logits"]).sum()


DOCS = [Doc(Vocab(), words=["a", "b"])]


def make_model(encoder, **settings):
    tok2vec = Model("encoder", encoder, dims={"nO": 4})
    model = build_torch_model("sum", tok2vec, Sum, sum_scores, **settings)
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
    module = get_module(model)
    assert encoder.gradients.keys() == {"hidden"}
    hidden = encoder.gradients["hidden"]
    assert torch.allclose(hidden[0, 1:4], 3 * module.linear.weight.sum(0).expand(3, 4))
    assert not hidden[0, 0].any() and not hidden[0, 4].any()  # special pieces
    assert torch.allclose(module.linear.bias.grad, torch.tensor([3.0, 3.0]))


def test_gradients_of_both_scores_add_up():
    encoder = Encoder()
    model = make_model(encoder)
    found = []
    for wanted in ({"logits"}, {"extra"}, {"logits", "extra"}):
        scores, backprop = model.begin_update((DOCS, [1.0]))
        backprop({k: torch.ones_like(v) if k in wanted else None for k, v in scores.items()})
        found.append(encoder.gradients["hidden"])
    assert torch.allclose(found[0] + found[1], found[2], atol=1e-5)


def test_without_a_gradient_the_encoder_gets_none():
    encoder = Encoder()
    _, backprop = make_model(encoder).begin_update((DOCS, [1.0]))
    backprop({"logits": None, "extra": None})
    assert encoder.gradients == {}


def test_prediction_keeps_no_graph_and_uses_no_dropout():
    model = make_model(Encoder())
    scores = model.predict((DOCS, [1.0]))
    assert not any(t.requires_grad for t in scores.values())
    assert not get_module(model).training
    model.begin_update((DOCS, [1.0]))
    assert get_module(model).training


def test_mixed_precision_in_training_alone():
    model = make_model(Encoder(), mixed_precision=True)
    rough, _ = model.begin_update((DOCS, [1.0]))
    exact = model.predict((DOCS, [1.0]))
    assert rough["logits"].dtype == torch.float32
    assert 0 < (rough["logits"] - exact["logits"]).abs().max() < 0.1


def test_model_round_trip():
    model = make_model(Encoder())
    fresh = build_torch_model("sum", Model("encoder", Encoder(), dims={"nO": None}), Sum, sum_scores)
    loaded = fresh.from_bytes(model.to_bytes())
    assert torch.equal(loaded.predict((DOCS, [1.0]))["logits"], model.predict((DOCS, [1.0]))["logits"])
    assert loaded.get_dim("nO") == 2 and loaded.layers[0].get_dim("nO") == 4


def test_model_copy():
    """thinc drops a copied model's references; the encoder is found all the same."""
    model = make_model(Encoder())
    copied = model.copy()
    assert torch.equal(copied.predict((DOCS, [1.0]))["logits"], model.predict((DOCS, [1.0]))["logits"])
    assert get_shim(copied).id != get_shim(model).id


def test_functions_made_inside_functions_can_be_pickled():
    """As those of a config are: with what they remember."""
    factor = 3.0
    model = build_torch_model(
        "sum",
        Model("encoder", encode_nothing),
        lambda **sizes: nn.Linear(int(factor), 2),
        lambda scores: factor * scores["logits"].sum(),
    )
    loaded = pickle.loads(pickle.dumps(model))
    assert loaded.attrs["loss"]({"logits": torch.ones(2)}) == 6.0
    assert get_shim(loaded).build().in_features == 3


def encode_nothing(model, docs, is_train):
    raise NotImplementedError


def test_loss_takes_arrays():
    """Components hold gold labels as arrays: the model makes tensors of them, on the device of its scores."""
    scores = {"logits": torch.tensor([1.0, 2.0])}
    assert make_model(Encoder()).attrs["loss"](scores, numpy.asarray([False, True])) == 2.0


def test_differentiate():
    """Loss sum(w x^2) with w = 3 at x = 2: value 12, gradient 2 * 3 * 2 = 12, times the weight 0.5."""

    def loss(scores, factor):
        return (factor * scores["logits"].square()).sum()

    scores = {"logits": torch.tensor([2.0], requires_grad=True), "extra": torch.ones(1, requires_grad=True)}
    value, gradients = differentiate(loss, scores, 3.0, weight=0.5)
    assert value == 12.0
    assert gradients["logits"].tolist() == [6.0] and gradients["extra"] is None
    assert scores["logits"].grad is None
