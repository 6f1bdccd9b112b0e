"""Losses averaged over the samples of each document, then over documents (JEREX section 3.2), or over all labels."""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from .shapes import check_shapes


def document_mean(values: Tensor, doc: Tensor) -> Tensor:
    """Average values within each document, then over the documents that have any.

    values (Tensor): Shape (N,).
    doc (Tensor): Document of each value, int64. Shape (N,).
    RETURNS (Tensor): Scalar; 0 where there are no values.
    """
    if len(values) == 0:
        return values.sum()
    count = torch.bincount(doc)
    return (values / count[doc]).sum() / (count > 0).sum()


def binary_loss(logits: Tensor, gold: Tensor, doc: Tensor) -> Tensor:
    """Binary cross entropy of samples, in nats. logits, gold, doc (N,) -> scalar. JEREX eq. 2, 4, 13.

    RAISES (ValueError): If logits and gold differ in shape.
    """
    return document_mean(_cross_entropies(logits, gold), doc)


def relation_loss(logits: Tensor, gold: Tensor, doc: Tensor) -> Tensor:
    """Binary cross entropy of entity pairs, in nats, summed over relations. JEREX eq. 8, 13.

    logits, gold (Tensor): Shape (P, R).
    doc (Tensor): Document of each pair, int64. Shape (P,).
    RETURNS (Tensor): Scalar.
    RAISES (ValueError): If logits and gold differ in shape.
    """
    return document_mean(_cross_entropies(logits, gold).sum(-1), doc)


def label_loss(logits: Tensor, gold: Tensor) -> Tensor:
    """Binary cross entropy of entity pairs, in nats, averaged over all labels of all pairs. RSMAN eq. 2, 6.

    logits, gold (Tensor): Shape (P, R).
    RETURNS (Tensor): Scalar; 0 where there are no pairs.
    RAISES (ValueError): If logits and gold differ in shape.
    """
    return _cross_entropies(logits, gold).sum() / max(gold.numel(), 1)


def _cross_entropies(logits: Tensor, gold: Tensor) -> Tensor:
    check_shapes(logits, gold)
    return binary_cross_entropy_with_logits(logits, gold.to(logits.dtype), reduction="none")


def type_loss(logits: Tensor, gold: Tensor, doc: Tensor) -> Tensor:
    """Cross entropy of types, in nats. logits (E, types), gold (E,) int64, doc (E,) -> scalar. JEREX eq. 6, 13."""
    return document_mean(cross_entropy(logits, gold, reduction="none"), doc)
