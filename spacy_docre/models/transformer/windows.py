"""Word-piece windows: tokenisation of Docs, alignment with their tokens, cutting of long documents."""

import sys
import warnings
from dataclasses import dataclass
from typing import List, Sequence, Tuple

import numpy
from spacy.tokens import Doc
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ...arrays import Ints1d
from ...errors import Errors, Warnings, check_number
from ...layers.layout import DocWindows
from ...layers.segments import expand_ranges
from .encoder import find_query_key, max_positions

_NO_LIMIT = 512
_MIN_WINDOW = 4


@dataclass(frozen=True)
class WindowPlan:
    """How documents are cut into windows for an encoder.

    window (int): Word pieces in a window, without special pieces.
    overlap (int): Word pieces that neighbouring windows share at least.
    prefix, suffix (Tuple[int, ...]): Special pieces before and after a window.
    """

    window: int
    overlap: int
    prefix: Tuple[int, ...]
    suffix: Tuple[int, ...]


def plan_windows(
    tokenizer: PreTrainedTokenizerBase, transformer: PreTrainedModel, *, window: int, overlap: int, name: str
) -> WindowPlan:
    """Find the encoder's limit and special pieces.

    window (int): Wished number of word pieces in a window, special ones included; 0 for as many as the encoder takes,
        512 if it has no limit or if its whole attention is held, which grows with the square of the window.
    overlap (int): Word pieces that neighbouring windows share.
    RAISES (ValueError): If the window is too small, or the overlap negative: pieces between windows would be lost.
    """
    check_number("overlap", overlap, least=0, where=name)
    most = max_positions(transformer) or sys.maxsize
    if not window and (most == sys.maxsize or find_query_key(transformer) is None):
        window = _NO_LIMIT
    limit = min(window or most, most)
    prefix, suffix = special_pieces(tokenizer)
    size = limit - len(prefix) - len(suffix)
    if size < _MIN_WINDOW:
        raise ValueError(Errors.R306.format(name=name, limit=limit, minimum=_MIN_WINDOW))
    return WindowPlan(size, min(overlap, size // 2), prefix, suffix)


def special_pieces(tokenizer: PreTrainedTokenizerBase) -> Tuple[Tuple[int, ...], Tuple[int, ...]]:
    """Find the special pieces that belong before and after a text."""
    # `build_inputs_with_special_tokens` does not know those of tokenizers that are all in their tokenizer.json.
    whole, bare = (
        tokenizer("a b c", add_special_tokens=special, padding=False, truncation=False)["input_ids"]
        for special in (True, False)
    )
    at = next((i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), 0)
    return tuple(whole[:at]), tuple(whole[at + len(bare) :])


def tokenize_docs(
    tokenizer: PreTrainedTokenizerBase, docs: Sequence[Doc], name: str
) -> List[Tuple[List[int], Ints1d, Ints1d]]:
    """Split Docs into word pieces, never truncated or padded, whatever the tokenizer's saved settings say.

    RETURNS (List[Tuple[List[int], Ints1d, Ints1d]]): For each Doc the ids of its pieces, and the pieces
        [first, last) of each token.
    """
    if not docs:
        return []
    if not tokenizer.is_fast:
        warnings.warn(Warnings.RW07.format(name=name), stacklevel=2)
        return [_tokenize_slow(tokenizer, doc) for doc in docs]
    encoded = tokenizer(
        [doc.text for doc in docs],
        add_special_tokens=False,
        return_offsets_mapping=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        padding=False,
        truncation=False,
        verbose=False,
    )
    pieces = []
    for doc, ids, offsets in zip(docs, encoded["input_ids"], encoded["offset_mapping"]):
        bounds = numpy.asarray(offsets, dtype="int64").reshape(-1, 2)
        start = doc.to_array("IDX").astype("int64")
        end = start + doc.to_array("LENGTH").astype("int64")
        # Pieces that overlap the token: they end after its start, and start before its end.
        first = numpy.searchsorted(bounds[:, 1], start, side="right")
        last = numpy.searchsorted(bounds[:, 0], end, side="left")
        pieces.append((ids, first, numpy.maximum(first, last)))
    return pieces


def _tokenize_slow(tokenizer: PreTrainedTokenizerBase, doc: Doc) -> Tuple[List[int], Ints1d, Ints1d]:
    """Split a Doc token by token, yet as the pieces come out in running text."""
    ids: List[int] = []
    bounds = [0]
    whole = doc.text
    before = ""  # the token before, if no white space is between
    for token in doc:
        text = token.text.strip(" ")  # a space goes with the piece after it
        follows_space = token.idx > 0 and whole[token.idx - 1] == " "
        pieces = tokenizer.tokenize(f" {text}" if follows_space and text else text)
        if before and text:
            head, both = tokenizer.tokenize(before), tokenizer.tokenize(before + text)
            if both[: len(head)] == head:
                pieces = both[len(head) :]
        ids.extend(tokenizer.convert_tokens_to_ids(pieces))
        bounds.append(len(ids))
        before = "" if token.whitespace_ or token.is_space else text
    return ids, numpy.asarray(bounds[:-1], dtype="int64"), numpy.asarray(bounds[1:], dtype="int64")


def cut_windows(n_pieces: int, token_first: Ints1d, token_last: Ints1d, plan: WindowPlan) -> DocWindows:
    """Cover a document with evenly spaced windows, and choose for each token the one with the middle closest to it.

    n_pieces (int): Word pieces of the document.
    token_first, token_last (Ints1d): Pieces [first, last) of each token. Shape (T,).
    """
    if n_pieces == 0:
        first = last = numpy.zeros(0, dtype="int64")
    elif n_pieces <= plan.window:
        first, last = numpy.asarray([0]), numpy.asarray([n_pieces])
    else:
        stride = plan.window - plan.overlap
        n_windows = 1 + -(-(n_pieces - plan.window) // stride)
        first = numpy.linspace(0, n_pieces - plan.window, n_windows).astype("int64")
        last = first + plan.window
    home = choose_windows(n_pieces, token_first, token_last, first, last)
    special = len(plan.prefix) + len(plan.suffix)
    return DocWindows(token_first, token_last, first, last, home, last - first + special, len(plan.prefix))


def choose_windows(n_pieces: int, token_first: Ints1d, token_last: Ints1d, first: Ints1d, last: Ints1d) -> Ints1d:
    """Choose the window whose vector each piece takes. Windows [0, 5) and [3, 8), middles 2.5 and 5.5:

        piece:   0    1    2    3    4    5    6    7
        token:   a    a    b    c    c    d    e    e
        centre:  1    1    2.5  4    4    5.5  7    7     (of the piece's token)
        window:  0    0    0    0    0    1    1    1     (4 is as far from both: the first)

    first, last (Ints1d): Pieces [first, last) of each window. Shape (windows,).
    RETURNS (Ints1d): Shape (n_pieces,).
    """
    if len(first) < 2:
        return numpy.zeros(n_pieces, dtype="int64")
    # All pieces of a token take one window; pieces outside any token stand for themselves.
    centre = numpy.arange(n_pieces) + 0.5
    members, token = expand_ranges(token_first, token_last)
    centre[members] = (token_first[token] + token_last[token]) / 2
    middle = (first + last) / 2
    home = numpy.abs(centre[:, None] - middle[None]).argmin(1)
    # A token longer than the overlap may reach beyond that window: then each piece takes one that holds it.
    index = numpy.arange(n_pieces)
    outside = (index < first[home]) | (index >= last[home])
    home[outside] = numpy.abs(index[outside, None] + 0.5 - middle[None]).argmin(1)
    return home


def window_ids(ids: Sequence[int], windows: DocWindows, plan: WindowPlan) -> List[List[int]]:
    """List the piece ids of each window, special ones included."""
    return [
        [*plan.prefix, *ids[first:last], *plan.suffix] for first, last in zip(windows.window_first, windows.window_last)
    ]
