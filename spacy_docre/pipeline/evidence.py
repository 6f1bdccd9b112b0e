"""The relations that are reported, and the mention pairs and sentences that support them."""

from dataclasses import dataclass
from typing import Dict, List, Sequence, Tuple

import numpy

from ..arrays import Floats1d, Floats2d, Ints1d, SpanIndices
from ..batches import PairBatch
from ..models.relation_head import Explanation

MentionPair = Tuple[SpanIndices, SpanIndices, float]  # mentions of head and tail, weight
Support = Tuple[List[int], List[MentionPair]]  # sentence numbers, mention pairs


@dataclass(frozen=True)
class Kept:
    """Relations that are reported."""

    batch: PairBatch  # the entity pair of each, K rows
    label: Ints1d  # number of each label, (K,)
    score: Floats1d  # (K,)

    def __len__(self) -> int:
        return len(self.label)


def keep_best(score: Floats2d, threshold: float, top_k: int, *, strict: bool) -> Tuple[Ints1d, Ints1d]:
    """Keep the relations that reach the threshold, at most top_k of a pair; ties by column.

    score (Floats2d): Shape (P, R).
    strict (bool): Whether they have to lie above it: a score of 0.5 equals that of the threshold class.
    RETURNS (Tuple[Ints1d, Ints1d]): Pair and relation of each kept score.
    """
    kept = score > threshold if strict else score >= threshold
    crowded = numpy.flatnonzero(kept.sum(1) > top_k)
    if len(crowded):
        order = numpy.argsort(-score[crowded], axis=1, kind="stable")
        kept[crowded[:, None], order[:, top_k:]] = False
    pair, relation = numpy.nonzero(kept)
    return pair, relation


def choose_evidence(
    kept: Kept, explanation: Explanation, sentences: Sequence[Ints1d], *, evidence_mass: float, sentence_mass: float
) -> List[Support]:
    """Choose the fewest mention pairs that carry `evidence_mass` of each relation, and its sentences: those of these
    mentions, and those with `sentence_mass` of the context's attention.

    sentences (Sequence[Ints1d]): Number of each token's sentence, of each document.
    RETURNS (List[Support]): Rising sentence numbers, and mention pairs with their weights, strongest first.
    """
    m = kept.batch.entities.mentions
    attended = list_attended(explanation, sentence_mass)
    # Rows of one relation follow one another, strongest first. With evidence_mass 0.8:
    #   relation  0    0    0    1
    #   weight    0.6  0.3  0.1  1.0
    #   before    0.0  0.6  0.9  0.0     -> rows 0, 1 and 3 are chosen
    order = numpy.lexsort((-explanation.weight, explanation.pair))
    bounds = numpy.searchsorted(explanation.pair[order], numpy.arange(len(kept) + 1))
    support: List[Support] = []
    for i, d in enumerate(kept.batch.doc.tolist()):
        rows = order[bounds[i] : bounds[i + 1]]
        before = numpy.cumsum(explanation.weight[rows]) - explanation.weight[rows]
        pairs: List[MentionPair] = []
        for row in rows[before < evidence_mass - 1e-6]:
            h, t = explanation.head[row], explanation.tail[row]
            spans = (int(m.start[h]), int(m.end[h])), (int(m.start[t]), int(m.end[t]))
            pairs.append((*spans, float(explanation.weight[row])))
        chosen = {int(sentences[d][start]) for *spans, _ in pairs for start, _ in spans}
        support.append((sorted(chosen.union(attended.get(i, ()))), pairs))
    return support


def list_attended(explanation: Explanation, sentence_mass: float) -> Dict[int, List[int]]:
    """List the sentences with much of the context's attention, by row of the relation."""
    attended: Dict[int, List[int]] = {}
    shares = explanation.sentences
    if shares is not None:
        much = shares.share >= sentence_mass
        for i, sentence in zip(shares.pair[much].tolist(), shares.sentence[much].tolist()):
            attended.setdefault(i, []).append(sentence)
    return attended
