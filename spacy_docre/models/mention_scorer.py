"""Mention classifier of JEREX."""

from typing import Any, List

import numpy
import torch
from spacy.attrs import IS_ALPHA, IS_DIGIT, IS_LOWER, IS_PUNCT, IS_TITLE, IS_UPPER
from spacy.tokens import Doc
from thinc.api import Model
from torch import Tensor, nn

from ..arrays import Ints1d
from ..batches import CandidateBatch, SpanBatch
from ..layers.chunking import chunks
from ..layers.encoded import EncodedBatch
from ..layers.feedforward import FeedForward
from ..losses.per_document import binary_loss
from .torch_model import ModelInput, Scores, build_torch_model

N_ORTHOGRAPHY = 9
MAX_CANDIDATES = 2**14  # scored at a time


def get_orthography(doc: Doc) -> Ints1d:
    """Tell the letter case of tokens apart, which an encoder without capital letters cannot see.

    RETURNS (Ints1d): 0 no token (before and after the text), 1 lower case, 2 Title, 3 UPPER, 4 single capital,
        5 mixed, 6 digits, 7 punctuation, 8 anything else; with a 0 at both ends. Shape (T + 2,).
    """
    flags = doc.to_array([IS_ALPHA, IS_LOWER, IS_TITLE, IS_UPPER, IS_DIGIT, IS_PUNCT]).astype(bool).reshape(-1, 6)
    alpha, lower, title, upper, digit, punct = flags.T
    kinds = [alpha & lower, title & upper, alpha & title, alpha & upper, alpha, digit, punct]
    numbers = numpy.select(kinds, [1, 4, 2, 3, 5, 6, 7], 8)
    return numpy.concatenate([[0], numbers, [0]]).astype("int64")


class MentionScorer(nn.Module):
    """Score spans: y = FFNN(e(s) o w), e(s) the maximum over the span's word pieces, w an embedding of its length.

    JEREX eq. 1-2 (Eberts and Ulges, EACL 2021). With `orthography`, embeddings of the letter case of the tokens
    before, first, last and after the span are concatenated as well: an addition to the paper, for uncased encoders.
    """

    def __init__(
        self, width: int, *, hidden_width: int, meta_width: int, max_span_size: int, orthography: bool, dropout: float
    ) -> None:
        super().__init__()
        self.size = nn.Embedding(max_span_size + 1, meta_width)
        self.orthography = nn.Embedding(N_ORTHOGRAPHY, meta_width) if orthography else None
        n_in = width + meta_width * (5 if orthography else 1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = FeedForward(n_in, hidden_width or width, 1, dropout=dropout)

    def forward(self, encoded: EncodedBatch, batch: CandidateBatch) -> Scores:
        # Candidates come by document and first token: those of a chunk lie in a small part of the batch.
        logits = [encoded.hidden.new_zeros(0, dtype=self.size.weight.dtype)]
        logits += [self.score(encoded, batch, rows) for rows in chunks(len(batch), MAX_CANDIDATES)]
        return {"logits": torch.cat(logits)}

    def score(self, encoded: EncodedBatch, batch: CandidateBatch, rows: slice) -> Tensor:
        """Score some candidates: logits (N,)."""
        spans = SpanBatch(batch.spans.doc[rows], batch.spans.start[rows], batch.spans.end[rows])
        vectors = encoded.pool(spans)
        size = encoded.index(spans.end - spans.start).clamp(max=self.size.num_embeddings - 1)
        features = [vectors, self.size(size)]
        if self.orthography is not None:
            features.append(self.orthography(encoded.index(batch.orthography[rows])).flatten(1))
        return self.classifier(self.dropout(torch.cat(features, -1))).squeeze(-1)


def mention_loss(scores: Scores, gold: Tensor, doc: Tensor) -> Tensor:
    """Loss of JEREX's mention classifier. gold (N,) bool, doc (N,): document of each span."""
    return binary_loss(scores["logits"], gold, doc)


def build_mention_scorer(
    tok2vec: Model[List[Doc], Any],
    *,
    hidden_width: int = 0,
    meta_width: int = 25,
    max_span_size: int = 30,
    orthography: bool = True,
    dropout: float = 0.1,
    learn_rate_scale: float = 1.0,
) -> Model[ModelInput, Scores]:
    """Build JEREX's mention classifier.

    tok2vec (Model): A docre encoder or the listener to one.
    hidden_width (int): Hidden width of the classifier, 0 for the encoder's.
    meta_width (int): Width of the embeddings of span length and letter case.
    max_span_size (int): Longest span with a length embedding of its own, in tokens.
    orthography (bool): Whether to see the letter case of tokens, which uncased encoders drop.
    dropout (float): Dropout rate.
    learn_rate_scale (float): Multiplies the optimizer's rate for the new layers.
    """

    def build_module(width: int, n_out: int) -> nn.Module:
        return MentionScorer(
            width,
            hidden_width=hidden_width,
            meta_width=meta_width,
            max_span_size=max_span_size,
            orthography=orthography,
            dropout=dropout,
        )

    return build_torch_model("mention-scorer", tok2vec, build_module, mention_loss, learn_rate_scale=learn_rate_scale)
