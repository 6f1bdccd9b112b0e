"""Stock listeners fed by our encoder: vectors, gradients, the places of both in a model."""

from dataclasses import replace
from typing import Any, List

import numpy
import pytest
import torch
from spacy_transformers.layers import trfs2arrays
from thinc.api import reduce_mean

from spacy_docre.layers.encoded import EncodedBatch
from spacy_docre.models.transformer.stock import as_stock
from toy import encode_at_random, lay_windows

# Two windows, a token in both and one without a piece, one that shares a piece, a piece of no token; no piece at all;
# no token; one token.
DOCS = [
    replace(
        lay_windows([1, 3, 0, 2, 2], [(0, 5), (3, 8)]),
        token_first=numpy.asarray([0, 1, 3, 3, 6]),
        token_last=numpy.asarray([1, 4, 3, 5, 8]),
    ),
    lay_windows([0, 0], []),
    lay_windows([], []),
    lay_windows([2], [(0, 2)]),
]


def pool_slowly(encoded: EncodedBatch) -> List[torch.Tensor]:
    """Vectors of the tokens of each Doc: the mean of their pieces', zeros where there are none."""
    pieces, docs = encoded.pieces(), []
    start = 0
    for windows in encoded.windows:
        tokens = [pieces[start + a : start + b] for a, b in zip(windows.token_first, windows.token_last)]
        docs.append([piece.sum(0) / max(len(piece), 1) for piece in tokens])
        start += windows.n_pieces
    return [torch.stack(vectors) if vectors else torch.zeros(0, encoded.width) for vectors in docs]


@pytest.mark.parametrize("docs", [DOCS, DOCS[1:], DOCS[1:3], DOCS[2:3]], ids=len)
def test_stock_layers_see_token_vectors_and_send_gradients_back(docs):
    encoded = encode_at_random(docs, dtype=torch.float32).leaves()
    received: List[Any] = []
    data, backprop = as_stock(encoded, received.append)
    vectors, backprop_vectors = trfs2arrays(reduce_mean(), grad_factor=1.0)(data, is_train=True)
    slow = pool_slowly(encoded)
    assert [len(v) for v in vectors] == [len(v) for v in slow]
    for fast, expected in zip(vectors, slow):
        assert fast.size == 0 or numpy.allclose(fast, expected.detach(), atol=1e-6)
    random = numpy.random.default_rng(0)
    gradient = [random.normal(size=v.shape).astype("float32") for v in vectors]
    backprop(backprop_vectors([g.copy() for g in gradient]))
    (found,) = received
    assert found.keys() == ({"hidden"} if any(windows.n_windows for windows in docs) else set())
    if found:
        sum((v * torch.as_tensor(g)).sum() for v, g in zip(slow, gradient)).backward()
        assert torch.allclose(found["hidden"], encoded.hidden.grad, atol=1e-6)
