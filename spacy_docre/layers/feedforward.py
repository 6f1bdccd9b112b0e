"""Two-layer feed-forward networks of JEREX."""

import torch
from torch import Tensor, nn


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

    def forward(self, rows: Tensor, first: Tensor, second: Tensor, extra: Tensor) -> Tensor:
        """Score pairs in the given order and in the other, and average: the score does not depend on the order.

        rows (Tensor): Shape (M, n_row).
        first, second (Tensor): Rows of each pair, int64. Shape (K,).
        extra (Tensor): Features of each pair. Shape (K, n_extra).
        RETURNS (Tensor): Shape (K, n_out).
        """
        a, b, c = self.first(rows), self.second(rows), self.extra(extra)
        one = self.output(self.dropout(torch.relu(a[first] + b[second] + c)))
        other = self.output(self.dropout(torch.relu(a[second] + b[first] + c)))
        return (one + other) / 2
