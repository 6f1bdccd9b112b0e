"""Shapes that losses ask for."""

from torch import Tensor

from ..errors import Errors


def check_shapes(logits: Tensor, gold: Tensor, n_extra: int = 0) -> None:
    """Check that scores fit labels.

    n_extra (int): Columns that the scores have before those of the labels; 1 for a threshold class.
    RAISES (ValueError): If they do not fit.
    """
    expected = gold.shape if not n_extra else (len(gold), n_extra + gold.shape[1])
    if logits.shape != expected:
        raise ValueError(Errors.R301.format(logits=tuple(logits.shape), gold=tuple(gold.shape)))
