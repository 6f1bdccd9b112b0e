"""Docs, and encoder outputs, built by hand."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, List, Optional, Sequence, Tuple

import numpy
import spacy
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from spacy_docre.batches import EntityBatch, PairBatch, SpanBatch
from spacy_docre.doc.layers import set_clusters, set_mentions
from spacy_docre.doc.views import set_relations

Span = Tuple[int, int]

# Tokens   0   1   2     3  4    5 6   7     8    9  10   11 12  13    14 15   16
WORDS = "Ann Lee works at Acme . She leads Acme in Rome . Bob lives in Rome .".split()
SENTS = (0, 6, 12)
ANN, SHE, ACME1, ACME2, ROME1, BOB, ROME2 = (0, 2), (6, 7), (4, 5), (8, 9), (10, 11), (12, 13), (15, 16)
ENTITIES = (("PER", (ANN, SHE)), ("ORG", (ACME1, ACME2)), ("LOC", (ROME1, ROME2)), ("PER", (BOB,)))
TRIPLES = ((0, "employer", 1), (1, "headquarters location", 2), (3, "residence", 2))


@cache
def english_vocab() -> Vocab:
    """Vocabulary of a blank English pipeline, one for all tests."""
    return spacy.blank("en").vocab


def make_doc(
    words: Sequence[str] = WORDS,
    *,
    sents: Optional[Sequence[int]] = SENTS,
    entities: Optional[Sequence[Tuple[str, Sequence[Span]]]] = ENTITIES,
    relations: Optional[Sequence[Any]] = TRIPLES,
    vocab: Optional[Vocab] = None,
) -> Doc:
    """Build a gold Doc.

    words (Sequence[str]): Tokens, joined by spaces.
    sents (Optional[Sequence[int]]): First token of each sentence.
    entities (Optional[Sequence]): Type and mentions of each; None: neither mentions nor clusters are annotated.
    relations (Optional[Sequence]): Triples; None: not annotated.
    vocab (Optional[Vocab]): By default that of a blank English pipeline.
    """
    vocab = english_vocab() if vocab is None else vocab
    starts = None if sents is None else [i in sents for i in range(len(words))]
    doc = Doc(vocab, words=list(words), sent_starts=starts)
    if entities is not None:
        set_mentions(doc, sorted({span for _, spans in entities for span in spans}))
        set_clusters(doc, [spans for _, spans in entities], [label for label, _ in entities])
    if relations is not None:
        set_relations(doc, relations)
    return doc


def write_docs(path: Path, *docs: Doc) -> Path:
    """Write a .spacy file. RETURNS (Path): The path."""
    DocBin(store_user_data=True, docs=docs).to_disk(path)
    return path


def read_docs(path: Path) -> List[Doc]:
    """Read a .spacy file, into a vocabulary that knows nothing yet."""
    return list(DocBin().from_disk(path).get_docs(Vocab()))


def lay_windows(pieces: Sequence[int], bounds: Sequence[Span], *, prefix: int = 1, suffix: int = 1) -> Any:
    """Build the DocWindows of one document.

    pieces (Sequence[int]): Number of word pieces of each token.
    bounds (Sequence[Span]): Pieces [first, last) of each window.
    prefix, suffix (int): Special pieces before and after each window.
    """
    from spacy_docre.layers.layout import DocWindows

    ends = numpy.cumsum([0, *pieces])
    home = []
    for p in range(ends[-1]):
        holders = [w for w, (first, last) in enumerate(bounds) if first <= p < last]
        home.append(min(holders, key=lambda w: abs(p + 0.5 - sum(bounds[w]) / 2)))
    first, last = numpy.asarray(bounds, dtype="int64").reshape(-1, 2).T
    lengths = last - first + prefix + suffix
    return DocWindows(ends[:-1], ends[1:], first, last, numpy.asarray(home, dtype="int64"), lengths, prefix)


def encode_at_random(
    docs: Sequence[Any],
    *,
    width: int = 4,
    n_heads: int = 2,
    head_width: int = 3,
    dtype: Any = None,
    seed: int = 0,
    attention: bool = False,
) -> Any:
    """Build an EncodedBatch of random numbers.

    docs (Sequence[DocWindows]): See `lay_windows`.
    attention (bool): Whether it holds attention instead of queries and keys.
    """
    import torch

    from spacy_docre.layers.encoded import EncodedBatch
    from spacy_docre.layers.planes import Planes

    dtype = torch.float64 if dtype is None else dtype
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Any:
        return torch.randn(*shape, generator=generator, dtype=dtype)

    n = sum(d.n_windows for d in docs)
    s = max([int(length) for d in docs for length in d.lengths], default=0)
    hidden, queries, keys = draw(n, s, width), draw(n, n_heads, s, head_width), draw(n, n_heads, s, head_width)
    if not attention:
        return EncodedBatch(Planes(hidden, queries, keys), tuple(docs))
    lengths = torch.as_tensor([int(length) for d in docs for length in d.lengths])
    padding = torch.arange(s)[None] >= lengths[:, None]
    rows = draw(n, n_heads, s, s).masked_fill(padding[:, None, None], -torch.inf).softmax(-1)
    return EncodedBatch(Planes(hidden, attention=rows), tuple(docs))


def pair_up(
    docs: Sequence[Sequence[Sequence[Span]]],
    pairs: Optional[Sequence[Tuple[int, int]]] = None,
    *,
    types: Optional[Sequence[int]] = None,
    sents: Sequence[Sequence[int]] = (),
) -> PairBatch:
    """Build a PairBatch.

    docs: Mentions of each entity of each document.
    pairs (Optional[Sequence[Tuple[int, int]]]): Entities of each pair, counted over the batch; None: all ordered pairs.
    types (Optional[Sequence[int]]): Type of each entity of the batch; None: unknown.
    sents (Sequence[Sequence[int]]): First token of each sentence of each document, by default one.
    """
    flat = [(d, spans) for d, entities in enumerate(docs) for spans in entities]
    rows = [(d, start, end, e) for e, (d, spans) in enumerate(flat) for start, end in spans]
    doc, start, end, entity = numpy.asarray(rows, dtype="int64").reshape(-1, 4).T
    of_doc = numpy.asarray([d for d, _ in flat], dtype="int64")
    starts = dict(enumerate(sents))
    sentence = [sum(s <= token for s in starts.get(d, [0])) - 1 for d, token, _, _ in rows]
    if pairs is None:
        n = range(len(flat))
        pairs = [(h, t) for h in n for t in n if h != t and of_doc[h] == of_doc[t]]
    head, tail = numpy.asarray(pairs, dtype="int64").reshape(-1, 2).T
    label = numpy.full(len(flat), -1) if types is None else numpy.asarray(types, dtype="int64")
    entities = EntityBatch(SpanBatch(doc, start, end), entity, of_doc, label, numpy.asarray(sentence, dtype="int64"))
    return PairBatch(entities, head, tail)


def all_windows(encoded: Any) -> Any:
    """Take all windows of an EncodedBatch as one WindowGroup, padded to the longest."""
    from spacy_docre.layers.encoded import WindowGroup

    lengths = encoded.layout.lengths
    return WindowGroup(numpy.arange(len(lengths)), lengths, encoded.planes)


def attention_rows(encoded: Any, position: Any = None) -> Any:
    """Compute attention rows of all windows, by default of all positions; see WindowGroup.attention_rows."""
    n, s = encoded.hidden.shape[:2]
    position = numpy.tile(numpy.arange(s), (n, 1)) if position is None else position
    return all_windows(encoded).attention_rows(position)


def with_planes(encoded: Any, **tensors: Any) -> Any:
    """Replace some tensors of an EncodedBatch, by their names."""
    return replace(encoded, planes=replace(encoded.planes, **tensors))


def list_rows(tensor: Any) -> List[Any]:
    """RETURNS (List): The tensor as nested lists of Python floats, for twins written in loops."""
    return tensor.detach().double().tolist()
