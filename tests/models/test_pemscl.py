"""PEMSCL: the loss put together, the vectors that it needs from a head, and ATLOP's head, which gives them."""

import math

import pytest
import spacy
import torch

from spacy_docre.losses.contrastive import contrastive_loss
from spacy_docre.losses.negative_sampling import draw_labels
from spacy_docre.losses.pairwise_threshold import pairwise_entropy, pairwise_threshold_loss
from spacy_docre.models.heads.atlop import build_atlop_head
from spacy_docre.models.losses import configure_adaptive_threshold, configure_pairwise_moving_threshold
from toy import encode_at_random, lay_windows, pair_up

WIDTH = 8

DOC = torch.tensor([0, 0, 0, 1, 1, 1])
GOLD = torch.tensor([[1, 0, 0], [0, 0, 0], [1, 1, 0], [0, 0, 0], [1, 0, 1], [0, 0, 0]], dtype=torch.bool)


def encode(n_pieces):
    return encode_at_random([lay_windows([1] * n_pieces, [(0, n_pieces)])], width=WIDTH)


def draw_scores():
    torch.manual_seed(0)
    vectors = {name: torch.randn(6, 2, 4, dtype=torch.float64) for name in ("z_head", "z_tail")}
    return {"logits": torch.randn(6, 4, dtype=torch.float64), **vectors}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"entropy": "summed", "contrast_weight": 2.0, "temperature": 2.0},
        {"entropy": "none"},
        {"contrast_weight": 0.0},
        {"entropy": "none", "contrast_weight": 0.0},
        {"scl_form": "in", "negative_ratio": 0.4},
    ],
)
def test_sum_of_its_terms(settings):
    """Eq. 11 and 13; all terms over the six pairs of the batch, contrast across documents."""
    scores, known = draw_scores(), {"entropy": "averaged", "contrast_weight": 0.1, "temperature": 0.2, **settings}
    torch.manual_seed(1)
    found = configure_pairwise_moving_threshold(**settings).function(scores, GOLD, DOC)
    torch.manual_seed(1)
    counted = draw_labels(GOLD, settings.get("negative_ratio", 1.0))
    expected = pairwise_threshold_loss(scores["logits"], GOLD, counted).sum()
    if known["entropy"] != "none":
        averaged = known["entropy"] == "averaged"
        expected += pairwise_entropy(scores["logits"], GOLD, counted, averaged=averaged).sum()
    form = {"temperature": known["temperature"], "form": settings.get("scl_form", "in")}
    contrast = contrastive_loss(scores["z_head"], scores["z_tail"], GOLD, **form)
    assert found.item() == pytest.approx((expected + known["contrast_weight"] * contrast).item() / 6)


def test_loss_without_contrast_takes_any_head():
    logits = {"logits": draw_scores()["logits"]}
    assert configure_pairwise_moving_threshold(contrast_weight=0.0).function(logits, GOLD, DOC) > 0
    with pytest.raises(ValueError, match="R311.*AtlopHead.*PemsclHead"):
        configure_pairwise_moving_threshold().function(logits, GOLD, DOC)


def test_adaptive_threshold_with_sampled_negatives():
    """Logits of 0: a pair without relations costs log(1 + labels that count), the others what they cost with all."""
    loss = configure_adaptive_threshold(negative_ratio=0.34)
    found = loss.function({"logits": torch.zeros(6, 4)}, GOLD, DOC)
    of_positive = (math.log(2) + math.log(3)) + 2 * (2 * math.log(3) + math.log(2))
    assert found.item() == pytest.approx((of_positive + 3 * math.log(2)) / 6)


@pytest.mark.parametrize(
    "configure,setting,value,code",
    [
        (configure_adaptive_threshold, "negative_ratio", 0.0, "R206"),
        (configure_pairwise_moving_threshold, "negative_ratio", 1.5, "R206"),
        (configure_pairwise_moving_threshold, "temperature", 0.0, "R206"),
        (configure_pairwise_moving_threshold, "contrast_weight", -1.0, "R206"),
        (configure_pairwise_moving_threshold, "scl_form", "inside", "R206"),
        (configure_pairwise_moving_threshold, "entropy", "counts", "R206"),
    ],
)
def test_wrong_settings_say_so(configure, setting, value, code):
    with pytest.raises(ValueError, match=f"{code}.*{setting}.*{value}"):
        configure(**{setting: value})


def test_head_is_atlops_with_pair_vectors():
    """The vectors that the head gives are those that its own classifier gets: eq. 14-15."""
    assert spacy.registry.architectures.get("spacy-docre.PemsclHead.v1") is build_atlop_head
    loss = configure_pairwise_moving_threshold()
    head = build_atlop_head(loss, block_size=4, mention_pooling="max", dropout=0.25)
    module = head.build_module(width=WIDTH, n_out=5).double().eval()
    assert head.loss is loss and module.dropout.p == 0.25
    encoded, batch = encode(5), pair_up([[[(0, 1), (3, 4)], [(1, 3)], [(4, 5)]]])
    scores = module(encoded, batch)
    assert scores["z_head"].shape == scores["z_tail"].shape == (len(batch), 2, 4)
    logits = module.decoder(scores["z_head"].flatten(1), scores["z_tail"].flatten(1))
    assert torch.equal(scores["logits"], logits)


def test_loss_reaches_the_encoder_through_all_its_terms():
    """42 entities: 1,722 pairs, cut into chunks by the contrastive loss."""
    loss = configure_pairwise_moving_threshold(contrast_weight=1.0)
    module = build_atlop_head(loss, block_size=4).build_module(width=WIDTH, n_out=5).double()
    leaves, batch = encode(42).leaves(), pair_up([[[(i, i + 1)] for i in range(42)]])
    scores = module(leaves, batch)
    gold = torch.zeros(1722, 4, dtype=torch.bool)
    gold[::20, 1] = True
    for name in ("logits", "z_head", "z_tail"):
        alone = {k: v if k == name else v.detach() for k, v in scores.items()}
        (gradient,) = torch.autograd.grad(
            loss.function(alone, gold, torch.zeros(1722)), leaves.hidden, retain_graph=True
        )
        assert torch.isfinite(gradient).all() and gradient.abs().max() > 0
