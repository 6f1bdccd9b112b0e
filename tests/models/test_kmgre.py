"""The KMGRE head against the paper's equations written out: scores, losses, edges, settings."""

import math

import numpy
import pytest
import torch

from spacy_docre.layers.pairs import list_mention_pairs
from spacy_docre.models.heads.kmgre import build_kmgre_head, configure_losses
from spacy_docre.textbook import forms
from toy import attention_rows, list_rows

from .kmgre_twin import (
    ALONE,
    ALPHA,
    GAMMA,
    LOSSES,
    N_OUT,
    NOTHING,
    ONE,
    PHASES,
    TWO,
    WIDTH,
    draw_gold,
    encode,
    learn,
    make_batch,
    make_head,
    second_of,
    sigmoid,
    twin_choice,
    twin_focal_loss,
    twin_fuse,
    twin_labels,
    twin_loss,
    twin_scores,
)


@pytest.mark.parametrize("doc", [ONE, TWO], ids=["one window", "two windows"])
@pytest.mark.parametrize("pooling", ["start", "mean", "max"])
@pytest.mark.parametrize("attention", [False, True])
@pytest.mark.parametrize("scorer", ["linear", "bilinear"])
def test_scores_of_mention_pairs(doc, pooling, attention, scorer):
    """Eq. 4-6 with all relations, or ATLOP's classifier in the place of eq. 6; eq. 7-8 with one output."""
    module = make_head(mention_pooling=pooling, scorer=scorer)
    encoded, batch = encode(doc, attention=attention), make_batch(doc)
    module.train()
    scores = module(encoded, batch)
    for scorer, found in (
        (module.extractor, scores["mention_logits"]),
        (module.classifier, scores["key_logits"][:, None]),
    ):
        expected = twin_scores(scorer, encoded, doc, pooling)
        assert numpy.allclose(list_rows(found), sum(expected, []), atol=1e-5)
    assert scores["pair"].tolist() == [i for i, rows in enumerate(expected) for _ in rows]


def test_textbook_form_equals_the_twin():
    """On mentions of one piece, in one window; the twin knows longer ones, too."""
    doc = ([1] * 5, [(0, 5)], [[(0, 1), (3, 4)], [(1, 2)], [(4, 5)]])
    encoded, batch, scorer = encode(doc), make_batch(doc), make_head().extractor
    attention = attention_rows(encoded)[0]
    _, *mentions = map(torch.as_tensor, list_mention_pairs(batch))
    pieces = torch.as_tensor(batch.entities.mentions.start + 1)  # behind the special piece
    linear = scorer.linear.weight, scorer.linear.bias
    found = forms.mention_pair_scores(encoded.hidden[0], attention, pieces, *mentions, *linear)
    assert numpy.allclose(list_rows(found), sum(twin_scores(scorer, encoded, doc), []))
    assert torch.allclose(found, scorer(encoded, batch.entities, *list_mention_pairs(batch)[1:]))


@pytest.mark.parametrize("second", [False, True], ids=["shared", "own encoder"])
@pytest.mark.parametrize("n_e_steps,decay", [(0, 0.999), (4000, 0.999), (400, 0.99)])
def test_logits_at_run_time(second, n_e_steps, decay):
    """Eq. 12-16, whatever the phase: tau alone, from the E-steps done, decides."""
    encoded, other, batch = encode(ONE), encode(ONE, seed=5), make_batch(ONE)
    module = make_head(second=second, tau_decay=decay)
    mention_logits = twin_scores(module.extractor, encoded, ONE)
    keys = twin_scores(module.classifier, other if second else encoded, ONE)
    chosen = [twin_choice([k for (k,) in ks], 0.5 * (1 - decay**n_e_steps)) for ks in keys]
    assert all(map(all, chosen)) == (n_e_steps == 0)
    expected = [twin_fuse([r for r, keep in zip(*found) if keep]) for found in zip(mention_logits, chosen)]
    for phase in PHASES:
        module.set_state(phase, n_e_steps)
        found = module(second_of(encoded, other) if second else encoded, batch)
        assert found.keys() == {"logits"} and numpy.allclose(list_rows(found["logits"]), expected, atol=1e-5)


@pytest.mark.parametrize("fusion", [True, False])
@pytest.mark.parametrize("second", [False, True], ids=["shared", "own encoder"])
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("above", [True, False])
def test_loss_of_a_phase(phase, second, fusion, above):
    encoded, other, batch = encode(ONE), encode(ONE, seed=5), make_batch(ONE)
    module = make_head(second=second, phase=phase, n_e_steps=700, fusion=fusion).train()
    gold = draw_gold(len(batch))
    assert 0 < gold.sum() and not gold.any(1).all()
    scores = module(second_of(encoded, other) if second else encoded, batch)
    loss = configure_losses(LOSSES[True], above_threshold=above, alpha=ALPHA, gamma=GAMMA)
    found = loss.function(scores, gold, torch.as_tensor(batch.doc))
    mention_logits = twin_scores(module.extractor, encoded, ONE)
    keys = [[k for (k,) in ks] for ks in twin_scores(module.classifier, other if second else encoded, ONE)]
    expected = twin_loss(phase, mention_logits, keys, gold.tolist(), 0.5 * (1 - 0.999**700), fusion, above)
    assert found.item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("threshold_class", [True, False])
def test_without_fusion_the_best_key_mention_pair_decides(threshold_class):
    """Eq. 1, by the score above TH where there is that class."""
    encoded, batch = encode(ONE), make_batch(ONE)
    module = make_head(fusion=False, threshold_class=threshold_class, n_e_steps=4000)
    found = list_rows(module(encoded, batch)["logits"])
    keys = twin_scores(module.classifier, encoded, ONE)
    for row, rows, ks in zip(found, twin_scores(module.extractor, encoded, ONE), keys):
        kept = [r for r, keep in zip(rows, twin_choice([k for (k,) in ks], 0.5)) if keep]
        offset = [r[0] if threshold_class else 0.0 for r in kept]
        assert row == pytest.approx([max(r[c] - o for r, o in zip(kept, offset)) for c in range(N_OUT)])


def test_without_key_classifier_all_mention_pairs_are_fused():
    encoded, batch = encode(ONE), make_batch(ONE)
    module = make_head(key_classifier=False, n_e_steps=4000)
    assert module.classifier is None and module.trains(0)
    expected = [twin_fuse(rows) for rows in twin_scores(module.extractor, encoded, ONE)]
    for training in (True, False):
        scores = module.train(training)(encoded, batch)
        assert scores.keys() == {"logits"} and numpy.allclose(list_rows(scores["logits"]), expected)


def test_losses_without_threshold_class():
    """The odds of a relation are the sum of the odds of the mention pairs; pseudo labels are those of eq. 9."""
    encoded, batch = encode(ONE), make_batch(ONE)
    module = make_head(n_out=3, threshold_class=False).train()
    gold, doc = draw_gold(len(batch)), torch.as_tensor(batch.doc)
    found = configure_losses(LOSSES[False], above_threshold=True, alpha=ALPHA, gamma=GAMMA).function(
        module(encoded, batch), gold, doc
    )
    rows = twin_scores(module.extractor, encoded, ONE)
    keys = [[k for (k,) in ks] for ks in twin_scores(module.classifier, encoded, ONE)]
    labels = sum((twin_labels(r, wanted) for r, wanted in zip(rows, gold.tolist())), [])
    focal = [twin_focal_loss(k, z) for k, z in zip(sum(keys, []), labels)]
    nats = 0.0
    for logits, wanted in zip(map(twin_fuse, rows), gold.tolist()):
        nats -= sum(math.log(sigmoid(x) if holds else 1 - sigmoid(x)) for x, holds in zip(logits, wanted))
    assert found.item() == pytest.approx(nats / len(rows) + sum(focal) / len(focal), abs=1e-5)


def test_pooling_is_checked():
    with pytest.raises(ValueError, match="R206.*mention_pooling.*start, mean, max"):
        build_kmgre_head(LOSSES[True], mention_pooling="sum")


def test_settings_reach_the_module():
    head = build_kmgre_head(
        LOSSES[True], xi=0.1, tau_decay=0.9, fusion=False, mention_pooling="max", dropout=0.3, warmup_steps=7
    )
    module = head.build_module(width=WIDTH, n_out=N_OUT)
    assert (module.xi, module.tau_decay, module.fusion, module.extractor.mention_pooling) == (0.1, 0.9, False, "max")
    assert {m.p for m in module.modules() if isinstance(m, torch.nn.Dropout)} == {0.3}
    assert (head.phases.warmup, head.phases.phase) == (7, 500)
    alone = build_kmgre_head(LOSSES[True], encoder=object(), key_classifier=False)
    assert alone.phases is None and alone.encoder is None


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("loss", LOSSES.values(), ids=["threshold", "bce"])
@pytest.mark.parametrize("gold", [False, True], ids=["no positives", "all positives"])
@pytest.mark.parametrize(
    "doc",
    [
        ([1, 1, 1], [(0, 3)], [[(0, 1)], [(2, 3)]]),
        ([1, 1, 1], [(0, 3)], [[(0, 1), (0, 2)], [(0, 1)]]),  # one span in two entities
        ([1, 0, 1], [(0, 3)], [[(1, 2)], [(2, 3)]]),  # a mention without pieces
        ([1] * 42, [(0, 42)], [[(i, i + 1)] for i in range(42)]),
    ],
    ids=["one mention", "shared span", "no pieces", "42 entities"],
)
def test_edges_give_numbers(doc, gold, loss, phase):
    encoded, batch = encode(doc, dtype=torch.float32), make_batch(doc)
    module = make_head(phase=phase, n_e_steps=900, threshold_class=loss.threshold_class).float()
    wanted = torch.full((len(batch), N_OUT - loss.threshold_class), gold)
    encoded = encoded.leaves()
    value = learn(module, encoded, batch, wanted, loss)
    value.backward()
    assert torch.isfinite(value) and value > 0
    assert torch.isfinite(encoded.hidden.grad).all() and encoded.hidden.grad.any()
    assert module.eval()(encoded, batch)["logits"].shape == (len(batch), N_OUT)


@pytest.mark.parametrize("doc", [NOTHING, ALONE])
def test_no_pairs(doc):
    module = make_head()
    assert module(encode(doc), make_batch(doc))["logits"].shape == (0, N_OUT)


def test_a_document_among_others():
    module, batch = make_head(n_e_steps=900), make_batch(NOTHING, ONE, ALONE)
    encoded = encode(ONE)
    among = encode(NOTHING, ONE, ALONE)
    for name, mine in among.planes.named().items():
        mine[1] = encoded.planes.named()[name][0]
    assert torch.allclose(module(among, batch)["logits"], module(encoded, make_batch(ONE))["logits"])
