"""What speaks for a relation: overlapping attention of mention pairs, and sentences with much of the context."""

from typing import Tuple

import numpy
import torch
from thinc.types import Floats1d, Floats2d, Ints1d

from ..ty import PairBatch
from .encoded import EncodedBatch
from .local_context import PairPlaces, group_attention, lay_out_rows, meet
from .segments import expand_ranges, segment_mean


def list_mention_pairs(batch: PairBatch) -> Tuple[Ints1d, Ints1d, Ints1d]:
    """List the mention pairs of entity pairs.

    RETURNS (Tuple[Ints1d, Ints1d, Ints1d]): Rows of the entity pair, the head's mention and the tail's. Shape (N,).
    """
    bounds = numpy.searchsorted(batch.entities.entity, numpy.arange(len(batch.entities) + 1))
    size = bounds[1:] - bounds[:-1]
    n_tail = size[batch.tail]
    index, pair = expand_ranges(numpy.zeros(len(batch), dtype="int64"), size[batch.head] * n_tail)
    return pair, bounds[batch.head][pair] + index // n_tail[pair], bounds[batch.tail][pair] + index % n_tail[pair]


@torch.no_grad()
def overlap_weights(
    encoded: EncodedBatch, first: Ints1d, last: Ints1d, pair: Ints1d, head: Ints1d, tail: Ints1d
) -> Floats1d:
    """Share out the overlap of attention rows among the mention pairs of each entity pair.

    first, last (Ints1d): Pieces [first, last) of each mention. Shape (M,).
    pair, head, tail (Ints1d): Entity pair, head mention and tail mention of each mention pair. Shape (N,).
    RETURNS (Floats1d): Sums to 1 over each entity pair; equal where no window holds a mention of both. Shape (N,).
    """
    rows = lay_out_rows(encoded, first, last, numpy.arange(len(first)))
    flat = group_attention(encoded, rows).transpose(1, 2).flatten(2)  # (windows, mentions, heads * S)
    places = meet(rows, head, tail)
    window, one, other = (encoded.index(i) for i in (places.window, places.first, places.second))
    overlap = (flat @ flat.transpose(1, 2))[window, one, other].double().cpu().numpy()
    weight = numpy.zeros(len(pair))
    numpy.maximum.at(weight, places.pair, overlap)
    total = numpy.bincount(pair, weight)[pair] if len(pair) else weight
    count = numpy.bincount(pair)[pair] if len(pair) else weight
    return numpy.where(total > 0, weight / numpy.where(total > 0, total, 1.0), 1.0 / numpy.maximum(count, 1))


@torch.no_grad()
def sentence_mass(
    encoded: EncodedBatch, attention: torch.Tensor, places: PairPlaces, n_pairs: int, sentence: Ints1d
) -> Floats2d:
    """Add up each pair's context attention over the sentences of its document.

    attention (torch.Tensor): a_ht in each window. Shape (windows, pairs, S).
    places (PairPlaces): Where the pairs lie in it.
    sentence (Ints1d): Sentence, counted within its document, of each token of the batch. Shape (T,).
    RETURNS (Floats2d): Share of each sentence, without special pieces; zeros for pairs that share no window.
        Shape (n_pairs, sentences of the longest document).
    """
    layout = encoded.layout
    n_sentences = int(sentence.max(initial=-1)) + 1
    piece, token = expand_ranges(layout.token_first, layout.token_last)
    of_piece = numpy.full(len(layout.piece_rows), n_sentences, dtype="int64")
    of_piece[piece] = sentence[token]
    # Positions of each window; special pieces and padding fall into a column that is dropped.
    index = layout.window_first[:, None] + numpy.arange(encoded.hidden.shape[1])[None] - layout.prefix
    inside = (index >= layout.window_first[:, None]) & (index < layout.window_last[:, None])
    of_position = numpy.where(inside, of_piece[numpy.where(inside, index, 0)], n_sentences)
    rows = attention[encoded.index(places.window), encoded.index(places.column)]
    mass = rows.new_zeros(len(rows), n_sentences + 1)
    mass = mass.scatter_add(1, encoded.index(of_position[places.window]), rows)[:, :-1]
    by_pair = segment_mean(mass, encoded.index(places.pair), n_pairs)
    return (by_pair / by_pair.sum(-1, keepdim=True).clamp(min=1e-12)).cpu().numpy()
