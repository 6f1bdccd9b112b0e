"""The RSMAN head: a bilinear classifier of entities, whose mentions each relation weighs by itself."""

from functools import partial
from typing import Union

import numpy
import torch
from torch import Tensor, nn

from ...arrays import Ints1d
from ...batches import EntityBatch, PairBatch
from ...errors import check_choice
from ...layers.chunking import chunks, in_chunks
from ...layers.encoded import EncodedBatch, widen
from ...layers.evidence import explain_by_attention
from ...layers.feedforward import SplitLinear, make_rare_bias
from ...layers.mention_pooling import POOLINGS, pool_mentions
from ...layers.pairs import list_mention_pairs, mention_bounds
from ...layers.segments import segment_logsumexp, segment_max, segment_mean, segment_sum
from ..relation_head import Explanation, RelationHead, RelationLoss
from ..torch_model import Scores

ENTITY_POOLINGS = ("attention", "mean", "max", "logsumexp")
SCORES = ("dot", "mlp")


class DotScore(nn.Module):
    """s = p_r . tanh(W m + b), p_r the prototype of a relation. RSMAN eq. 3 with the layer of section 4.2."""

    def __init__(self, width: int, n_out: int, *, prototype_width: int) -> None:
        super().__init__()
        self.prototypes = make_prototypes(n_out, prototype_width)
        self.project = nn.Linear(width, prototype_width)

    def forward(self, mentions: Tensor) -> Tensor:
        """mentions (M, width) -> (M, n_out)."""
        return torch.tanh(self.project(mentions)) @ self.prototypes.T


class MlpScore(nn.Module):
    """s = v . tanh(W [p_r; m] + b), the multi-layer perceptron of RSMAN eq. 3. What depends on a relation or a mention
    alone is computed once."""

    def __init__(self, width: int, n_out: int, *, prototype_width: int, max_items: int) -> None:
        super().__init__()
        self.prototypes = make_prototypes(n_out, prototype_width)
        self.hidden = SplitLinear([prototype_width, width], prototype_width)
        self.output = nn.Linear(prototype_width, 1, bias=False)
        self.max_mentions = max(1, max_items // (n_out * prototype_width))

    def forward(self, mentions: Tensor) -> Tensor:
        """mentions (M, width) -> (M, n_out)."""
        of_relation, of_mention = self.hidden.part(0, self.prototypes), self.hidden.part(1, mentions)
        parts = [(of_relation, of_mention[rows]) for rows in chunks(len(mentions), self.max_mentions)]
        return torch.cat([of_mention.new_zeros(0, len(of_relation)), *in_chunks(self.combine, parts)])

    def combine(self, of_relation: Tensor, of_mention: Tensor) -> Tensor:
        return self.output(torch.tanh(of_relation + of_mention[:, None])).squeeze(-1)


def make_prototypes(n_out: int, width: int) -> nn.Parameter:
    """Draw a vector for each relation. Shape (n_out, width)."""
    return nn.Parameter(nn.init.xavier_normal_(torch.empty(n_out, width)))


class RsmanHead(nn.Module):
    """f_r = e_h^r W_r e_t^r + b_r, e^r the mean over an entity's mentions weighted by the attention of relation r.

    RSMAN eq. 2-6 (NAACL 2022). With another pooling than "attention", e is the same for all relations: the backbone
    that RSMAN is plugged into. Where there is a threshold class, it is one more relation, with its own prototype.
    Mentions are reduced in width before they are pooled, as in the published code.
    """

    def __init__(
        self,
        width: int,
        n_out: int,
        *,
        entity_pooling: str,
        score: str,
        reduced_width: int,
        prototype_width: int,
        mention_pooling: str,
        dropout: float,
        max_pair_items: int,
    ) -> None:
        super().__init__()
        self.entity_pooling = entity_pooling
        self.mention_pooling = mention_pooling
        self.max_pair_items = max_pair_items
        self.reduce = nn.Linear(width, reduced_width)
        self.dropout = nn.Dropout(dropout)
        if entity_pooling == "attention":
            sizes = {"prototype_width": prototype_width}
            self.score: Union[DotScore, MlpScore] = (
                DotScore(reduced_width, n_out, **sizes)
                if score == "dot"
                else MlpScore(reduced_width, n_out, **sizes, max_items=max_pair_items)
            )
        self.weight = nn.Bilinear(reduced_width, reduced_width, n_out).weight  # for its initialisation
        self.bias = make_rare_bias(n_out)

    def forward(self, encoded: EncodedBatch, batch: PairBatch) -> Scores:
        entities = self.pool_entities(encoded, batch.entities)
        return {"logits": classify_pairs(entities, self.weight, batch, self.max_pair_items) + self.bias}

    def pool_entities(self, encoded: EncodedBatch, entities: EntityBatch) -> Tensor:
        """Pool a vector of each entity for each relation, or for all: (n_out or 1, E, reduced_width)."""
        mentions, owner = self.dropout(self.reduce_mentions(encoded, entities)), encoded.index(entities.entity)
        if self.entity_pooling == "attention":
            weights = self.weigh(mentions, owner, len(entities))
            return segment_sum(weights[:, :, None] * mentions[:, None], owner, len(entities)).transpose(0, 1)
        if self.entity_pooling == "max":
            return segment_max(mentions, encoded.index(numpy.diff(mention_bounds(entities))))[None]
        pool = segment_mean if self.entity_pooling == "mean" else segment_logsumexp
        return pool(mentions, owner, len(entities))[None]

    def reduce_mentions(self, encoded: EncodedBatch, entities: EntityBatch) -> Tensor:
        """Make a vector of each mention, reduced in width. Shape (M, reduced_width)."""
        return widen(self.reduce(pool_mentions(encoded, entities.mentions, self.mention_pooling)))

    def weigh(self, mentions: Tensor, owner: Tensor, n_entities: int) -> Tensor:
        """Compute alpha, the weight of each mention among those of its entity, for each relation. RSMAN eq. 3-4.

        mentions (Tensor): Shape (M, reduced_width).
        owner (Tensor): Entity of each mention. Shape (M,).
        RETURNS (Tensor): Shape (M, n_out).
        """
        scores = widen(self.score(mentions))
        return (scores - segment_logsumexp(scores, owner, n_entities)[owner]).exp()

    @property
    def weighs_mentions(self) -> bool:
        """RETURNS (bool): Whether `mention_weights` has weights to give."""
        return self.entity_pooling == "attention"

    @torch.no_grad()
    def mention_weights(self, encoded: EncodedBatch, entities: EntityBatch) -> Tensor:
        """Compute alpha of each mention and column of the logits, for heatmaps such as the paper's figure 5. Shape
        (M, n_out)."""
        return self.weigh(self.reduce_mentions(encoded, entities), encoded.index(entities.entity), len(entities))

    def explain(self, encoded: EncodedBatch, batch: PairBatch, label: Ints1d, sentence: Ints1d) -> Explanation:
        """Weigh the evidence for relations; see models.relation_head.Explains.

        A mention pair weighs the product of its mentions' weights for the relation. Without attention, it weighs as
        much as the encoder's attention rows of its two mentions overlap.
        """
        if self.entity_pooling != "attention":
            return Explanation(*explain_by_attention(encoded, batch, sentence))
        weights = self.mention_weights(encoded, batch.entities).double().cpu().numpy()
        pair, head, tail = list_mention_pairs(batch)
        return Explanation(pair, head, tail, weights[head, label[pair]] * weights[tail, label[pair]])


def classify_pairs(entities: Tensor, weight: Tensor, batch: PairBatch, max_items: int) -> Tensor:
    """Compute e_h^r W_r e_t^r. All pairs of a document's entities are scored, and the batch's selected: the vectors of
    pairs would be larger by far. A document of the entities 4, 5 and 6, for each relation:

        grid    4  5  6        its pairs   head - first   tail - first   place in the flattened grid
          4     0  1  2        (4, 6)           0              2                     2
          5     3  4  5        (6, 5)           2              1                     7
          6     6  7  8

    entities (Tensor): e, for each relation or for all. Shape (R or 1, E, H).
    weight (Tensor): Shape (R, H, H).
    max_items (int): Scores that are held at a time; relations are worked on in chunks under it.
    RETURNS (Tensor): Shape (P, R).
    """
    as_head = entities @ weight  # (R, E, H)
    as_tail = entities.expand(len(as_head), -1, -1).transpose(1, 2)
    order = numpy.argsort(batch.doc, kind="stable")
    found = [as_head.new_zeros(0, len(as_head))]
    for d in numpy.unique(batch.doc):
        rows = order[slice(*numpy.searchsorted(batch.doc[order], [d, d + 1]))]
        first, last = numpy.searchsorted(batch.entities.doc, [d, d + 1])
        place = (batch.head[rows] - first) * (last - first) + batch.tail[rows] - first
        index = torch.as_tensor(place, device=entities.device)
        columns = chunks(len(as_head), max(1, max_items // (last - first) ** 2))
        grids = ((as_head[c, first:last] @ as_tail[c, :, first:last]).flatten(1) for c in columns)
        found.append(torch.cat([grid.index_select(1, index) for grid in grids]).T)
    return torch.cat(found).index_select(0, torch.as_tensor(numpy.argsort(order), device=entities.device))


def build_rsman_head(
    loss: RelationLoss,
    *,
    entity_pooling: str = "attention",
    score: str = "dot",
    reduced_width: int = 128,
    prototype_width: int = 256,
    mention_pooling: str = "mean",
    dropout: float = 0.0,
    max_pair_items: int = 2**22,
) -> RelationHead:
    """Build the RSMAN head, or the backbone that it is plugged into.

    loss (RelationLoss): Binary cross entropy, as published, or another.
    entity_pooling (str): How the mentions of an entity are pooled: "attention" (RSMAN), or "mean", "max", "logsumexp"
        (backbones without it).
    score (str): How a relation's prototype is compared with a mention: "dot" or "mlp".
    reduced_width (int): Width to which mentions are reduced; the classifier has its square of weights per relation.
    prototype_width (int): Width of the relations' prototypes.
    mention_pooling (str): How a mention's vector is made from its word pieces: "start", "mean" or "max".
    dropout (float): Dropout rate on reduced mentions.
    max_pair_items (int): Scores of pairs, or hidden units of scores, that are held at a time.
    RAISES (ValueError): If there is no such pooling or score.
    """
    check_choice("mention_pooling", mention_pooling, POOLINGS)
    check_choice("entity_pooling", entity_pooling, ENTITY_POOLINGS)
    check_choice("score", score, SCORES)
    build_module = partial(
        RsmanHead,
        entity_pooling=entity_pooling,
        score=score,
        reduced_width=reduced_width,
        prototype_width=prototype_width,
        mention_pooling=mention_pooling,
        dropout=dropout,
        max_pair_items=max_pair_items,
    )
    return RelationHead(build_module, loss)
