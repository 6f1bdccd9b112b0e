"""Every relation head on a CUDA device: the same losses, gradients and relations as on the CPU."""

from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest
import torch
from spacy.language import Language
from thinc.api import Adam, require_cpu, require_gpu

from .test_heads_contract import CELLS, build, find_corpus, read, view

pytestmark = pytest.mark.gpu
KMGRE = ("kmgre", "kmgre bilinear")


@pytest.fixture(autouse=True)
def cpu_again() -> Iterator[None]:
    pytest.importorskip("cupy", reason="thinc uses a GPU through cupy alone")
    yield
    require_cpu()


def modules(nlp: Language) -> List[torch.nn.Module]:
    shims = [shim for _, pipe in nlp.pipeline for node in pipe.model.walk() for shim in node.shims]
    return [shim._model for shim in shims]


def step(nlp: Language, path: str, phase: str) -> Tuple[float, Dict[Any, torch.Tensor]]:
    """RETURNS: Loss and gradients of one step, on the CPU."""
    pipe: Any = nlp.get_pipe("docre_relations")
    if phase:
        pipe.enter_phase(phase)
    loss = nlp.update(read(nlp, path), sgd=False)["docre_relations"]
    gradients = {}
    for i, module in enumerate(modules(nlp)):
        for name, parameter in module.named_parameters():
            if parameter.grad is not None:
                assert parameter.grad.device == parameter.device
                gradients[i, name] = parameter.grad.cpu()
                parameter.grad = None
    return loss, gradients


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: "-".join(part.split(".")[-2:][0] for part in cell))
def test_steps_and_relations_are_those_of_the_cpu(cell: Tuple[str, str, str], tiny_encoder: str, tmp_path: Path):
    path = find_corpus(tmp_path)
    require_cpu()
    on_cpu = build(*cell, path, tiny_encoder)
    saved = on_cpu.to_bytes()
    require_gpu()
    on_gpu = build(*cell, path, tiny_encoder).from_bytes(saved)
    assert {p.device.type for module in modules(on_gpu) for p in module.parameters()} == {"cuda"}
    for phase in ["warmup", "E", "M"] if cell[1] in KMGRE else [""]:
        require_cpu()
        wanted, expected = step(on_cpu, path, phase)
        require_gpu()
        loss, gradients = step(on_gpu, path, phase)
        assert loss == pytest.approx(wanted, rel=1e-4)
        assert gradients.keys() == expected.keys() and gradients
        whole = sum(gradient.square().sum() for gradient in expected.values()) ** 0.5
        for name, gradient in gradients.items():  # those of the keys' biases are 0 but for rounding
            error = (gradient - expected[name]).norm()
            assert error <= 1e-3 * expected[name].norm() + 1e-5 * whole, (phase, name)
    optimizer = Adam(0.001, L2=0.01, grad_clip=1.0, use_averages=False)
    for _ in range(5):
        on_gpu.update(read(on_gpu, path), sgd=False)
        for _, pipe in on_gpu.pipeline:
            pipe.finish_update(optimizer)
    assert all(p.isfinite().all() for module in modules(on_gpu) for p in module.parameters())
    on_gpu.get_pipe("docre_relations").cfg["threshold"] = 0.0  # untrained, it would find nothing
    found = [view(doc) for doc in on_gpu.pipe(eg.predicted for eg in read(on_gpu, path))]
    saved = on_gpu.to_bytes()
    require_cpu()
    on_cpu.from_bytes(saved)
    again = [view(doc) for doc in on_cpu.pipe(eg.predicted for eg in read(on_cpu, path))]
    assert all(found) and [f.keys() for f in found] == [a.keys() for a in again]
    assert all(found[i] == pytest.approx(again[i], abs=1e-3) for i in range(len(found)))
