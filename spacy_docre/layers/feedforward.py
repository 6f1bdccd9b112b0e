"""Two-layer feed-forward networks of JEREX."""

from typing import Sequence, Tuple, TypeVar, cast

import torch
from torch import Tensor, nn

Layer = TypeVar("Layer", bound=nn.Module)


class FeedForward(nn.Module):
    """Linear, ReLU, dropout, linear: FFNN of JEREX eq. 2, 4, 6 (Eberts and Ulges, EACL 2021).

    n_in, n_hidden, n_out (int): Widths.
    dropout (float): Share of hidden units left out in training.
    """

    def __init__(self, n_in: int, n_hidden: int, n_out: int, *, dropout: float) -> None:
        super().__init__()
        self.hidden = nn.Linear(n_in, n_hidden)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(n_hidden, n_out)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, n_in) -> (N, n_out)."""
        return self.output(self.dropout(torch.relu(self.hidden(x))))


class PairFeedForward(nn.Module):
    """FeedForward on the concatenation [a; b; extra] of many pairs, never building it.

    The first linear layer is split: one product per row of `a` and `b` rather than one per pair.

    n_row, n_extra, n_hidden, n_out (int): Widths.
    dropout (float): Share of hidden units left out in training.
    """

    def __init__(self, n_row: int, n_extra: int, n_hidden: int, n_out: int, *, dropout: float) -> None:
        super().__init__()
        self.first = nn.Linear(n_row, n_hidden, bias=False)
        self.second = nn.Linear(n_row, n_hidden, bias=False)
        self.extra = nn.Linear(n_extra, n_hidden)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(n_hidden, n_out)

    def project(self, rows: Tensor) -> Tuple[Tensor, Tensor]:
        """Compute what each row adds as the first and as the second of a pair.
        rows (M, n_row) -> (M, n_hidden) each."""
        return self.first(rows), self.second(rows)

    def forward(self, projected: Tuple[Tensor, Tensor], first: Tensor, second: Tensor, extra: Tensor) -> Tensor:
        """Score pairs in the given order and in the other, and average: the score does not depend on the order.

        projected (Tuple[Tensor, Tensor]): See `project`.
        first, second (Tensor): Rows of each pair, int64. Shape (K,).
        extra (Tensor): Features of each pair. Shape (K, n_extra).
        RETURNS (Tensor): Shape (K, n_out).
        """
        (a, b), c = projected, self.extra(extra)
        one = self.output(self.dropout(torch.relu(a.index_select(0, first) + b.index_select(0, second) + c)))
        other = self.output(self.dropout(torch.relu(a.index_select(0, second) + b.index_select(0, first) + c)))
        return (one + other) / 2


class SplitLinear(nn.Linear):
    """A linear layer on the concatenation of parts that are never put side by side: y = b + sum_k W_k x_k.

    A part that many rows share is multiplied once, and the products are added up where rows meet.

    widths (Sequence[int]): Width of each part.
    n_out (int): Width of the output.
    """

    def __init__(self, widths: Sequence[int], n_out: int) -> None:
        super().__init__(sum(widths), n_out)
        self.widths = list(widths)

    def part(self, k: int, x: Tensor) -> Tensor:
        """Compute W_k x, and add the bias for the first part. x (N, widths[k]) -> (N, n_out)."""
        return nn.functional.linear(x, self.weight.split(self.widths, 1)[k], self.bias if k == 0 else None)


def make_rare_bias(n_out: int) -> nn.Parameter:
    """Make biases from which every relation has a probability of 0.01. Positives are rare: starting at 0.5, a sigmoid
    spends hundreds of steps just lowering its bias.

    RETURNS (nn.Parameter): Shape (n_out,).
    """
    return nn.Parameter(torch.full((n_out,), 0.01).logit())


def with_rare_bias(layer: Layer) -> Layer:
    """Replace the biases of a layer that scores relations; see `make_rare_bias`.

    RETURNS (Layer): The same layer.
    """
    layer.bias = make_rare_bias(len(cast(Tensor, layer.bias)))
    return layer
