"""Layers and their textbook forms, with random inputs to compare them on."""

from typing import Callable, Dict, List, Tuple

import numpy
import torch
from torch import Tensor

from ..batches import EntityBatch, PairBatch, SpanBatch
from ..layers.encoded import EncodedBatch
from ..layers.grouped_bilinear import GroupedBilinear
from ..layers.layout import DocWindows
from ..layers.planes import Planes
from ..layers.segments import range_max
from ..losses.contrastive import contrastive_loss
from ..models.heads.kmgre import MentionPairScorer
from ..models.heads.rsman import classify_pairs
from . import forms

# A layer, its textbook form (both: inputs -> output), and inputs that need a gradient.
Case = Tuple[Callable[..., Tensor], Callable[..., Tensor], List[Tensor]]

N_DOCS, N_ENTITIES, N_PIECES, WIDTH, N_HEADS, BLOCK, N_RELATIONS = 4, 20, 250, 768, 12, 64, 97


def grouped_bilinear() -> Case:
    """ATLOP's classifier."""
    n_pairs = N_DOCS * N_ENTITIES * (N_ENTITIES - 1)
    layer = GroupedBilinear(WIDTH, N_RELATIONS, block_size=BLOCK)

    def slow(head: Tensor, tail: Tensor) -> Tensor:
        return forms.grouped_bilinear(head, tail, layer.weight, layer.bias, block_size=BLOCK)

    return layer, slow, [torch.randn(n_pairs, WIDTH, requires_grad=True) for _ in range(2)]


def context_pooling() -> Case:
    """The MRC's context, the maximum between two mentions."""
    n_pairs = N_DOCS * N_ENTITIES * (N_ENTITIES - 1) // 2
    generator = numpy.random.default_rng(0)
    doc = numpy.sort(generator.integers(0, N_DOCS, n_pairs))
    first, last = numpy.sort(generator.integers(0, N_PIECES + 1, (n_pairs, 2)), axis=1).T
    ranges = [torch.as_tensor(array) for array in (doc, first, last)]

    def layer(pieces: Tensor) -> Tensor:
        return range_max(pieces, doc * N_PIECES + first, doc * N_PIECES + last)

    def slow(pieces: Tensor) -> Tensor:
        return forms.max_between(pieces.view(N_DOCS, N_PIECES, WIDTH), *ranges)

    return layer, slow, [torch.randn(N_DOCS * N_PIECES, WIDTH, requires_grad=True)]


def contrast() -> Case:
    """PEMSCL's contrastive loss, one pair in 14 with a relation."""
    n_pairs, temperature = N_DOCS * N_ENTITIES * (N_ENTITIES - 1), 0.2
    anchors = torch.randperm(n_pairs)[: n_pairs // 14]
    gold = torch.zeros(n_pairs, N_RELATIONS - 1, dtype=torch.bool)
    gold[anchors, torch.randint(N_RELATIONS - 1, anchors.shape)] = True

    def layer(head: Tensor, tail: Tensor) -> Tensor:
        return contrastive_loss(head, tail, gold, temperature=temperature)

    def slow(head: Tensor, tail: Tensor) -> Tensor:
        return forms.contrastive_loss(head, tail, gold, temperature=temperature)

    shape = (n_pairs, WIDTH // BLOCK, BLOCK)
    return layer, slow, [torch.randn(shape, requires_grad=True) for _ in range(2)]


def relation_specific_entities() -> Case:
    """RSMAN's classifier at its width of 128."""
    n, width = N_DOCS * N_ENTITIES, 128
    doc, number = numpy.repeat(numpy.arange(N_DOCS), N_ENTITIES), numpy.arange(n)
    mentions = SpanBatch(doc, number, number + 1)
    head, tail = numpy.nonzero((doc[:, None] == doc) & (number[:, None] != number))
    batch = PairBatch(EntityBatch(mentions, number, doc, number, doc), head, tail)
    weight = torch.randn(N_RELATIONS, width, width) / width

    def layer(entities: Tensor) -> Tensor:
        return classify_pairs(entities, weight, batch, 2**22)

    def slow(entities: Tensor) -> Tensor:
        return forms.classify_pairs(entities, weight, torch.as_tensor(head), torch.as_tensor(tail))

    return layer, slow, [torch.randn(N_RELATIONS, n, width, requires_grad=True)]


def spread_mentions() -> EntityBatch:
    """Spread two mentions of each entity over the pieces of its document, each one piece long.

    With 2 entities and 10 pieces in a document:

        mentions.start    0 3 6 9   0 3 6 9
        mentions.doc      0 0 0 0   1 1 1 1
        entity            0 0 1 1   2 2 3 3
    """
    start = numpy.linspace(0, N_PIECES - 1, 2 * N_ENTITIES).astype("int64")
    number = numpy.arange(N_DOCS * len(start))
    mentions = SpanBatch(number // len(start), numpy.tile(start, N_DOCS), numpy.tile(start + 1, N_DOCS))
    return EntityBatch(mentions, number // 2, mentions.doc[::2], mentions.doc[::2], mentions.doc)


def mention_pairs() -> Case:
    """KMGRE's scores of the mention pairs of different entities."""
    pieces, first, last = numpy.arange(N_PIECES), numpy.asarray([0]), numpy.asarray([N_PIECES])
    doc = DocWindows(pieces, pieces + 1, first, last, numpy.zeros(N_PIECES, dtype="int64"), last, 0)
    entities = spread_mentions()
    docs, number = entities.mentions.doc, entities.entity
    head, tail = numpy.nonzero((docs[:, None] == docs) & (number[:, None] != number))
    scorer = MentionPairScorer(WIDTH, N_RELATIONS, mention_pooling="mean", dropout=0.0)
    start, n = torch.as_tensor(entities.mentions.start[docs == 0]), len(head) // N_DOCS
    one, other = (torch.as_tensor(rows[:n]) for rows in (head, tail))  # the same in each document

    def layer(hidden: Tensor, queries: Tensor, keys: Tensor) -> Tensor:
        encoded = EncodedBatch(Planes(hidden, queries, keys), (doc,) * N_DOCS)
        return scorer(encoded, entities, head, tail)

    def slow(hidden: Tensor, queries: Tensor, keys: Tensor) -> Tensor:
        attention = (queries @ keys.transpose(2, 3) / queries.shape[-1] ** 0.5).softmax(-1)
        weight, bias = scorer.linear.weight, scorer.linear.bias
        of_docs = (forms.mention_pair_scores(h, a, start, one, other, weight, bias) for h, a in zip(hidden, attention))
        return torch.cat(list(of_docs))

    shapes = [(N_DOCS, N_PIECES, WIDTH), *[(N_DOCS, N_HEADS, N_PIECES, WIDTH // N_HEADS)] * 2]
    return layer, slow, [torch.randn(*shape, requires_grad=True) for shape in shapes]


CASES: Dict[str, Callable[[], Case]] = {
    "grouped bilinear": grouped_bilinear,
    "context between mentions": context_pooling,
    "contrastive loss": contrast,
    "relation-specific entities": relation_specific_entities,
    "scores of mention pairs": mention_pairs,
}
