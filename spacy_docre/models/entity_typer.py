"""Entity classifier of JEREX."""

from typing import Any, List

import numpy
import torch
from spacy.tokens import Doc
from thinc.api import Model
from torch import Tensor, nn

from ..arrays import Ints1d
from ..batches import EntityBatch
from ..layers.encoded import EncodedBatch
from ..layers.feedforward import FeedForward
from ..layers.segments import range_max
from ..losses.per_document import type_loss
from .bridge import ModelInput, Scores, build_torch_model


class EntityTyper(nn.Module):
    """Score types: y = FFNN(x), x the maximum over the entity's mentions, each the maximum over its word pieces.

    JEREX eq. 5-6.
    """

    def __init__(self, width: int, n_out: int, *, hidden_width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.classifier = FeedForward(width, hidden_width or width, n_out, dropout=dropout)

    def forward(self, encoded: EncodedBatch, batch: EntityBatch) -> Scores:
        m = batch.mentions
        first, last = encoded.layout.span_pieces(m.doc, m.start, m.end)
        mentions = encoded.max_pool(first, last)
        # Mentions of an entity follow one another: an entity is a range of mentions.
        bounds = numpy.searchsorted(batch.entity, numpy.arange(len(batch) + 1))
        return {"logits": self.classifier(self.dropout(range_max(mentions, bounds[:-1], bounds[1:])))}


def entity_loss(scores: Scores, gold: Ints1d, doc: Ints1d) -> Tensor:
    """Loss of JEREX's entity classifier. gold (E,) number of the type, doc (E,): document of each entity."""
    logits = scores["logits"]
    return type_loss(logits, torch.as_tensor(gold, device=logits.device), torch.as_tensor(doc, device=logits.device))


def build_entity_typer(
    tok2vec: Model[List[Doc], Any],
    *,
    hidden_width: int = 0,
    dropout: float = 0.1,
    learn_rate_scale: float = 1.0,
) -> Model[ModelInput, Scores]:
    """Build JEREX's entity classifier.

    tok2vec (Model): A docre encoder or the listener to one.
    hidden_width (int): Hidden width of the classifier, 0 for the encoder's.
    dropout (float): Dropout rate.
    learn_rate_scale (float): Multiplies the optimizer's rate for the new layers.
    """

    def build_module(width: int, n_out: int) -> nn.Module:
        return EntityTyper(width, n_out, hidden_width=hidden_width, dropout=dropout)

    attrs = {"loss": entity_loss}
    return build_torch_model("entity-typer", tok2vec, build_module, learn_rate_scale=learn_rate_scale, attrs=attrs)
