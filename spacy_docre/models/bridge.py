"""The one place where torch modules become thinc models: sizes, weights, gradients and their optimisation."""

import contextlib
import warnings
from dataclasses import replace
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, cast

import srsly
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from spacy.tokens import Doc
from thinc.api import Model, Optimizer, get_torch_default_device, torch2xp, xp2torch
from thinc.shims import Shim
from torch import Tensor, nn

from ..errors import Warnings
from ..layers.encoded import EncodedBatch

Scores = Dict[str, Tensor]  # what a head's forward pass returns, by name
BuildModule = Callable[..., nn.Module]
ModelInput = Tuple[List[Doc], Any]


def update_parameters(module: nn.Module, key: int, optimizer: Optimizer, learn_rate_scale: float = 1.0) -> bool:
    """Let a thinc optimizer change a torch module in place, and drop the gradients.

    Two things differ from thinc's own shim, as the papers have them: the gradient's norm is clipped over all
    parameters together (thinc clips each tensor by itself), and biases and LayerNorm weights do not decay.

    key (int): Unique for the module; the optimizer keeps its moments under it.
    learn_rate_scale (float): Multiplies the optimizer's rate.
    RETURNS (bool): False if a gradient was infinite or not a number, so that nothing was changed.
    """
    parameters = [(name, p) for name, p in module.named_parameters() if p.grad is not None]
    if not parameters:
        return True
    clip, decay = optimizer.grad_clip, optimizer.L2
    norm = torch.nn.utils.clip_grad_norm_([p for _, p in parameters], clip or torch.inf)
    if not torch.isfinite(norm):
        module.zero_grad(set_to_none=True)
        return False
    try:
        optimizer.grad_clip = 0.0
        for name, parameter in parameters:
            assert parameter.grad is not None
            optimizer.L2 = decay if parameter.dim() > 1 else 0.0
            weights, _ = optimizer(
                (key, name),
                torch2xp(parameter.data),
                torch2xp(parameter.grad.contiguous()),
                lr_scale=learn_rate_scale,
            )
            updated = xp2torch(weights, device=parameter.device)
            # The optimizer works in place. Were the parameter's data replaced by `updated`, each step's wrappers would
            # keep those of the step before alive, and training would need ever more memory.
            if updated.data_ptr() != parameter.data_ptr():
                parameter.data.copy_(updated)
            parameter.grad = None
    finally:
        optimizer.grad_clip, optimizer.L2 = clip, decay
    return True


@contextlib.contextmanager
def use_parameters(module: Optional[nn.Module], key: int, params: Dict[Any, Any]) -> Iterator[None]:
    """Replace a module's parameters for a while by an optimizer's averages, kept under (key, name)."""
    if module is None:
        yield
        return
    averages = {n: params[(key, n)] for n, _ in module.named_parameters() if (key, n) in params}
    backup = {name: p.data for name, p in module.named_parameters() if name in averages}
    parameters = dict(module.named_parameters())
    for name, value in averages.items():
        parameters[name].data = xp2torch(value, device=parameters[name].device)
    try:
        yield
    finally:
        for name, data in backup.items():
            parameters[name].data = data


class DocreShim(Shim):
    """What the holders of torch modules have in common here.

    learn_rate_scale (float): Multiplies the optimizer's rate.
    n_skipped (int): Updates left out because of their gradient.
    """

    learn_rate_scale = 1.0
    n_skipped = 0

    def finish_update(self, optimizer: Optimizer) -> None:
        if self._model is None or update_parameters(self._model, self.id, optimizer, self.learn_rate_scale):
            return
        self.n_skipped += 1
        if self.n_skipped & (self.n_skipped - 1) == 0:  # said at the 1st, 2nd, 4th, 8th … time
            warnings.warn(Warnings.RW11.format(what=type(self._model).__name__, n=self.n_skipped), stacklevel=2)

    @contextlib.contextmanager
    def use_params(self, params: Dict[Any, Any]) -> Iterator[None]:
        with use_parameters(self._model, self.id, params):
            yield

    def to_device(self, device_type: str, device_id: int) -> None:
        if self._model is not None:
            self._model.to("cpu" if device_type == "cpu" else f"cuda:{device_id}")


class Portable:
    """A function that can be pickled although it was made inside another one, as a config's functions are. Processes
    that are spawned, those of `nlp.pipe(n_process=2)` for one, get their pipeline so."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __reduce__(self) -> Tuple[Any, ...]:
        return Portable.from_bytes, (srsly.pickle_dumps(self.function),)

    @staticmethod
    def from_bytes(data: bytes) -> "Portable":
        return Portable(srsly.pickle_loads(data))


class TorchShim(DocreShim):
    """Holds a torch module that is built when its sizes are known: at initialisation, or from saved bytes.

    build_module (BuildModule): Makes the module from the sizes.
    learn_rate_scale (float): Multiplies the optimizer's rate for this module.
    """

    def __init__(self, build_module: BuildModule, *, learn_rate_scale: float = 1.0) -> None:
        super().__init__(None)
        self.build_module = Portable(build_module)
        self.learn_rate_scale = learn_rate_scale
        self.sizes: Dict[str, int] = {}

    @property
    def module(self) -> Optional[nn.Module]:
        return self._model

    def build(self, **sizes: int) -> nn.Module:
        """Build the module, unless one of these sizes is there already."""
        if self._model is None or self.sizes != sizes:
            self.sizes = sizes
            self._model = self.build_module(**sizes).to(get_torch_default_device())
        return self._model

    def copy(self) -> "TorchShim":
        copied = TorchShim(self.build_module.function, learn_rate_scale=self.learn_rate_scale)
        if self._model is not None:
            copied.build(**self.sizes).load_state_dict(self._model.state_dict())
        return copied

    def to_bytes(self) -> bytes:
        state = b"" if self._model is None else save_tensors(contiguous_state(self._model))
        return srsly.msgpack_dumps({"sizes": self.sizes, "state": state})

    def from_bytes(self, data: bytes) -> "TorchShim":
        msg = srsly.msgpack_loads(data)
        if msg["state"]:
            self.build(**msg["sizes"]).load_state_dict(load_tensors(msg["state"]))
        return self


def contiguous_state(module: nn.Module) -> Dict[str, Tensor]:
    """RETURNS (Dict[str, Tensor]): The module's state, on the CPU, as safetensors wants it."""
    return {name: t.detach().cpu().contiguous() for name, t in module.state_dict().items()}


def build_torch_model(
    name: str,
    tok2vec: Model[List[Doc], EncodedBatch],
    build_module: BuildModule,
    *,
    learn_rate_scale: float = 1.0,
    mixed_precision: bool = False,
    sizes: Sequence[str] = (),
    second: Optional[Model[Any, EncodedBatch]] = None,
    encoder_input: Callable[[Model, List[Doc], Any], Any] = lambda encoder, docs, batch: docs,
    attrs: Dict[str, Any] = {},
) -> Model[ModelInput, Scores]:
    """Join an encoder (or the listener to a shared one) and a torch module.

    The module's forward pass gets (EncodedBatch, batch) and returns named tensors. They come out cut off from the
    graph: a component computes a loss on them and hands their gradients, by name, to the backprop callback. What the
    module computes without gradient wants none.

    tok2vec (Model[List[Doc], EncodedBatch]): The encoder.
    build_module (BuildModule): Called with width=... (the encoder's), n_out=... and `sizes` at initialisation.
    learn_rate_scale (float): Multiplies the optimizer's rate for the module.
    mixed_precision (bool): Compute in bfloat16 in training, where torch's autocast does so.
    sizes (Sequence[str]): Further dimensions, which have to be set before initialisation.
    second (Optional[Model[Any, EncodedBatch]]): An encoder of the module's own, beside the first: its output is
        EncodedBatch.second, its width `second_width` in the call of build_module.
    encoder_input (Callable[[Model, List[Doc], Any], Any]): What an encoder gets, from the Docs and the batch.
    attrs (Dict[str, Any]): The model's attributes, the loss among them.
    RETURNS (Model): From (docs, batch) to named tensors.
    """
    shim = TorchShim(build_module, learn_rate_scale=learn_rate_scale)
    functions = {k: Portable(v) if callable(v) else v for k, v in {"encoder_input": encoder_input, **attrs}.items()}
    return Model(
        name,
        forward,
        init=init,
        layers=[tok2vec] if second is None else [tok2vec, second],
        shims=[shim],
        dims={"nO": None, **dict.fromkeys(sizes)},
        attrs={"mixed_precision": mixed_precision, **functions},
    )


def init(model: Model[ModelInput, Scores], X: Any = None, Y: Any = None) -> None:
    for encoder in model.layers:
        if encoder.has_dim("nO") is None:
            encoder.initialize(X=None if X is None else X[0])
    n_out = model.get_dim("nO") if model.has_dim("nO") else 1
    sizes = {name: model.get_dim(name) for name in model.dim_names if name != "nO"}
    widths = dict(zip(("width", "second_width"), (encoder.get_dim("nO") for encoder in model.layers)))
    cast(TorchShim, model.shims[0]).build(n_out=n_out, **widths, **sizes)


def forward(
    model: Model[ModelInput, Scores], X: ModelInput, is_train: bool
) -> Tuple[Scores, Callable[[Dict[str, Optional[Tensor]]], List[Doc]]]:
    batch = X[1]
    module = cast(nn.Module, cast(TorchShim, model.shims[0]).module)
    module.train(is_train)
    if not is_train:
        with torch.no_grad():
            return module(encode(model, X), batch), lambda d_scores: []
    trains: Callable[[int], bool] = getattr(module, "trains", lambda encoder: True)
    found, backprops = [], []
    for i, encoder in enumerate(model.layers):
        # What is not trained runs as at run time; a listener has nothing to run, only a batch to hand on.
        live = trains(i) or not any(node.shims for node in encoder.walk())
        output, backprop_encoder = encoder(model.attrs["encoder_input"](encoder, *X), live)
        found.append(output.leaves())
        backprops.append(backprop_encoder)
    half = torch.autocast(found[0].hidden.device.type, dtype=torch.bfloat16, enabled=model.attrs["mixed_precision"])
    with torch.enable_grad(), half:
        outputs: Scores = {k: v.float() if v.is_floating_point() else v for k, v in module(join(found), batch).items()}

    def backprop(d_scores: Dict[str, Optional[Tensor]]) -> List[Doc]:
        wanted = [(outputs[k], d) for k, d in d_scores.items() if d is not None]
        if wanted:
            torch.autograd.backward([o for o, _ in wanted], [d for _, d in wanted])
        for encoded, backprop_encoder in zip(found, backprops):
            backprop_encoder([None if t is None else t.grad for t in encoded.tensors()])
        return X[0]

    return {k: v.detach().requires_grad_(v.requires_grad) for k, v in outputs.items()}, backprop


def encode(model: Model[ModelInput, Scores], X: ModelInput) -> EncodedBatch:
    """RETURNS (EncodedBatch): What a model's encoders give at run time."""
    return join([encoder.predict(model.attrs["encoder_input"](encoder, *X)) for encoder in model.layers])


def join(encoded: Sequence[EncodedBatch]) -> EncodedBatch:
    """RETURNS (EncodedBatch): The output of a model's encoders as its module gets it."""
    return replace(encoded[0], second=encoded[1]) if len(encoded) > 1 else encoded[0]


def differentiate(
    loss: Callable[..., Tensor], scores: Scores, *args: Any, weight: float = 1.0
) -> Tuple[float, Dict[str, Optional[Tensor]]]:
    """Compute a loss on a model's scores, and its gradient.

    loss (Callable): From the scores and `args` to a scalar tensor.
    weight (float): Multiplies the gradient.
    RETURNS (Tuple[float, Dict[str, Optional[Tensor]]]): The loss, not weighted, and the gradient of each score.
    """
    with torch.enable_grad():
        value = loss(scores, *args)
        names = [name for name, score in scores.items() if score.requires_grad]
        gradients = torch.autograd.grad(value * weight, [scores[n] for n in names], allow_unused=True)
    return value.item(), dict(zip(names, gradients))
