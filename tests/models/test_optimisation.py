"""Updates of torch modules by thinc optimizers: clipping, decay, averages."""

import pytest
import torch
from thinc.api import Adam
from torch import nn

from spacy_docre.models.optimisation import DocreShim, update_parameters, use_parameters

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
    shim, optimizer = DocreShim(nn.Linear(3, 2)), Adam(0.1, grad_clip=clip)
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
