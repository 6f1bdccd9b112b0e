"""Mention-pair coreference classifier of JEREX."""

from typing import Any, List

import torch
from spacy.tokens import Doc
from thinc.api import Model
from torch import Tensor, nn

from ..batches import MentionPairBatch
from ..layers.chunking import chunks
from ..layers.encoded import EncodedBatch
from ..layers.feedforward import PairFeedForward
from ..losses.per_document import binary_loss
from .torch_model import ModelInput, Scores, build_torch_model

MAX_PAIRS = 2**14  # scored at a time


class ClusterScorer(nn.Module):
    """Score mention pairs: y = FFNN(e(s1) o e(s2) o w_d), w_d an embedding of the edit distance of their texts.

    JEREX eq. 3-4. Eq. 3 depends on the order of the mentions: both orders are scored and their logits averaged.
    """

    def __init__(self, width: int, *, hidden_width: int, meta_width: int, max_distance: int, dropout: float) -> None:
        super().__init__()
        self.distance = nn.Embedding(max_distance + 1, meta_width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = PairFeedForward(width, meta_width, hidden_width or width, 1, dropout=dropout)

    def forward(self, encoded: EncodedBatch, batch: MentionPairBatch) -> Scores:
        mentions = self.classifier.project(self.dropout(encoded.pool(batch.mentions)))
        logits = [encoded.hidden.new_zeros(0, dtype=mentions[0].dtype)]
        for rows in chunks(len(batch), MAX_PAIRS):
            distance = encoded.index(batch.distance[rows]).clamp(max=self.distance.num_embeddings - 1)
            one, other = encoded.index(batch.first[rows]), encoded.index(batch.second[rows])
            logits.append(self.classifier(mentions, one, other, self.dropout(self.distance(distance))).squeeze(-1))
        return {"logits": torch.cat(logits)}


def cluster_loss(scores: Scores, gold: Tensor, doc: Tensor) -> Tensor:
    """Loss of JEREX's coreference classifier. gold (K,) bool, doc (K,): document of each pair."""
    return binary_loss(scores["logits"], gold, doc)


def build_cluster_scorer(
    tok2vec: Model[List[Doc], Any],
    *,
    hidden_width: int = 0,
    meta_width: int = 25,
    max_distance: int = 300,
    dropout: float = 0.1,
    learn_rate_scale: float = 1.0,
) -> Model[ModelInput, Scores]:
    """Build JEREX's coreference classifier.

    tok2vec (Model): A docre encoder or the listener to one.
    hidden_width (int): Hidden width of the classifier, 0 for the encoder's.
    meta_width (int): Width of the edit distance's embedding.
    max_distance (int): Largest edit distance with an embedding of its own, in characters.
    dropout (float): Dropout rate.
    learn_rate_scale (float): Multiplies the optimizer's rate for the new layers.
    """

    def build_module(width: int, n_out: int) -> nn.Module:
        return ClusterScorer(
            width, hidden_width=hidden_width, meta_width=meta_width, max_distance=max_distance, dropout=dropout
        )

    return build_torch_model("cluster-scorer", tok2vec, build_module, cluster_loss, learn_rate_scale=learn_rate_scale)
