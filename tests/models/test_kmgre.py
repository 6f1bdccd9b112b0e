"""The KMGRE head against the paper's equations written out, its phases, and the laws of the task."""

import math
from dataclasses import replace

import numpy
import pytest
import torch
from torch.autograd import gradcheck

from spacy_docre.layers.key_pairs import choose_key_pairs
from spacy_docre.layers.mention_context import _HeadwiseAttention
from spacy_docre.layers.pairs import list_mention_pairs
from spacy_docre.models.heads.kmgre import KmgreHead, build_kmgre_head, configure_losses
from spacy_docre.models.losses import configure_adaptive_threshold, configure_binary_cross_entropy
from toy import encode_at_random, lay_windows, list_rows, pair_up

WIDTH, N_OUT, ALPHA, GAMMA, XI = 8, 4, 0.3, 2.0, 0.15
# Pieces per token, windows, entities as token spans. The second is longer than a window of 6: mentions of its entities
# lie in one window, in the other, in both.
ONE = ([1, 2, 1, 3, 1], [(0, 8)], [[(0, 1), (3, 4)], [(1, 3)], [(4, 5), (2, 3), (0, 1)]])
TWO = ([1, 1, 2, 2, 1, 2], [(0, 6), (3, 9)], [[(0, 1)], [(2, 4), (5, 6), (0, 2)]])
NOTHING = ([1, 1], [(0, 2)], [])
ALONE = ([1, 1], [(0, 2)], [[(0, 1), (1, 2)]])
LOSSES = {True: configure_adaptive_threshold(), False: configure_binary_cross_entropy()}
PHASES = ["warmup", "E", "M"]


def make_head(n_out=N_OUT, width=WIDTH, second=False, phase="warmup", n_e_steps=0, **settings):
    settings = {
        "threshold_class": True,
        "above_threshold": True,
        "key_classifier": True,
        "fusion": True,
        "xi": XI,
        "tau_decay": 0.999,
        "scorer": "linear",
        "block_size": 4,
        "mention_pooling": "mean",
        "dropout": 0.0,
        "max_pair_items": 2**10,
        **settings,
    }
    module = KmgreHead(width, n_out, width if second else None, **settings).double().eval()
    module.set_state(phase, n_e_steps)
    return module


def encode(*docs, **settings):
    return encode_at_random([lay_windows(pieces, bounds) for pieces, bounds, _ in docs], width=WIDTH, **settings)


def make_batch(*docs, pairs=None):
    return pair_up([entities for _, _, entities in docs], pairs)


def draw_gold(n_pairs, n_relations=N_OUT - 1, share=0.4):
    return torch.rand(n_pairs, n_relations, generator=torch.Generator().manual_seed(1)) < share


# The formulas


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def average(rows):
    return [sum(column) / len(rows) for column in zip(*rows)]


def twin_scores(scorer, encoded, doc, pooling="mean"):
    """w x + b of all mention pairs of the ordered entity pairs of a document: KMGRE eq. 4-8. Or the bilinear scores.

    RETURNS: For each entity pair the scores of its mention pairs.
    """
    pieces, bounds, entities = doc
    starts = [0, *numpy.cumsum(pieces).tolist()]
    bilinear = hasattr(scorer, "decoder")
    if not bilinear:
        weight, bias = list_rows(scorer.linear.weight), list_rows(scorer.linear.bias)
    windows = []  # hidden states and attention, position by position
    for w, (first, last) in enumerate(bounds):
        n = last - first + 2
        position = numpy.zeros((len(bounds), n), dtype="int64")
        position[w] = numpy.arange(n)
        windows.append((list_rows(encoded.hidden[w]), list_rows(encoded.attention_rows(position)[w])))

    def pieces_in(span, w):
        """Positions of a mention in a window."""
        first, last = bounds[w]
        return [p - first + 1 for p in range(starts[span[0]], starts[span[1]]) if first <= p < last]

    def vector(span):
        rows = [list_rows(encoded.pieces())[p] for p in range(starts[span[0]], starts[span[1]])]
        return {"start": rows[0], "mean": average(rows), "max": [max(column) for column in zip(*rows)]}[pooling]

    def row(span, w, k):
        return average([windows[w][1][k][p] for p in pieces_in(span, w)])

    def pool(weights, w):
        hidden = windows[w][0]
        return [sum(a * hidden[p][i] for p, a in enumerate(weights)) for i in range(WIDTH)]

    def context(one, other):
        """Eq. 4 in each window that holds both, averaged; else the mean of what each attends to by itself."""
        heads = range(len(windows[0][1]))
        found = []
        for w in range(len(windows)):
            if pieces_in(one, w) and pieces_in(other, w):
                total = [0.0] * len(windows[w][0])
                for k in heads:
                    products = [a * b for a, b in zip(row(one, w, k), row(other, w, k))]
                    total = [t + p / sum(products) for t, p in zip(total, products)]
                found.append(pool(total, w))
        if found:
            return average(found)
        own = []
        for span in (one, other):
            held = [w for w in range(len(windows)) if pieces_in(span, w)]
            own.append(average([pool([sum(c) for c in zip(*[row(span, w, k) for k in heads])], w) for w in held]))
        return average(own)

    def transform(own, of_context, span, c):
        """tanh(W m + b + W_c c)."""
        rows = zip(list_rows(own.weight), list_rows(own.bias), list_rows(of_context.weight))
        m = vector(span)
        return [math.tanh(sum(a * x for a, x in zip(w, m)) + b + sum(a * x for a, x in zip(v, c))) for w, b, v in rows]

    def bilinear_score(one, other):
        """Of group p: (z_i of p) (z_j of p)^T, all of them one behind the other, row by row."""
        c = [x / encoded.n_heads for x in context(one, other)]
        z_i = transform(scorer.head, scorer.head_context, one, c)
        z_j = transform(scorer.tail, scorer.tail_context, other, c)
        n = scorer.decoder.block_size
        x = [a * b for p in range(0, WIDTH, n) for a in z_i[p : p + n] for b in z_j[p : p + n]]
        columns = zip(zip(*list_rows(scorer.decoder.weight)), list_rows(scorer.decoder.bias))
        return [sum(a * b for a, b in zip(column, x)) + bias for column, bias in columns]

    def score(one, other):
        if bilinear:
            return bilinear_score(one, other)
        x = [*vector(one), *vector(other), *context(one, other)]  # eq. 5
        return [sum(a * b for a, b in zip(row, x)) + c for row, c in zip(weight, bias)]

    return [
        [score(one, other) for one in head for other in tail]
        for h, head in enumerate(entities)
        for t, tail in enumerate(entities)
        if h != t
    ]


def twin_choice(keys, tau):
    """X_pos of an entity pair. KMGRE eq. 12-15."""
    p = [sigmoid(key) for key in keys]
    bound = min(sum(p) / len(p) + XI * (max(p) - min(p)), tau)
    return [q >= bound - 1e-6 or q == max(p) for q in p]


def twin_probability(row, c, n_relations, above):
    """KMGRE eq. 6, counted from TH, which is column 0, if there is one and it is asked for."""
    return sigmoid(row[-n_relations + c] - (row[0] if above and len(row) > n_relations else 0.0))


def twin_labels(logits, gold, above=True):
    """Pseudo labels of the mention pairs of an entity pair. KMGRE eq. 9."""
    labels = [False] * len(logits)
    for c, holds in enumerate(gold):
        p = [twin_probability(row, c, len(gold), above) for row in logits]
        labels = [was or (holds and q >= sum(p) / len(p) - 1e-6) for was, q in zip(labels, p)]
    return labels


def twin_fuse(rows):
    """KMGRE eq. 16."""
    return [math.log(sum(map(math.exp, column))) for column in zip(*rows)]


def twin_threshold_loss(logits, gold):
    """KMGRE eq. 17-19."""
    positive = [i + 1 for i, holds in enumerate(gold) if holds]
    negative = [i + 1 for i, holds in enumerate(gold) if not holds]

    def share(of, among):
        return math.exp(logits[of]) / sum(math.exp(logits[i]) for i in among)

    return -sum(math.log(share(r, [*positive, 0])) for r in positive) - math.log(share(0, [*negative, 0]))


def twin_focal_loss(key, label):
    """KMGRE eq. 10-11."""
    p = sigmoid(key) if label else 1 - sigmoid(key)
    return -ALPHA * (1 - p) ** GAMMA * math.log(p)


def twin_loss(phase, mention_logits, keys, gold, tau, fusion, above):
    """Loss of a phase, averaged over entity pairs (mention pairs without fusion) and, of keys, over mention pairs."""
    labels = [twin_labels(rows, wanted, above) for rows, wanted in zip(mention_logits, gold)]
    focal = [twin_focal_loss(k, z) for ks, zs in zip(keys, labels) for k, z in zip(ks, zs)]
    relations = []
    for rows, ks, zs, wanted in zip(mention_logits, keys, labels, gold):
        if fusion:
            kept = [True] * len(rows) if phase == "warmup" else twin_choice(ks, tau)
            relations.append(twin_threshold_loss(twin_fuse([r for r, keep in zip(rows, kept) if keep]), wanted))
        else:
            relations += [twin_threshold_loss(r, wanted if z else [False] * len(wanted)) for r, z in zip(rows, zs)]
    total = 0.0 if phase == "E" else sum(relations) / len(relations)
    return total + (0.0 if phase == "M" else sum(focal) / len(focal))


def second_of(encoded, other):
    return replace(encoded, second=other)


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


# Gradients and phases


def test_headwise_attention_has_the_slope_of_what_it_computes():
    generator = torch.Generator().manual_seed(0)
    attention = torch.randn(2, 4, 5, generator=generator, dtype=torch.float64).softmax(-1).requires_grad_()
    one, other = torch.tensor([0, 1, 3, 0]), torch.tensor([2, 3, 1, 0])
    assert gradcheck(lambda x: _HeadwiseAttention.apply(x, one, other), attention)


def learn(module, encoded, batch, gold, loss=LOSSES[True]):
    """Loss of the module's phase on leaves that collect gradients."""
    scores = module.train()(encoded, batch)
    return configure_losses(loss, above_threshold=True, alpha=ALPHA, gamma=GAMMA).function(
        scores, gold, torch.as_tensor(batch.doc)
    )


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
        return learn(module, encoded.with_planes(**dict(zip(encoded.planes.named(), leaves))), batch, gold)

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


# Edges


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


# Evidence


@pytest.mark.parametrize("items", [2**20, 1])
@pytest.mark.parametrize("key_classifier,above", [(True, True), (True, False), (False, True)])
def test_evidence(key_classifier, above, items):
    """p_omega x p_theta(r) over the mention pairs of each relation; sentences by the context of these."""
    module, encoded = make_head(key_classifier=key_classifier, above_threshold=above, max_pair_items=items), encode(ONE)
    batch = make_batch(ONE, pairs=[(0, 2), (0, 2), (2, 1)])
    label = numpy.asarray([1, 3, 2])
    sentence = numpy.asarray([0, 0, 0, 1, 1])
    found = module.explain(encoded, batch, label, sentence)
    order = [(h, t) for h in range(3) for t in range(3) if h != t]
    logits = dict(zip(order, twin_scores(module.extractor, encoded, ONE)))
    keys = dict(zip(order, twin_scores(module.classifier, encoded, ONE) if key_classifier else []))
    expected = []
    for h, t, r in zip(batch.head.tolist(), batch.tail.tolist(), label.tolist()):
        p = [twin_probability(row, r - 1, N_OUT - 1, above) for row in logits[h, t]]
        if key_classifier:
            p = [a * sigmoid(k) for a, (k,) in zip(p, keys[h, t])]
        expected += [a / sum(p) for a in p]
    assert found.weight.tolist() == pytest.approx(expected, abs=1e-6)
    assert found.pair.tolist() == [0] * 6 + [1] * 6 + [2] * 3
    shares = numpy.zeros((3, 2))
    shares[found.sentences.pair, found.sentences.sentence] = found.sentences.share
    assert shares.sum(1) == pytest.approx([1.0] * 3)
    # The first two relations differ in the weights of their mention pairs alone.
    assert shares[0].tolist() == pytest.approx(twin_sentences(encoded, expected[:6]), abs=1e-6)
    assert shares[0].tolist() != pytest.approx(shares[1].tolist(), abs=1e-6)


def twin_sentences(encoded, weights):
    """Shares of the two sentences (pieces 0-3 and 4-7, behind a special piece) in the contexts of entities 0 and 2."""
    spans = ([[0], [4, 5, 6]], [[7], [3], [0]])  # pieces of their mentions
    rows = list_rows(encoded.attention_rows(numpy.arange(10)[None])[0])
    mass = [0.0, 0.0]
    pairs = [(one, other) for one in spans[0] for other in spans[1]]
    for (one, other), weight in zip(pairs, weights):
        for head in rows:
            products = [
                a * b for a, b in zip(average([head[p + 1] for p in one]), average([head[p + 1] for p in other]))
            ]
            for s, positions in enumerate((range(1, 5), range(5, 9))):
                mass[s] += weight * sum(products[p] for p in positions) / sum(products)
    return [m / sum(mass) for m in mass]


# Settings


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
