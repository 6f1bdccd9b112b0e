"""The phases of the KMGRE head: what learns in each, slopes, and planted key pairs that are found."""

import numpy
import pytest
import torch
from torch.autograd import gradcheck

from spacy_docre.layers.key_pairs import choose_key_pairs
from spacy_docre.layers.mention_context import _HeadwiseAttention
from spacy_docre.layers.pairs import list_mention_pairs
from toy import encode_at_random, lay_windows, pair_up, with_planes

from .kmgre_twin import ONE, PHASES, TWO, draw_gold, encode, learn, make_batch, make_head, second_of


def test_headwise_attention_has_the_slope_of_what_it_computes():
    generator = torch.Generator().manual_seed(0)
    attention = torch.randn(2, 4, 5, generator=generator, dtype=torch.float64).softmax(-1).requires_grad_()
    one, other = torch.tensor([0, 1, 3, 0]), torch.tensor([2, 3, 1, 0])
    assert gradcheck(lambda x: _HeadwiseAttention.apply(x, one, other), attention)


@pytest.mark.parametrize("doc", [ONE, TWO], ids=["one window", "two windows"])
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("fusion", [True, False])
def test_gradient_is_the_slope(doc, phase, fusion):
    """Down to hidden states, queries and keys. Only what learns has one."""
    check_slope(doc, phase, fusion=fusion)


@pytest.mark.parametrize("phase", PHASES)
def test_gradient_of_the_bilinear_scorer_is_the_slope(phase):
    check_slope(TWO, phase, scorer="bilinear")


def check_slope(doc, phase, **settings):
    module, encoded, batch = make_head(phase=phase, n_e_steps=900, **settings), encode(doc), make_batch(doc)
    gold = draw_gold(len(batch))
    tensors = [t.requires_grad_() for t in encoded.planes.named().values()]
    if phase == "warmup":  # the pseudo labels come from the extractor, without gradient: they may not jump here
        gold = torch.zeros_like(gold)

    def loss(*leaves):
        return learn(module, with_planes(encoded, **dict(zip(encoded.planes.named(), leaves))), batch, gold)

    assert gradcheck(loss, tensors, atol=1e-6)


@pytest.mark.parametrize("second", [False, True], ids=["shared", "own encoder"])
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("fusion", [True, False])
def test_only_what_a_phase_trains_gets_a_gradient(phase, second, fusion):
    module = make_head(phase=phase, n_e_steps=900, second=second, fusion=fusion)
    encoded, other = encode(ONE).leaves(), encode(ONE, seed=5).leaves()
    batch = make_batch(ONE)
    learn(module, second_of(encoded, other) if second else encoded, batch, draw_gold(len(batch))).backward()

    def has_gradient(parameters):
        (found,) = {p.grad is not None and bool(p.grad.any()) for p in parameters}
        return found

    assert has_gradient(module.extractor.parameters()) == (phase != "E")
    assert has_gradient(module.classifier.parameters()) == (phase != "M")
    assert has_gradient(encoded.planes.named().values()) == module.trains(0) == (phase != "E" or not second)
    if second:
        assert has_gradient(other.planes.named().values()) == module.trains(1) == (phase != "M")


@pytest.mark.parametrize("phase", PHASES)
def test_dropout_where_something_learns(phase):
    module, encoded, batch = make_head(phase=phase, dropout=0.5).train(), encode(ONE), make_batch(ONE)
    one, other = module(encoded, batch), module(encoded, batch)
    changed = {name for name in one if not torch.equal(one[name], other[name])}
    assert (
        changed == {"warmup": {"logits", "mention_logits", "key_logits"}, "E": {"key_logits"}, "M": {"logits"}}[phase]
    )
    module.eval()
    assert torch.equal(module(encoded, batch)["logits"], module(encoded, batch)["logits"])


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("scorer", ["linear", "bilinear"])
def test_parts_give_the_same(phase, scorer):
    """Few mention pairs at a time: scores, loss and gradients are those of all at once."""
    found = []
    for items in (2**20, 1):
        module, batch = make_head(max_pair_items=items, scorer=scorer), make_batch(ONE, TWO)
        encoded = encode(ONE, TWO).leaves()
        torch.manual_seed(0)
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter)
        module.set_state(phase, 900)
        loss = learn(module, encoded, batch, draw_gold(len(batch)))
        loss.backward()
        scores = module(encoded, batch)
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        found.append([loss, *scores.values(), encoded.hidden.grad, encoded.planes.keys.grad, *gradients])
    assert len(found[0]) == len(found[1])
    assert all(torch.allclose(a, b) for a, b in zip(*found))


# Planted key pairs

N_ENTITIES, N_MENTIONS, N_DOCS = 4, 3, 40


def plant(directions, seed):
    """Make documents of one-piece mentions in which entity 0 has relation 0 to 1, and entity 2 relation 1 to 3. Of the
    9 mention pairs of these entity pairs one tells so: its two mentions lie in directions of their own, all else is
    noise.

    directions (Tensor): Of the heads and tails of relations. Shape (2, relations, width).
    RETURNS: Encoded documents, their pairs, gold relations, and whether each mention pair of the batch is the key.
    """
    generator, n_tokens = numpy.random.default_rng(seed), N_ENTITIES * N_MENTIONS
    orders = [numpy.sort(generator.permutation(n_tokens).reshape(N_ENTITIES, -1)) for _ in range(N_DOCS)]
    batch = pair_up([[[(t, t + 1) for t in tokens] for tokens in order.tolist()] for order in orders])
    windows = [lay_windows([1] * n_tokens, [(0, n_tokens)]) for _ in orders]
    encoded = encode_at_random(windows, width=directions.shape[-1], dtype=torch.float32, seed=seed)
    encoded.hidden.mul_(0.3)
    gold, keys = torch.zeros(len(batch), 2, dtype=torch.bool), set()
    for i, (head, tail) in enumerate(zip(batch.head, batch.tail)):
        if (head % N_ENTITIES, tail % N_ENTITIES) in ((0, 1), (2, 3)):
            relation = head % N_ENTITIES // 2
            gold[i, relation] = True
            chosen = generator.integers(N_MENTIONS, size=2)
            keys.add((i, head * N_MENTIONS + chosen[0], tail * N_MENTIONS + chosen[1]))
            for entity, mention, direction in zip((head, tail), chosen, directions[:, relation]):
                encoded.hidden[head // N_ENTITIES, orders[head // N_ENTITIES][entity % N_ENTITIES, mention] + 1] += (
                    direction
                )
    return encoded, batch, gold, torch.tensor([pair in keys for pair in zip(*list_mention_pairs(batch))])


def test_planted_key_pairs_are_found():
    """In documents not trained on, X_pos has nearly all of them and little else, where chance is 1 of 9. Labels say
    which entities are related, no more."""
    directions = torch.randn(2, 2, 16, generator=torch.Generator().manual_seed(0))
    train, dev = plant(directions, 1), plant(directions, 2)
    module = make_head(n_out=3, width=16, xi=0.5, max_pair_items=2**20).float()
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
    for i in range(250):
        module.set_state("warmup" if i < 50 else ("E", "M")[i // 25 % 2], 1000 + i)
        optimizer.zero_grad(set_to_none=True)
        learn(module, *train[:3]).backward()
        optimizer.step()
    encoded, batch, gold, is_key = dev
    pair, head, tail = list_mention_pairs(batch)
    index = torch.as_tensor(pair)
    with torch.no_grad():
        p = module.eval().classifier(encoded, batch.entities, head, tail)[:, 0]
    found = choose_key_pairs(p, index, len(batch), xi=0.5, tau=module.tau)[gold.any(1)[index]]
    is_key = is_key[gold.any(1)[index]]
    assert is_key.float().mean().item() == pytest.approx(1 / 9)
    hits = (found & is_key).sum()
    assert hits / found.sum() > 0.5 and hits / is_key.sum() > 0.9
