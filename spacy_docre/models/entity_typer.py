"""Entity classifier of JEREX."""

from typing import Any, List

from spacy.tokens import Doc
from thinc.api import Model
from torch import Tensor, nn

from ..batches import EntityBatch
from ..layers.encoded import EncodedBatch
from ..layers.feedforward import FeedForward
from ..layers.pairs import mention_bounds
from ..layers.segments import range_max
from ..losses.per_document import type_loss
from .torch_model import ModelInput, Scores, build_torch_model


class EntityTyper(nn.Module):
    """Score types: y = FFNN(x), x the maximum over the entity's mentions, each the maximum over its word pieces.

    JEREX eq. 5-6.
    """

    def __init__(self, width: int, n_out: int, *, hidden_width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.classifier = FeedForward(width, hidden_width or width, n_out, dropout=dropout)

    def forward(self, encoded: EncodedBatch, batch: EntityBatch) -> Scores:
        bounds = mention_bounds(batch)
        entities = range_max(encoded.pool(batch.mentions), bounds[:-1], bounds[1:])
        return {"logits": self.classifier(self.dropout(entities))}


def entity_loss(scores: Scores, gold: Tensor, doc: Tensor) -> Tensor:
    """Loss of JEREX's entity classifier. gold (E,) number of the type, doc (E,): document of each entity."""
    return type_loss(scores["logits"], gold, doc)


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

    return build_torch_model("entity-typer", tok2vec, build_module, entity_loss, learn_rate_scale=learn_rate_scale)
