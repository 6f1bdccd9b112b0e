"""Losses of relation heads as a config names them."""

from torch import Tensor

from ..errors import Errors, check_choice, check_number
from ..losses.adaptive_threshold import adaptive_threshold_loss
from ..losses.contrastive import FORMS, contrastive_loss
from ..losses.negative_sampling import draw_labels
from ..losses.pairwise_threshold import pairwise_entropy, pairwise_threshold_loss
from ..losses.per_document import label_loss, relation_loss
from .relation_head import RelationLoss
from .torch_model import Scores

ENTROPIES = ("averaged", "summed", "none")
AVERAGES = ("documents", "labels")


def configure_adaptive_threshold(*, negative_ratio: float = 1.0) -> RelationLoss:
    """Configure ATLOP's adaptive threshold loss, averaged over entity pairs.

    negative_ratio (float): Share of the relations that count for a pair without any, drawn anew each step; 1 for all.
    RAISES (ValueError): If negative_ratio is not above 0 and at most 1.
    """
    check_number("negative_ratio", negative_ratio, above=0, most=1)

    def loss(scores: Scores, gold: Tensor, doc: Tensor) -> Tensor:
        return adaptive_threshold_loss(scores["logits"], gold, draw_labels(gold, negative_ratio)).mean()

    return RelationLoss(loss, threshold_class=True)


def configure_pairwise_moving_threshold(
    *,
    entropy: str = "averaged",
    contrast_weight: float = 0.1,
    temperature: float = 0.2,
    scl_form: str = "in",
    negative_ratio: float = 1.0,
) -> RelationLoss:
    """Configure PEMSCL's loss: pairwise moving threshold, entropy minimisation, supervised contrastive learning.

    Eq. 7, 10, 11 and 13 (Guo et al., 2023), all terms divided by the number of entity pairs in the batch. Defaults
    are those for Re-DocRED; for DocRED the paper has entropy "summed", contrast_weight 2 and temperature 2.

    entropy (str): "averaged" over the relations of a pair that hold, and over the others (gamma being their counts),
        "summed" (gamma of 1), or "none".
    contrast_weight (float): lambda, the share of the contrastive loss; 0 leaves it out. It needs a head that gives
        z_head and z_tail: `spacy-docre.AtlopHead.v1` or `spacy-docre.PemsclHead.v1`.
    temperature (float): tau of the contrastive loss.
    scl_form (str): Of the contrastive loss over the pairs that share a relation: "out", the mean of log-probabilities,
        as published code has it, or "in", the logarithm of the mean probability, as eq. 8 is printed.
    negative_ratio (float): Share of the relations that count for a pair without any, drawn anew each step; 1 for all.
    RAISES (ValueError): If a setting has another value.
    """
    check_choice("entropy", entropy, ENTROPIES)
    check_choice("scl_form", scl_form, FORMS)
    check_number("contrast_weight", contrast_weight, least=0)
    check_number("temperature", temperature, above=0)
    check_number("negative_ratio", negative_ratio, above=0, most=1)

    def loss(scores: Scores, gold: Tensor, doc: Tensor) -> Tensor:
        logits, counted = scores["logits"], draw_labels(gold, negative_ratio)
        total = pairwise_threshold_loss(logits, gold, counted).sum()
        if entropy != "none":
            total = total + pairwise_entropy(logits, gold, counted, averaged=entropy == "averaged").sum()
        if contrast_weight:
            if not {"z_head", "z_tail"} <= scores.keys():
                raise ValueError(Errors.R311.format(given=", ".join(scores)))
            vectors = scores["z_head"], scores["z_tail"]
            total = total + contrast_weight * contrastive_loss(*vectors, gold, temperature=temperature, form=scl_form)
        return total / len(gold)

    return RelationLoss(loss, threshold_class=True)


def configure_binary_cross_entropy(*, average: str = "documents") -> RelationLoss:
    """Configure binary cross entropy, the loss of relations in JEREX and in RSMAN.

    average (str): "documents" (JEREX): summed over relations, averaged over each document's pairs, then over documents;
        or "labels" (RSMAN): averaged over all relations of all pairs.
    RAISES (ValueError): If average is neither.
    """
    check_choice("average", average, AVERAGES)

    def loss(scores: Scores, gold: Tensor, doc: Tensor) -> Tensor:
        logits = scores["logits"]
        return relation_loss(logits, gold, doc) if average == "documents" else label_loss(logits, gold)

    return RelationLoss(loss, threshold_class=False)
