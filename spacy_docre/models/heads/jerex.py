"""The relation heads of JEREX (Eberts and Ulges, EACL 2021, section 3.1 d): global and multi-instance."""

from functools import partial
from typing import List, Tuple

import numpy
import torch
from torch import Tensor, nn

from ...arrays import Floats1d, Ints1d
from ...batches import EntityBatch, PairBatch, SpanBatch
from ...layers.chunking import cut_chunks, in_chunks
from ...layers.encoded import EncodedBatch
from ...layers.feedforward import SplitLinear, with_rare_bias
from ...layers.pairs import (
    MentionPairs,
    keep_near,
    list_mention_pairs,
    mention_bounds,
    sentence_distance,
    share_out,
    token_distance,
    unordered_pairs,
)
from ...layers.segments import expand_ranges, segment_max
from ..relation_head import Explanation, RelationHead, RelationLoss
from ..torch_model import Scores


class TypeEmbedding(nn.Embedding):
    """Embed entity types. The row of unknown types starts as zeros, and learns from entities without a type."""

    def __init__(self, n_types: int, width: int) -> None:
        super().__init__(n_types + 1, width)
        nn.init.zeros_(self.weight[0].detach())

    def forward(self, label: Tensor) -> Tensor:
        """label (E,) int64, -1 where unknown -> (E, width)."""
        return super().forward(label + 1)


def pool_entities(encoded: EncodedBatch, entities: EntityBatch) -> Tuple[Tensor, Tensor]:
    """Pool vectors of mentions over their own word pieces, and of entities over their mentions. JEREX eq. 1, 5.

    RETURNS (Tuple[Tensor, Tensor]): e(s) (M, H) and x^e (E, H).
    """
    mentions = encoded.pool(entities.mentions)
    return mentions, segment_max(mentions, encoded.index(numpy.diff(mention_bounds(entities))))


class JerexGlobalHead(nn.Module):
    """y = FFNN(x_1 o w_1 o x_2 o w_2), x the maximum over an entity's mentions, w an embedding of its type.

    JEREX eq. 7-8; FFNN is two linear layers with a ReLU between.
    """

    def __init__(
        self, width: int, n_out: int, n_types: int, *, hidden_width: int, meta_width: int, dropout: float
    ) -> None:
        super().__init__()
        self.types = TypeEmbedding(n_types, meta_width)
        self.hidden = SplitLinear([width + meta_width] * 2, hidden_width or width)
        self.output = with_rare_bias(nn.Linear(hidden_width or width, n_out))
        self.dropout = nn.Dropout(dropout)

    def forward(self, encoded: EncodedBatch, batch: PairBatch) -> Scores:
        e = batch.entities
        _, entities = pool_entities(encoded, e)
        x = self.dropout(torch.cat([entities, self.types(encoded.index(e.label))], -1))
        head = self.hidden.part(0, x).index_select(0, encoded.index(batch.head))
        tail = self.hidden.part(1, x).index_select(0, encoded.index(batch.tail))
        return {"logits": self.classify(head + tail)}

    def classify(self, hidden: Tensor) -> Tensor:
        """Compute logits from the input of the ReLU: (P, hidden_width) -> (P, n_out)."""
        return self.output(self.dropout(torch.relu(hidden)))

    def explain(self, encoded: EncodedBatch, batch: PairBatch, label: Ints1d, sentence: Ints1d) -> Explanation:
        """Weigh the evidence for relations; see models.relation_head.Explains.

        A mention's share is the positive part of gradient times value of the relation's logit through the maximum over
        the entity's mentions. A mention pair weighs the product of the two shares.
        """
        # Each relation has its own copy of its entities' mentions, so that it has gradients of its own. With mentions
        # 0, 1 of entity 0 and mention 2 of entity 1, the relations (0, 1) and (1, 0) copy
        #     as heads: mentions 0 1 | 2    as tails: 2 | 0 1
        bounds = mention_bounds(batch.entities)
        mentions = encoded.pool(batch.entities.mentions)
        types = self.types(encoded.index(batch.entities.label))
        with torch.enable_grad():
            hidden, sides = [], []
            for k, entity in enumerate((batch.head, batch.tail)):
                mention, relation = expand_ranges(bounds[entity], bounds[entity + 1])
                vectors = mentions[encoded.index(mention)].requires_grad_()
                pooled = segment_max(vectors, encoded.index(bounds[entity + 1] - bounds[entity]))
                hidden.append(self.hidden.part(k, torch.cat([pooled, types[encoded.index(entity)]], -1)))
                sides.append((vectors, relation))
            logits = self.classify(hidden[0] + hidden[1])
            support = attribute(logits, encoded.index(label), [vectors for vectors, _ in sides])
        head_share, tail_share = (share_out(s, relation) for s, (_, relation) in zip(support, sides))
        pair, head, tail = list_mention_pairs(batch)
        # A mention's place among those of its side: after those of earlier relations.
        of_head = numpy.searchsorted(sides[0][1], pair) + head - bounds[batch.head[pair]]
        of_tail = numpy.searchsorted(sides[1][1], pair) + tail - bounds[batch.tail[pair]]
        return Explanation(pair, head, tail, head_share[of_head] * tail_share[of_tail])


def attribute(logits: Tensor, label: Tensor, values: List[Tensor]) -> List[Floats1d]:
    """Compute the positive part of gradient times value of each relation's logit.

    logits (Tensor): Shape (P, n_out).
    label (Tensor): Column of each relation. Shape (P,).
    values (List[Tensor]): What the logits were computed from, each row for one relation. Shape (N, H) each.
    RETURNS (List[Floats1d]): Sum over the columns of each row. Shape (N,) each.
    """
    gradients = torch.autograd.grad(logits.gather(1, label[:, None]).sum(), values)
    return [(g * v).detach().double().sum(-1).relu().cpu().numpy() for g, v in zip(gradients, values)]


class JerexMultiInstanceHead(nn.Module):
    """y = FFNN(x^r o w_1 o w_2), x^r the maximum over the mention pairs of an entity pair, w embeddings of types.

    A mention pair's vector is a linear layer on both mentions, both entities, the maximum over the context between the
    mentions, and embeddings of their distance in sentences and in tokens. JEREX eq. 9-12. What depends on one mention
    is computed once per mention, what both orders of a pair share once per unordered pair.
    """

    def __init__(
        self,
        width: int,
        n_out: int,
        n_types: int,
        *,
        entity_vectors: bool,
        context: bool,
        all_mention_pairs: bool,
        hidden_width: int,
        meta_width: int,
        max_sentence_distance: int,
        max_token_distance: int,
        dropout: float,
        max_pair_items: int,
    ) -> None:
        super().__init__()
        self.entity_vectors = entity_vectors
        self.context = context
        self.all_mention_pairs = all_mention_pairs
        self.max_mention_pairs = max(1, max_pair_items // width)
        self.sentence_distance = nn.Embedding(max_sentence_distance + 1, meta_width)
        self.token_distance = nn.Embedding(max_token_distance + 1, meta_width)
        self.types = TypeEmbedding(n_types, meta_width)
        of_mention, of_pair = width * (1 + entity_vectors), width * context + 2 * meta_width
        self.pair = SplitLinear([of_mention, of_mention, of_pair], width)
        self.hidden = SplitLinear([width, meta_width, meta_width], hidden_width or width)
        self.output = with_rare_bias(nn.Linear(hidden_width or width, n_out))
        self.dropout = nn.Dropout(dropout)

    def forward(self, encoded: EncodedBatch, batch: PairBatch) -> Scores:
        one, other, unordered = unordered_pairs(batch.head, batch.tail)
        pairs = self.list_mention_pairs(PairBatch(batch.entities, one, other))
        as_head, as_tail = self.mention_parts(encoded, batch.entities)
        parts = [
            (as_head, as_tail, encoded, batch.entities, chunk)
            for _, chunk in cut_chunks(pairs, len(one), self.max_mention_pairs)
        ]
        none = as_head.new_zeros(0, 2, as_head.shape[1])
        pooled = torch.cat([none, *in_chunks(self.pool_both_orders, parts)])
        rows = encoded.index(2 * unordered + (batch.head > batch.tail))
        return {"logits": self.classify(pooled.flatten(0, 1).index_select(0, rows), encoded, batch)}

    def list_mention_pairs(self, batch: PairBatch) -> MentionPairs:
        """List the mention pairs that are looked at: all, or those that lie close together."""
        pairs = list_mention_pairs(batch)
        return pairs if self.all_mention_pairs else keep_near(batch.entities, pairs)

    def mention_parts(self, encoded: EncodedBatch, entities: EntityBatch) -> Tuple[Tensor, Tensor]:
        """Compute a mention's share in the vector of a pair, as its head and as its tail. Shape (M, H) each. JEREX
        eq. 9, 11."""
        x, of_entity = pool_entities(encoded, entities)
        if self.entity_vectors:
            x = torch.cat([x, of_entity.index_select(0, encoded.index(entities.entity))], -1)
        x = self.dropout(x)
        return self.pair.part(0, x), self.pair.part(1, x)

    def pair_part(self, encoded: EncodedBatch, entities: EntityBatch, one: Ints1d, other: Ints1d) -> Tensor:
        """Compute the share of context and distances in mention pairs' vectors. Shape (N, H). JEREX eq. 10, 11."""
        features = [
            lookup(self.sentence_distance, encoded, sentence_distance(entities, one, other)),
            lookup(self.token_distance, encoded, token_distance(entities, one, other)),
        ]
        if self.context:
            features = [pool_between(encoded, entities, one, other), *features]
        return self.pair.part(2, self.dropout(torch.cat(features, -1)))

    def pool_both_orders(
        self, as_head: Tensor, as_tail: Tensor, encoded: EncodedBatch, entities: EntityBatch, pairs: MentionPairs
    ) -> Tensor:
        """Pool x^r of unordered entity pairs, once with the first as head, once with the second. JEREX eq. 12.

        as_head, as_tail (Tensor): What `mention_parts` returns.
        RETURNS (Tensor): Shape (U, 2, H).
        """
        pair, *mentions = pairs
        one, other = (encoded.index(rows) for rows in mentions)
        lengths = encoded.index(numpy.bincount(pair))
        shared = self.pair_part(encoded, entities, *mentions)
        orders = [
            segment_max(as_head.index_select(0, h) + as_tail.index_select(0, t) + shared, lengths)
            for h, t in ((one, other), (other, one))
        ]
        return torch.stack(orders, 1)

    def classify(self, pooled: Tensor, encoded: EncodedBatch, batch: PairBatch) -> Tensor:
        """Compute logits (P, n_out) from x^r (P, H) and the types of the entities."""
        types = self.dropout(self.types(encoded.index(batch.entities.label)))
        head = self.hidden.part(1, types).index_select(0, encoded.index(batch.head))
        tail = self.hidden.part(2, types).index_select(0, encoded.index(batch.tail))
        hidden = self.hidden.part(0, self.dropout(pooled)) + head + tail
        return self.output(self.dropout(torch.relu(hidden)))

    def explain(self, encoded: EncodedBatch, batch: PairBatch, label: Ints1d, sentence: Ints1d) -> Explanation:
        """Weigh the evidence for relations; see models.relation_head.Explains.

        A mention pair weighs as much as the positive part of gradient times value of the relation's logit through the
        maximum over the entity pair's mention pairs.
        """
        e = batch.entities
        pairs = self.list_mention_pairs(batch)
        as_head, as_tail = self.mention_parts(encoded, e)
        support: List[Floats1d] = [numpy.zeros(0)]
        for rows, (pair, head, tail) in cut_chunks(pairs, len(batch), self.max_mention_pairs):
            vectors = as_head[encoded.index(head)] + as_tail[encoded.index(tail)]
            vectors = vectors + self.pair_part(encoded, e, head, tail)
            with torch.enable_grad():
                vectors.requires_grad_()
                pooled = segment_max(vectors, encoded.index(numpy.bincount(pair)))
                logits = self.classify(pooled, encoded, PairBatch(e, batch.head[rows], batch.tail[rows]))
                support += attribute(logits, encoded.index(label[rows]), [vectors])
        return Explanation(*pairs, share_out(numpy.concatenate(support), pairs[0]))


def pool_between(encoded: EncodedBatch, entities: EntityBatch, one: Ints1d, other: Ints1d) -> Tensor:
    """Pool the text between two mentions; zeros where they touch or overlap. JEREX eq. 10.

    one, other (Ints1d): Rows of the mentions of each pair. Shape (N,).
    RETURNS (Tensor): Shape (N, H).
    """
    m = entities.mentions
    start, end = numpy.minimum(m.end[one], m.end[other]), numpy.maximum(m.start[one], m.start[other])
    return encoded.pool(SpanBatch(m.doc[one], start, end))


def lookup(table: nn.Embedding, encoded: EncodedBatch, distance: Ints1d) -> Tensor:
    """Embed distances (N,), those beyond the table as its last. Shape (N, width)."""
    return table(encoded.index(numpy.minimum(distance, table.num_embeddings - 1)))


def build_jerex_global_head(
    loss: RelationLoss, *, hidden_width: int = 0, meta_width: int = 25, dropout: float = 0.1
) -> RelationHead:
    """Build JEREX's global relation classifier (GRC).

    loss (RelationLoss): Binary cross entropy, as published, or another.
    hidden_width (int): Hidden width of the classifier, 0 for the encoder's.
    meta_width (int): Width of the embedding of an entity's type.
    dropout (float): Dropout rate.
    """
    build_module = partial(JerexGlobalHead, hidden_width=hidden_width, meta_width=meta_width, dropout=dropout)
    return RelationHead(build_module, loss, uses_types=True)


def build_jerex_multi_instance_head(
    loss: RelationLoss,
    *,
    entity_vectors: bool = True,
    context: bool = True,
    all_mention_pairs: bool = True,
    hidden_width: int = 0,
    meta_width: int = 25,
    max_sentence_distance: int = 50,
    max_token_distance: int = 700,
    dropout: float = 0.1,
    max_pair_items: int = 2**22,
) -> RelationHead:
    """Build JEREX's multi-instance relation classifier (MRC).

    `entity_vectors`, `context` and `all_mention_pairs` are the rows of table 5.

    loss (RelationLoss): Binary cross entropy, as published, or another.
    entity_vectors (bool): Whether mention pairs see the vectors of their entities.
    context (bool): Whether mention pairs see the text between them.
    all_mention_pairs (bool): Whether all mention pairs are pooled, or only those within a sentence (the closest one
        where there is none).
    hidden_width (int): Hidden width of the classifier, 0 for the encoder's.
    meta_width (int): Width of the embeddings of types and distances.
    max_sentence_distance (int): Largest distance in sentences with an embedding of its own.
    max_token_distance (int): Largest distance in tokens with an embedding of its own.
    dropout (float): Dropout rate.
    max_pair_items (int): Numbers in the vectors of mention pairs that are held at a time; above that, they are computed
        in parts, and in training once more in the backward pass.
    """
    build_module = partial(
        JerexMultiInstanceHead,
        entity_vectors=entity_vectors,
        context=context,
        all_mention_pairs=all_mention_pairs,
        hidden_width=hidden_width,
        meta_width=meta_width,
        max_sentence_distance=max_sentence_distance,
        max_token_distance=max_token_distance,
        dropout=dropout,
        max_pair_items=max_pair_items,
    )
    return RelationHead(build_module, loss, uses_types=True)
