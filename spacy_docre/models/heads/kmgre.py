"""The KMGRE head: mention pairs are classified, and the scores of those that a second classifier chooses are fused."""

from functools import partial
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy
import torch
from thinc.api import Model
from torch import Tensor, nn

from ...arrays import Floats1d, Ints1d
from ...batches import EntityBatch, PairBatch, SpanBatch
from ...errors import check_choice
from ...layers.chunking import cut_chunks, in_chunks
from ...layers.contextual_bilinear import ContextualBilinear
from ...layers.encoded import EncodedBatch
from ...layers.evidence import SentenceShares, add_up_sentences, join_shares
from ...layers.feedforward import SplitLinear, with_rare_bias
from ...layers.key_pairs import choose_key_pairs, fuse_logits, label_key_pairs, strongest_logits
from ...layers.local_context import WindowRows, attend, lay_out_rows, meet, pool_contexts
from ...layers.mention_context import SUM_OF_NORMALISED, headwise_attention
from ...layers.mention_pooling import POOLINGS, pool_mentions
from ...layers.pairs import MentionPairs, list_mention_pairs, share_out, unordered_pairs
from ...losses.focal import focal_loss
from ..relation_head import Explanation, PhaseLengths, RelationHead, RelationLoss
from ..torch_model import Scores

SCORERS = ("linear", "bilinear")


class MentionPairScorer(nn.Module):
    """w x + b of mention pairs, x = [h_i; h_j; c_ij] (KMGRE eq. 5-8), c_ij their context (eq. 4).

    x is never built: what a mention adds is computed once per mention, what the context adds is pooled from products
    of the word pieces, once for both orders of a pair. h is the vector of the marker before the mention; without
    markers it is pooled from the mention's own pieces.

    width (int): Of the encoder.
    n_out (int): Scores of a pair.
    mention_pooling (str): How a mention's vector is made from its word pieces.
    dropout (float): Dropout rate on the vectors of mentions and word pieces.
    """

    def __init__(self, width: int, n_out: int, *, mention_pooling: str, dropout: float) -> None:
        super().__init__()
        self.mention_pooling = mention_pooling
        self.dropout = nn.Dropout(dropout)
        self.linear = SplitLinear([width] * 3, n_out)

    def forward(self, encoded: EncodedBatch, entities: EntityBatch, head: Ints1d, tail: Ints1d) -> Tensor:
        """Score pairs.

        head, tail (Ints1d): Rows of the two mentions of each pair. Shape (N,).
        RETURNS (Tensor): Shape (N, n_out).
        """
        mentions, context, pair = pool_pairs(encoded, entities, head, tail, self.mention_pooling, self.project)
        mentions = self.dropout(mentions)
        as_head = self.linear.part(0, mentions).index_select(0, encoded.index(head))
        as_tail = self.linear.part(1, mentions).index_select(0, encoded.index(tail))
        return as_head + as_tail + context.index_select(0, pair)

    def project(self, hidden: Tensor) -> Tensor:
        """Compute what word pieces add to scores of pairs that attend to them. (..., H) -> (..., n_out)."""
        return self.linear.part(2, self.dropout(hidden))


class BilinearPairScorer(ContextualBilinear):
    """ATLOP's classifier on mention pairs, in the place of KMGRE eq. 6.

    c_ij is the context of eq. 4 divided by the number of heads, so that it is as long as a hidden state. Arguments and
    output: see MentionPairScorer.
    """

    def __init__(self, width: int, n_out: int, *, mention_pooling: str, **settings: Any) -> None:
        super().__init__(width, n_out, **settings)
        self.mention_pooling = mention_pooling

    def forward(self, encoded: EncodedBatch, entities: EntityBatch, head: Ints1d, tail: Ints1d) -> Tensor:
        """See MentionPairScorer."""
        mentions, context, pair = pool_pairs(encoded, entities, head, tail, self.mention_pooling, lambda x: x)
        contexts = context / encoded.n_heads
        return self.decoder(*self.pair_vectors(mentions, contexts, encoded.index(head), encoded.index(tail), pair))


def pool_pairs(
    encoded: EncodedBatch,
    entities: EntityBatch,
    head: Ints1d,
    tail: Ints1d,
    pooling: str,
    project: Callable[[Tensor], Tensor],
) -> Tuple[Tensor, Tensor, Tensor]:
    """Pool the vectors of mentions, and the contexts of mention pairs (KMGRE eq. 4).

    head, tail (Ints1d): Rows of the two mentions of each pair. Shape (N,).
    pooling (str): How a mention's vector is made from its word pieces.
    project (Callable[[Tensor], Tensor]): Maps hidden states (..., H) to what the contexts are pooled from (..., K).
    RETURNS (Tuple[Tensor, Tensor, Tensor]): Vectors (M, H), contexts of the unordered pairs (U, K), and which of these
        each pair has (N,).
    """
    one, other, unordered = unordered_pairs(head, tail)
    rows = lay_out_mentions(encoded, entities.mentions)
    context = pool_contexts(encoded, rows, one, other, SUM_OF_NORMALISED, project)
    return pool_mentions(encoded, entities.mentions, pooling), context, encoded.index(unordered)


def lay_out_mentions(encoded: EncodedBatch, mentions: SpanBatch) -> WindowRows:
    """Lay out the attention rows of mentions, each by itself; see lay_out_rows."""
    first, last = encoded.layout.mention_pieces(mentions)
    return lay_out_rows(encoded, first, last, numpy.arange(len(first)))


class KmgreHead(nn.Module):
    """l_r = log sum exp(w_r x + b_r) over the key mention pairs X_pos of two entities (Jiang et al., COLING 2022).

    The relation extractor scores the relations of mention pairs, the key instance classifier whether they are
    responsible for any. In the E phase the classifier learns from labels that the extractor gives, in the M phase the
    extractor from the mention pairs that the classifier chooses; in the warm-up both learn, and all mention pairs are
    fused. The part that is not being trained runs without gradient, in inference mode.
    """

    def __init__(
        self,
        width: int,
        n_out: int,
        second_width: Optional[int] = None,
        *,
        threshold_class: bool,
        above_threshold: bool,
        key_classifier: bool,
        fusion: bool,
        xi: float,
        tau_decay: float,
        scorer: str,
        block_size: int,
        mention_pooling: str,
        dropout: float,
        max_pair_items: int,
    ) -> None:
        super().__init__()
        sizes: Dict[str, Any] = {"mention_pooling": mention_pooling, "dropout": dropout}
        self.extractor: nn.Module
        if scorer == "linear":
            linear = MentionPairScorer(width, n_out, **sizes)
            with_rare_bias(linear.linear)
            self.extractor = linear
        else:
            sizes_of_groups = {"block_size": block_size, "max_pair_items": max_pair_items}
            self.extractor = BilinearPairScorer(width, n_out, **{**sizes, **sizes_of_groups})
        self.classifier = MentionPairScorer(second_width or width, 1, **sizes) if key_classifier else None
        self.shares_encoder = second_width is None
        self.threshold_class = threshold_class
        self.above_threshold = above_threshold
        self.fusion = fusion
        self.xi = xi
        self.tau_decay = tau_decay
        self.max_mention_pairs = max(1, max_pair_items // n_out)
        self.set_state("warmup", 0)

    def set_state(self, phase: str, n_e_steps: int) -> None:
        """Take the phase, and the E-steps so far, from which tau follows; see models.relation_head.TrainedByEM."""
        self.phase = phase
        self.tau = 0.5 * (1 - self.tau_decay**n_e_steps)

    @property
    def classifies(self) -> bool:
        """Whether the key instance classifier learns in this phase."""
        return self.phase != "M" and self.classifier is not None

    def trains(self, encoder: int) -> bool:
        """RETURNS (bool): Whether an encoder learns in this phase; see models.relation_head.TrainsEncoders."""
        return self.classifies if encoder else self.phase != "E" or self.shares_encoder

    def forward(self, encoded: EncodedBatch, batch: PairBatch) -> Scores:
        """Score entity pairs.

        RETURNS (Scores): At run time "logits" (P, n_out). In training the scores that the phase's loss is computed on:
            for the extractor "logits", or without fusion "mention_logits" (N, n_out) with gradient; for the classifier
            "key_logits" (N,), beside "mention_logits" without gradient, and "pair" (N,), the entity pair of each.
        """
        self.extractor.train(self.training and self.phase != "E")
        if self.classifier is not None:
            self.classifier.train(self.training and self.classifies)
        pairs = list_mention_pairs(batch)
        chunks = list(cut_chunks(pairs, len(batch), self.max_mention_pairs)) or [(slice(0, 0), pairs)]
        parts = [(encoded, batch.entities, rows.stop - rows.start, chunk) for rows, chunk in chunks]
        found = in_chunks(self.score, parts)
        for scores, (rows, _) in zip(found, chunks):
            if "pair" in scores:  # counted within the chunk so far
                scores["pair"] = scores["pair"] + rows.start
        return {name: torch.cat([scores[name] for scores in found]) for name in found[0]}

    def score(self, encoded: EncodedBatch, entities: EntityBatch, n_pairs: int, pairs: MentionPairs) -> Scores:
        """Score some entity pairs.

        n_pairs (int): Number of entity pairs.
        pairs (MentionPairs): Their mention pairs.
        RETURNS (Scores): As the forward pass has them.
        """
        pair = encoded.index(pairs[0])
        extracts, classifies = self.phase != "E" or not self.training, self.classifies and self.training
        with torch.set_grad_enabled(extracts and torch.is_grad_enabled()):
            logits = self.extractor(encoded, entities, *pairs[1:])
        keys, scores = torch.ones_like(pair, dtype=torch.bool), {}
        if self.classifier is not None:
            with torch.set_grad_enabled(classifies and torch.is_grad_enabled()):
                key_logits = self.classifier(encoded.second or encoded, entities, *pairs[1:])[:, 0]
            if classifies:
                scores["key_logits"] = key_logits
            else:
                keys = choose_key_pairs(key_logits, pair, n_pairs, xi=self.xi, tau=self.tau)
        if self.fusion and extracts:
            scores["logits"] = fuse_logits(logits, keys, pair, n_pairs)
        elif not self.training:
            scores["logits"] = strongest_logits(logits, keys, pair, n_pairs, threshold_class=self.threshold_class)
        if classifies or (self.training and not self.fusion):
            scores.update(mention_logits=logits.detach() if self.fusion else logits, pair=pair)
        return scores

    @torch.no_grad()
    def explain(self, encoded: EncodedBatch, batch: PairBatch, label: Ints1d, sentence: Ints1d) -> Explanation:
        """Weigh the evidence for relations; see models.relation_head.Explains.

        A mention pair weighs the product of two probabilities: that it is a key pair, and that it has the relation.
        Its context's attention counts for the relation's sentences by that weight.
        """
        pairs = list_mention_pairs(batch)
        weights: List[Floats1d] = [numpy.zeros(0)]
        for rows, (pair, head, tail) in cut_chunks(pairs, len(batch), self.max_mention_pairs):
            logits = self.extractor(encoded, batch.entities, head, tail)
            odds = mention_odds(logits, self.threshold_class, self.above_threshold)
            column = encoded.index(label[rows][pair] - self.threshold_class)
            weight = odds.gather(1, column[:, None])[:, 0].double().sigmoid()
            if self.classifier is not None:
                key_logits = self.classifier(encoded.second or encoded, batch.entities, head, tail)[:, 0]
                weight = weight * key_logits.double().sigmoid()
            weights.append(weight.cpu().numpy())
        shares = share_out(numpy.concatenate(weights), pairs[0])
        return Explanation(*pairs, shares, share_sentences(encoded, batch.entities, pairs, shares, sentence))


def mention_odds(logits: Tensor, threshold_class: bool, above_threshold: bool) -> Tensor:
    """Compute the argument of the sigmoid in KMGRE eq. 6: w_r x + b_r, counted from the threshold class if
    `above_threshold`. (N, n_out) -> (N, R)."""
    if not threshold_class:
        return logits
    return logits[:, 1:] - logits[:, :1] if above_threshold else logits[:, 1:]


def share_sentences(
    encoded: EncodedBatch, entities: EntityBatch, pairs: MentionPairs, weight: Floats1d, sentence: Ints1d
) -> SentenceShares:
    """Spread the context attention of weighted mention pairs over sentences.

    pairs (MentionPairs): Relation of each mention pair, rows of its two mentions. Shape (N,).
    weight (Floats1d): Sums to 1 over the mention pairs of a relation. Shape (N,).
    sentence (Ints1d): Sentence, counted within its document, of each token of the batch. Shape (T,).
    """
    relation, head, tail = pairs
    rows = lay_out_mentions(encoded, entities.mentions)
    places = meet(rows, head, tail)
    shares = []
    for part in attend(encoded, rows, numpy.unique(places.window)):
        inside = places.select(part.windows.number)
        attention = headwise_attention(part.groups(rows), inside)
        found = add_up_sentences(encoded, part.windows.number, attention, inside, sentence)
        shares.append(SentenceShares(relation[found.pair], found.sentence, found.share * weight[found.pair]))
    return join_shares(shares)


def configure_losses(loss: RelationLoss, *, above_threshold: bool, alpha: float, gamma: float) -> RelationLoss:
    """Put the loss of the key instance classifier beside that of the extractor; each counts where it has scores.

    KMGRE eq. 9-11 and 17-19. Without fusion the extractor learns mention pairs: those that eq. 9 calls key pairs have
    the relations of their entity pair, the others none.
    """

    def function(scores: Scores, gold: Tensor, doc: Tensor) -> Tensor:
        total: Any = 0.0
        if "logits" in scores:
            total = total + loss.function({"logits": scores["logits"]}, gold, doc)
        if "mention_logits" in scores:
            logits, pair = scores["mention_logits"], scores["pair"]
            odds = mention_odds(logits.detach(), loss.threshold_class, above_threshold)
            keys = label_key_pairs(odds, gold, pair)
            if "key_logits" in scores:
                total = total + focal_loss(scores["key_logits"], keys, alpha=alpha, gamma=gamma).mean()
            if logits.requires_grad:
                total = total + loss.function({"logits": logits}, gold[pair] & keys[:, None], doc[pair])
        return total

    return RelationLoss(function, threshold_class=loss.threshold_class)


def build_kmgre_head(
    loss: RelationLoss,
    *,
    encoder: Optional[Model[Any, EncodedBatch]] = None,
    key_classifier: bool = True,
    fusion: bool = True,
    above_threshold: bool = True,
    xi: float = 0.15,
    tau_decay: float = 0.999,
    scorer: str = "linear",
    block_size: int = 64,
    focal_alpha: float = 0.3,
    focal_gamma: float = 2.0,
    mention_pooling: str = "mean",
    dropout: float = 0.0,
    warmup_steps: int = 1000,
    phase_steps: int = 500,
    max_pair_items: int = 2**22,
) -> RelationHead:
    """Build the KMGRE head. With `key_classifier` or `fusion` switched off it is a row of table 4.

    loss (RelationLoss): Of the relation extractor: the adaptive threshold loss, as published, or another.
    encoder (Optional[Model]): An encoder of the key instance classifier's own, plain or marked, as published; None to
        read the relation model's.
    key_classifier (bool): Whether there is a key instance classifier; without it all mention pairs are key pairs.
    fusion (bool): Whether the scores of mention pairs are fused before the loss; without it, the mention pairs that
        eq. 9 calls key pairs are trained on the relations of their entity pair, and eq. 1 predicts.
    above_threshold (bool): Whether the probability that a mention pair has a relation (eq. 6) counts from the threshold
        class, where there is one. The paper counts from 0, which that class's loss leaves undetermined.
    xi (float): Relaxation of the bound between key pairs and others, a share of the range of their probabilities.
    tau_decay (float): tau = 0.5 * (1 - tau_decay^n) after n E-steps bounds how probable a key pair has to be (eq. 13).
        The paper's value needs thousands of them: after 350, tau is 0.15, and nearly all mention pairs are key pairs.
    scorer (str): How relations of mention pairs are scored: "linear" in their vectors and context (eq. 6), or
        "bilinear" as ATLOP does for entities.
    block_size (int): Width of a group of the bilinear scorer; divides the encoder's width.
    focal_alpha (float): Weight of the key instance classifier's focal loss, that of both labels.
    focal_gamma (float): How much less the loss counts mention pairs that are right already.
    mention_pooling (str): How a mention's vector is made from its word pieces: "start", "mean" or "max".
    dropout (float): Dropout rate on the vectors of mentions and word pieces; the paper mentions none.
    warmup_steps (int): Updates before the first E phase, where `spacy-docre.em_schedule.v1` does not say.
    phase_steps (int): Updates of an E or M phase, where `spacy-docre.em_schedule.v1` does not say.
    max_pair_items (int): Relation scores of mention pairs that are held at a time; above that, they are computed in
        parts, and in training once more in the backward pass.
    RAISES (ValueError): If there is no such mention_pooling or scorer.
    """
    check_choice("mention_pooling", mention_pooling, POOLINGS)
    check_choice("scorer", scorer, SCORERS)
    build_module = partial(
        KmgreHead,
        threshold_class=loss.threshold_class,
        above_threshold=above_threshold,
        key_classifier=key_classifier,
        fusion=fusion,
        xi=xi,
        tau_decay=tau_decay,
        scorer=scorer,
        block_size=block_size,
        mention_pooling=mention_pooling,
        dropout=dropout,
        max_pair_items=max_pair_items,
    )
    return RelationHead(
        build_module,
        configure_losses(loss, above_threshold=above_threshold, alpha=focal_alpha, gamma=focal_gamma),
        encoder=encoder if key_classifier else None,
        phases=PhaseLengths(warmup_steps, phase_steps) if key_classifier else None,
    )
