"""The relation model: an encoder and a head."""

from dataclasses import asdict
from typing import Any, Dict, List, Optional

import torch
from numpy.typing import NDArray
from spacy.tokens import Doc
from thinc.api import Model
from torch import Tensor

from ..arrays import Ints1d
from ..batches import PairBatch
from ..layers.encoded import EncodedBatch

# Until 0.3 heads may import from here what is in relation_head; better from spacy_docre.heads.
from .relation_head import Explains, Explanation, RelationHead, RelationLoss  # noqa: F401
from .torch_model import ModelInput, Scores, build_torch_model, get_module


def build_relation_model(
    tok2vec: Model[List[Doc], Any], head: RelationHead, *, learn_rate_scale: float = 1.0, mixed_precision: bool = False
) -> Model[ModelInput, Scores]:
    """Join an encoder and a relation head.

    tok2vec (Model): A docre encoder, plain or marked, or the listener to one.
    head (RelationHead): The module that scores relations, and its loss.
    learn_rate_scale (float): Multiplies the optimizer's rate for the head.
    mixed_precision (bool): Compute the head in bfloat16 in training.
    RETURNS (Model): Its attribute "loss" takes scores, gold relations (P, R) and the document of each pair (P,).
    """
    phases: Dict[str, int] = {} if head.phases is None else asdict(head.phases)
    return build_torch_model(
        "relations",
        tok2vec,
        head.build_module,
        head.loss.function,
        learn_rate_scale=learn_rate_scale,
        mixed_precision=mixed_precision,
        sizes=["n_types"] if head.uses_types else [],
        second=head.encoder,
        encoder_input=get_encoder_input,
        attrs={"threshold_class": head.loss.threshold_class, "phases": phases},
    )


def get_encoder_input(encoder: Model, docs: List[Doc], batch: PairBatch) -> Any:
    """Select what an encoder reads: the Docs, and where it marks mentions also these."""
    return (docs, batch.entities.mentions) if "marker" in encoder.attrs else docs


@torch.no_grad()
def score(model: Model[ModelInput, Scores], encoded: EncodedBatch, batch: PairBatch) -> Scores:
    """Run a relation model's head on pairs of documents that are encoded already.

    encoded (EncodedBatch): Output of the model's encoders; see torch_model.encode.
    RETURNS (Scores): Named tensors, "logits" (P, n_out) among them.
    """
    return get_module(model).eval()(encoded, batch)


@torch.no_grad()
def explain(
    model: Model[ModelInput, Scores], encoded: EncodedBatch, batch: PairBatch, label: Ints1d, sentence: Ints1d
) -> Optional[Explanation]:
    """Weigh the evidence for relations.

    encoded, batch, label, sentence: See relation_head.Explains.
    RETURNS (Optional[Explanation]): None where there is no relation, or where the head explains nothing.
    """
    module = get_module(model).eval()
    return module.explain(encoded, batch, label, sentence) if len(batch) and isinstance(module, Explains) else None


def relation_scores(logits: Tensor, alpha: Optional[float], temperature: float = 1.0) -> NDArray:
    """Turn logits into scores: sigmoid((f_r - f_TH) / T), or sigmoid((f_r - logit(alpha)) / T) without a threshold
    class.

    logits (Tensor): Shape (P, 1 + R), column 0 is TH; or (P, R).
    alpha (Optional[float]): Probability from which a relation holds; None if there is a threshold class.
    temperature (float): T, which calibration on gold documents finds.
    RETURNS (NDArray): 0.5 at the threshold. Shape (P, R).
    """
    logits = logits.double()
    above = logits[:, 1:] - logits[:, :1] if alpha is None else logits - logits.new_tensor(alpha).logit()
    return (above / temperature).sigmoid().cpu().numpy()
