"""thinc models that join encoders and a torch module: sizes, weights, and the way of the gradient."""

from dataclasses import replace
from functools import partial
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, cast

import srsly
import torch
from numpy.typing import NDArray
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from spacy.tokens import Doc
from thinc.api import Model, get_torch_default_device
from torch import Tensor, nn

from ..layers.encoded import EncodedBatch
from .optimisation import DocreShim

Scores = Dict[str, Tensor]  # named tensors that a module's forward pass returns
Loss = Callable[..., Tensor]  # from scores and tensors of gold labels to a scalar
BuildModule = Callable[..., nn.Module]
ModelInput = Tuple[List[Doc], Any]


class Portable:
    """A function that can be pickled although it was made inside another one, as a config's functions are. Processes
    that are spawned, such as those of `nlp.pipe(n_process=2)`, get their pipeline this way."""

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
    """Copy a module's state to the CPU, laid out as safetensors needs it."""
    return {name: t.detach().cpu().contiguous() for name, t in module.state_dict().items()}


def get_shim(model: Model) -> DocreShim:
    """RETURNS (DocreShim): The holder of a model's torch module."""
    return cast(DocreShim, model.shims[0])


def get_module(model: Model) -> Any:
    """RETURNS (Any): A model's torch module; None before it is built."""
    return get_shim(model).module


def build_torch_model(
    name: str,
    tok2vec: Model[List[Doc], EncodedBatch],
    build_module: BuildModule,
    loss: Loss,
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
    graph: a component computes a loss on them and hands their gradients, by name, to the backprop callback. Outputs
    computed without a gradient do not need one.

    tok2vec (Model[List[Doc], EncodedBatch]): The encoder.
    build_module (BuildModule): Called with width=... (the encoder's), n_out=... and `sizes` at initialisation.
    loss (Loss): From the scores and tensors of gold labels to a scalar. The model's attribute "loss" takes arrays.
    learn_rate_scale (float): Multiplies the optimizer's rate for the module.
    mixed_precision (bool): Compute in bfloat16 in training, where torch's autocast does so.
    sizes (Sequence[str]): Further dimensions, which have to be set before initialisation.
    second (Optional[Model[Any, EncodedBatch]]): An encoder of the module's own, beside the first: its output is
        EncodedBatch.second, its width `second_width` in the call of build_module. A module with a method `trains` says
        which encoders learn; see relation_head.TrainsEncoders.
    encoder_input (Callable[[Model, List[Doc], Any], Any]): What an encoder gets, from the Docs and the batch.
    attrs (Dict[str, Any]): Further attributes of the model, plain data.
    RETURNS (Model): From (docs, batch) to named tensors.
    """
    return Model(
        name,
        forward,
        init=init,
        layers=[tok2vec] if second is None else [tok2vec, second],
        shims=[TorchShim(build_module, learn_rate_scale=learn_rate_scale)],
        dims={"nO": None, **dict.fromkeys(sizes)},
        attrs={
            "mixed_precision": mixed_precision,
            "encoder_input": Portable(encoder_input),
            "loss": Portable(partial(loss_of_arrays, loss)),
            **attrs,
        },
    )


def loss_of_arrays(loss: Loss, scores: Scores, *arrays: NDArray) -> Tensor:
    """Compute a loss on gold labels that are still arrays, on the device of the scores."""
    device = next(iter(scores.values())).device
    return loss(scores, *(torch.as_tensor(array, device=device) for array in arrays))


def init(model: Model[ModelInput, Scores], X: Any = None, Y: Any = None) -> None:
    for encoder in model.layers:
        if encoder.has_dim("nO") is None:
            encoder.initialize(X=None if X is None else X[0])
    n_out = model.get_dim("nO") if model.has_dim("nO") else 1
    sizes = {name: model.get_dim(name) for name in model.dim_names if name != "nO"}
    widths = dict(zip(("width", "second_width"), (encoder.get_dim("nO") for encoder in model.layers)))
    cast(TorchShim, get_shim(model)).build(n_out=n_out, **widths, **sizes)


def forward(
    model: Model[ModelInput, Scores], X: ModelInput, is_train: bool
) -> Tuple[Scores, Callable[[Dict[str, Optional[Tensor]]], List[Doc]]]:
    batch, module = X[1], get_module(model)
    module.train(is_train)
    if not is_train:
        with torch.no_grad():
            return module(encode(model, X), batch), lambda d_scores: []
    outputs, backprops = zip(*(begin_encoder(model, i, X) for i in range(len(model.layers))))
    encoded = [output.leaves() for output in outputs]
    half = torch.autocast(encoded[0].hidden.device.type, dtype=torch.bfloat16, enabled=model.attrs["mixed_precision"])
    with torch.enable_grad(), half:
        found = module(join_encoders(encoded), batch)
        scores: Scores = {k: v.float() if v.is_floating_point() else v for k, v in found.items()}

    def backprop(d_scores: Dict[str, Optional[Tensor]]) -> List[Doc]:
        given = [(scores[k], d) for k, d in d_scores.items() if d is not None]
        if given:
            torch.autograd.backward([score for score, _ in given], [d for _, d in given])
        for leaves, backprop_encoder in zip(encoded, backprops):
            backprop_encoder(leaves.planes.gradients())
        return X[0]

    return {k: v.detach().requires_grad_(v.requires_grad) for k, v in scores.items()}, backprop


def begin_encoder(model: Model[ModelInput, Scores], i: int, X: ModelInput) -> Tuple[EncodedBatch, Callable]:
    """Run one of a model's encoders in training. An encoder that does not learn in this step runs in inference mode; a
    listener only passes its batch on."""
    encoder, module = model.layers[i], get_module(model)
    trains = getattr(module, "trains", None)
    live = trains is None or trains(i) or not any(node.shims for node in encoder.walk())
    return encoder(model.attrs["encoder_input"](encoder, *X), live)


def encode(model: Model[ModelInput, Scores], X: ModelInput) -> EncodedBatch:
    """Run a model's encoders as at run time."""
    return join_encoders([encoder.predict(model.attrs["encoder_input"](encoder, *X)) for encoder in model.layers])


def join_encoders(encoded: Sequence[EncodedBatch]) -> EncodedBatch:
    """Make one EncodedBatch, which a model's module gets, of the output of the model's encoders."""
    return replace(encoded[0], second=encoded[1]) if len(encoded) > 1 else encoded[0]


def differentiate(
    loss: Loss, scores: Scores, *args: Any, weight: float = 1.0
) -> Tuple[float, Dict[str, Optional[Tensor]]]:
    """Compute a loss on a model's scores, and its gradient.

    loss (Loss): From the scores and `args` to a scalar tensor.
    weight (float): Multiplies the gradient.
    RETURNS (Tuple[float, Dict[str, Optional[Tensor]]]): The loss, not weighted, and the gradient of each score.
    """
    with torch.enable_grad():
        value = loss(scores, *args)
        names = [name for name, score in scores.items() if score.requires_grad]
        gradients = torch.autograd.grad(value * weight, [scores[n] for n in names], allow_unused=True)
    return value.item(), dict(zip(names, gradients))
