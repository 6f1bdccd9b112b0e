"""Work on many rows a bounded number at a time."""

from functools import partial
from typing import Any, Callable, Iterator, List, Sequence, Tuple

import numpy
import torch
from torch.utils.checkpoint import checkpoint

from .pairs import MentionPairs


def chunks(n: int, size: int) -> Iterator[slice]:
    """YIELDS (slice): Rows 0 to n, at most `size` at a time."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def cut_chunks(pairs: MentionPairs, n_pairs: int, max_items: int) -> Iterator[Tuple[slice, MentionPairs]]:
    """Cut mention pairs into chunks of whole entity pairs.

    n_pairs (int): Number of entity pairs; each has a mention pair.
    max_items (int): Mention pairs in a chunk (a single entity pair may have more).
    YIELDS (Tuple[slice, MentionPairs]): Entity pairs of the chunk, and their mention pairs; entity pairs are counted
        within the chunk.
    """
    bounds = numpy.searchsorted(pairs[0], numpy.arange(n_pairs + 1))
    start = 0
    while start < n_pairs:
        stop = max(int(numpy.searchsorted(bounds, bounds[start] + max_items, side="right")) - 1, start + 1)
        pair, first, second = (rows[bounds[start] : bounds[stop]] for rows in pairs)
        yield slice(start, stop), (pair - start, first, second)
        start = stop


def in_chunks(function: Callable[..., Any], parts: Sequence[Tuple[Any, ...]]) -> List[Any]:
    """Call a function on each part. With a gradient and several parts, autograd would keep what all of them compute:
    then only the inputs are kept, and each part is computed again in the backward pass.

    parts (Sequence[Tuple[Any, ...]]): Arguments of each call.
    RETURNS (List[Any]): What the calls return.
    """
    if len(parts) > 1 and torch.is_grad_enabled():
        function = partial(checkpoint, function, use_reentrant=False)
    return [function(*part) for part in parts]
