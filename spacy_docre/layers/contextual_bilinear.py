"""ATLOP's classifier of pairs of vectors and their contexts."""

from typing import Tuple

import torch
from torch import Tensor, nn

from .feedforward import with_rare_bias
from .grouped_bilinear import GroupedBilinear


class ContextualBilinear(nn.Module):
    """z_h = tanh(W_h h + W_c1 c), z_t = tanh(W_t t + W_c2 c), f = grouped bilinear of z_h and z_t, with h and t the
    vectors of what is related and c those of their contexts.

    PEMSCL eq. 14-15 (appendix D), after ATLOP (Zhou et al., AAAI 2021).

    width (int): Of all vectors.
    n_out (int): Scores of a pair.
    block_size (int): Width of a group; divides the encoder's width.
    dropout (float): Dropout rate on the vectors and contexts.
    max_pair_items (int): Numbers of pair features that are held at a time.
    """

    def __init__(self, width: int, n_out: int, *, block_size: int, dropout: float, max_pair_items: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, width)
        self.tail = nn.Linear(width, width)
        self.head_context = nn.Linear(width, width, bias=False)
        self.tail_context = nn.Linear(width, width, bias=False)
        self.decoder = with_rare_bias(
            GroupedBilinear(width, n_out, block_size=block_size, max_pair_items=max_pair_items)
        )

    def pair_vectors(
        self, vectors: Tensor, contexts: Tensor, head: Tensor, tail: Tensor, pair: Tensor
    ) -> Tuple[Tensor, Tensor]:
        """Compute z_h and z_t. What depends on one vector or one context alone is computed once.

        vectors, contexts (Tensor): Shapes (E, width), (U, width).
        head, tail, pair (Tensor): Rows of the two vectors and of the context of each pair, int64. Shape (P,).
        RETURNS (Tuple[Tensor, Tensor]): Shape (P, width) each.
        """
        vectors, contexts = self.dropout(vectors), self.dropout(contexts)
        z_head = torch.tanh(self.head(vectors)[head] + self.head_context(contexts)[pair])
        return z_head, torch.tanh(self.tail(vectors)[tail] + self.tail_context(contexts)[pair])
