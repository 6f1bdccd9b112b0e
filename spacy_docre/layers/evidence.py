"""Evidence of relations: overlapping attention of mention pairs, and sentences with much of the context."""

from dataclasses import dataclass
from typing import Sequence, Tuple

import numpy
import torch
from torch import Tensor

from ..arrays import Floats1d, Ints1d, Ints2d
from ..batches import PairBatch
from .encoded import EncodedBatch
from .layout import Layout
from .local_context import PairPlaces, attend, lay_out_rows, meet, pair_attention
from .pairs import list_mention_pairs, share_out
from .segments import expand_ranges


@dataclass(frozen=True)
class SentenceShares:
    """How the context attention of entity pairs spreads over sentences.

    pair, sentence (Ints1d): Row of the entity pair, sentence counted within its document. Shape (N,).
    share (Floats1d): Sums to 1 over a pair; pairs that share no window have no row. Shape (N,).
    """

    pair: Ints1d
    sentence: Ints1d
    share: Floats1d


@torch.no_grad()
def explain_by_attention(
    encoded: EncodedBatch, batch: PairBatch, sentence: Ints1d
) -> Tuple[Ints1d, Ints1d, Ints1d, Floats1d, SentenceShares]:
    """Share out the overlap of attention rows among the mention pairs of each entity pair, and the entity pair's
    context attention among the sentences of its document.

    batch (PairBatch): Entity pairs; a pair may come several times.
    sentence (Ints1d): Sentence, counted within its document, of each token of the batch. Shape (T,).
    RETURNS: Row of the entity pair, head mention, tail mention and weight of each mention pair (N,), and the sentences.
        Weights sum to 1 over an entity pair; they are equal where no window holds a mention of both.
    """
    pair, head, tail = list_mention_pairs(batch)
    first, last = encoded.layout.mention_pieces(batch.entities.mentions)
    by_mention = lay_out_rows(encoded, first, last, numpy.arange(len(first)))
    by_entity = lay_out_rows(encoded, first, last, batch.entities.entity)
    mentions_meet, entities_meet = meet(by_mention, head, tail), meet(by_entity, batch.head, batch.tail)
    weight = numpy.zeros(len(pair))
    shares = []
    for part in attend(encoded, by_mention, numpy.unique(entities_meet.window)):
        rows = part.groups(by_mention).transpose(1, 2).flatten(2)  # (w, mentions, heads * S)
        inside = mentions_meet.select(part.windows.number)
        window, one, other = (encoded.index(i) for i in (inside.window, inside.first, inside.second))
        overlap = (rows @ rows.transpose(1, 2))[window, one, other].double().cpu().numpy()
        numpy.maximum.at(weight, inside.pair, overlap)
        inside = entities_meet.select(part.windows.number)
        window, column = encoded.index(inside.window), encoded.index(inside.column)
        attention = pair_attention(part.groups(by_entity), inside)[window, column]
        shares.append(add_up_sentences(encoded, part.windows.number, attention, inside, sentence))
    return pair, head, tail, share_out(weight, pair), join_shares(shares)


def add_up_sentences(
    encoded: EncodedBatch, windows: Ints1d, attention: Tensor, places: PairPlaces, sentence: Ints1d
) -> SentenceShares:
    """Add up context attention over the sentences of some windows; special pieces and padding are in none.

    A window of the sentences 3 and 4, between special pieces (#), and one meeting in it:

        position:    0   1   2   3   4   5
        piece:       #   a   b   c   d   #
        sentence:   -1   3   3   4   4  -1
        column:      2   0   0   1   1   2     (counted from the window's first sentence, none in the last column)
        attention:  .1  .3  .1  .2  .2  .1     ->  sentence 3: .4, sentence 4: .4

    windows (Ints1d): Numbers of the windows. Shape (w,).
    attention (Tensor): That of each meeting. Shape (K, S).
    places (PairPlaces): Meetings of pairs in these windows.
    sentence (Ints1d): Sentence, counted within its document, of each token of the batch. Shape (T,).
    RETURNS (SentenceShares): Sums, window by window, not normalised.
    """
    of_position = _number_positions(encoded.layout, windows, attention.shape[1], sentence)
    lowest = numpy.where(of_position < 0, of_position.max(), of_position).min(1)
    n_columns = int((of_position.max(1) - lowest).max()) + 1
    column = numpy.where(of_position < 0, n_columns, of_position - lowest[:, None])
    mass = attention.new_zeros(len(attention), n_columns + 1)
    mass = mass.scatter_add(1, encoded.index(column[places.window]), attention)
    found = mass[:, :-1].double().cpu().numpy()
    row, column = numpy.nonzero(found)
    return SentenceShares(places.pair[row], lowest[places.window[row]] + column, found[row, column])


def _number_positions(layout: Layout, windows: Ints1d, n_positions: int, sentence: Ints1d) -> Ints2d:
    """Find the sentence of each position of some windows, -1 where it is in none. Shape (w, S)."""
    piece, token = expand_ranges(layout.token_first, layout.token_last)
    of_piece = numpy.full(len(layout.piece_rows), -1, dtype="int64")
    of_piece[piece] = sentence[token]
    start, stop = layout.window_first[windows, None], layout.window_last[windows, None]
    index = start + numpy.arange(n_positions)[None] - layout.prefix
    held = (index >= start) & (index < stop)
    return numpy.where(held, of_piece[numpy.where(held, index, 0)], -1)


def join_shares(parts: Sequence[SentenceShares]) -> SentenceShares:
    """Add up what several windows give, and normalise it to sum 1 over each pair."""
    if not parts:
        return SentenceShares(*(numpy.zeros(0, dtype=kind) for kind in ("int64", "int64", "float64")))
    pair, sentence = (numpy.concatenate([getattr(p, name) for p in parts]) for name in ("pair", "sentence"))
    n_sentences = int(sentence.max(initial=-1)) + 1
    key, inverse = numpy.unique(pair * n_sentences + sentence, return_inverse=True)
    share = numpy.bincount(inverse, numpy.concatenate([p.share for p in parts]), len(key))
    pair = key // max(n_sentences, 1)
    return SentenceShares(pair, key % max(n_sentences, 1), share / numpy.bincount(pair, share)[pair])
