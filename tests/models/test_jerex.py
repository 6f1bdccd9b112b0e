"""JEREX's relation heads against the paper's equations written in loops, their explanations, their edges."""

from dataclasses import replace
from itertools import product

import numpy
import pytest
import torch
from torch.autograd import gradcheck

from spacy_docre.models.heads.jerex import (
    JerexGlobalHead,
    JerexMultiInstanceHead,
    build_jerex_global_head,
    build_jerex_multi_instance_head,
)
from spacy_docre.models.losses import configure_binary_cross_entropy
from toy import encode_at_random, lay_windows, pair_up, with_planes

WIDTH, META, N_OUT, N_TYPES = 4, 3, 5, 2
# Pieces per token, windows, entities as token spans, sentence starts, types. In the first, mentions touch and overlap;
# the second is longer than a window, and has a token without a piece.
ONE = ([1, 2, 1, 3, 1, 1], [(0, 9)], [[(0, 1), (4, 6)], [(1, 3)], [(4, 5), (2, 3), (0, 1)]], [0, 3], [0, -1, 1])
TWO = ([1, 1, 2, 0, 2, 1, 2], [(0, 6), (3, 9)], [[(0, 1)], [(2, 4), (5, 7)], [(3, 4)]], [0, 2, 5], [1, 1, 0])
SWITCHES = ("entity_vectors", "context", "all_mention_pairs")


def build_global(**settings):
    settings = {"hidden_width": 6, "meta_width": META, "dropout": 0.0, **settings}
    return JerexGlobalHead(WIDTH, N_OUT, N_TYPES, **settings)


def build_multi(**settings):
    sizes = {"max_sentence_distance": 1, "max_token_distance": 3, "max_pair_items": 2**20}
    settings = {"hidden_width": 6, "meta_width": META, "dropout": 0.0, **sizes, **settings}
    return JerexMultiInstanceHead(WIDTH, N_OUT, N_TYPES, **{**dict.fromkeys(SWITCHES, True), **settings})


def make_global(**settings):
    return stir(build_global(**settings))


def make_multi(**settings):
    return stir(build_multi(**settings))


def stir(module):
    """Unknown types start as zeros: too tame to show a mistake."""
    torch.nn.init.normal_(module.types.weight)
    return module.double().eval()


def encode(*docs, **settings):
    return encode_at_random([lay_windows(doc[0], doc[1]) for doc in docs], width=WIDTH, **settings)


def make_batch(*docs, pairs=None):
    types = [label for doc in docs for label in doc[4]]
    return pair_up([doc[2] for doc in docs], pairs, types=types, sents=[doc[3] for doc in docs])


# The equations


class Twin:
    """Loops over pairs, mention pairs and tokens; vectors are lists of 0-dimensional tensors."""

    def __init__(self, module, encoded, batch):
        self.module, self.batch = module, batch
        self.m, self.e = batch.entities.mentions, batch.entities
        pieces = [list(row) for row in encoded.pieces()]  # how windows give it has its own tests
        layout = encoded.layout
        self.tokens = []  # vectors of the pieces of each token of each document
        for d in range(layout.n_docs):
            rows = range(layout.token_offsets[d], layout.token_offsets[d + 1])
            self.tokens.append([pieces[layout.token_first[t] : layout.token_last[t]] for t in rows])

    def max_pool(self, vectors):
        return [max(column) for column in zip(*vectors)] if vectors else [0.0] * WIDTH

    def text(self, doc, start, end):
        return self.max_pool([piece for token in self.tokens[doc][start:end] for piece in token])

    def mentions(self, entity):
        return [i for i, e in enumerate(self.e.entity) if e == entity]

    def mention(self, i):  # eq. 1
        return self.text(self.m.doc[i], self.m.start[i], self.m.end[i])

    def entity(self, entity):  # eq. 5
        return self.max_pool([self.mention(i) for i in self.mentions(entity)])

    def type_of(self, entity):
        return list(self.module.types.weight[self.e.label[entity] + 1])

    def linear(self, layer, x):
        assert layer.weight.shape[1] == len(x)
        return [sum(w * v for w, v in zip(row, x)) + b for row, b in zip(layer.weight, layer.bias)]

    def feed_forward(self, x):
        hidden = [f if f > 0 else 0 * f for f in self.linear(self.module.hidden, x)]
        return self.linear(self.module.output, hidden)

    def logits(self):
        pairs = zip(self.batch.head, self.batch.tail)
        return torch.stack([torch.stack(self.pair(h, t)) for h, t in pairs])


class GlobalTwin(Twin):
    def pair(self, head, tail):  # eq. 7, 8
        one, other = self.entity(head) + self.type_of(head), self.entity(tail) + self.type_of(tail)
        return self.feed_forward(one + other)


class MultiTwin(Twin):
    def between(self, i, j):
        m = self.m
        return min(m.end[i], m.end[j]), max(m.start[i], m.start[j])

    def distances(self, i, j):
        start, end = self.between(i, j)
        return abs(self.e.sentence[i] - self.e.sentence[j]), max(0, end - start)

    def vector(self, i, j):  # eq. 9, 10, 11
        u, module = [], self.module
        for k in (i, j):
            u += self.mention(k)
            u += self.entity(self.e.entity[k]) if module.entity_vectors else []
        u += self.text(self.m.doc[i], *self.between(i, j)) if module.context else []
        d_s, d_t = self.distances(i, j)
        u += list(module.sentence_distance.weight[min(d_s, 1)]) + list(module.token_distance.weight[min(d_t, 3)])
        return self.linear(module.pair, u)

    def mention_pairs(self, head, tail):
        pairs = list(product(self.mentions(head), self.mentions(tail)))
        if self.module.all_mention_pairs:
            return pairs
        closest = min(pairs, key=lambda pair: self.distances(*pair)[1])
        return [pair for pair in pairs if self.distances(*pair)[0] == 0] or [closest]

    def pair(self, head, tail):  # eq. 12
        pooled = self.max_pool([self.vector(i, j) for i, j in self.mention_pairs(head, tail)])
        return self.feed_forward(pooled + self.type_of(head) + self.type_of(tail))


SETTINGS = [dict(zip(SWITCHES, values)) for values in product([True, False], repeat=3)]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: ",".join(k for k, on in s.items() if not on) or "full")
def test_multi_instance_head_equals_twin(settings):
    module, encoded, batch = make_multi(**settings), encode(ONE, TWO), make_batch(ONE, TWO)
    logits = module(encoded, batch)["logits"]
    assert logits.shape == (12, N_OUT)
    assert torch.allclose(logits, MultiTwin(module, encoded, batch).logits(), atol=1e-5)


def test_global_head_equals_twin():
    module, encoded, batch = make_global(), encode(ONE, TWO), make_batch(ONE, TWO)
    logits = module(encoded, batch)["logits"]
    assert torch.allclose(logits, GlobalTwin(module, encoded, batch).logits(), atol=1e-5)


@pytest.mark.parametrize("make,twin", [(make_multi, MultiTwin), (make_global, GlobalTwin)])
def test_many_entities_equal_twin(make, twin):
    """42 entities, the most that a document of the corpora has: 1722 pairs, of which some are compared."""
    doc = ([1] * 60, [(0, 60)], [[(i, i + 1)] for i in range(42)], [0, 20, 40], [i % 2 for i in range(42)])
    module, encoded, batch = make(), encode(doc), make_batch(doc)
    logits = module(encoded, batch)["logits"]
    assert len(batch) == 42 * 41
    rows = numpy.arange(0, len(batch), 61)
    some = make_batch(doc, pairs=list(zip(batch.head[rows].tolist(), batch.tail[rows].tolist())))
    assert torch.allclose(logits[rows], twin(module, encoded, some).logits(), atol=1e-5)


@pytest.mark.parametrize("make", [make_multi, make_global])
def test_gradient_is_the_slope(make):
    module, encoded, batch = make(), encode(ONE, TWO), make_batch(ONE, TWO)
    parameters = dict(module.named_parameters())

    def run(hidden, *values):
        inputs = (with_planes(encoded, hidden=hidden), batch)
        return torch.func.functional_call(module, dict(zip(parameters, values)), inputs)["logits"]

    assert gradcheck(run, (encoded.hidden.requires_grad_(), *parameters.values()), fast_mode=True)


# Chunks


def differentiate(module, encoded, batch):
    leaves = encoded.leaves()
    logits = module(leaves, batch)["logits"]
    gradients = torch.autograd.grad(logits.square().sum(), [leaves.hidden, *module.parameters()])
    return [logits, *gradients]


@pytest.mark.parametrize("items", [1, 3 * WIDTH, 5 * WIDTH])
def test_chunks_change_nothing(items):
    whole = make_multi()
    parts = make_multi(max_pair_items=items)
    parts.load_state_dict(whole.state_dict())
    encoded, batch = encode(ONE, TWO), make_batch(ONE, TWO)
    for a, b in zip(differentiate(whole, encoded, batch), differentiate(parts, encoded, batch)):
        assert torch.allclose(a, b)
    explained = [
        module.explain(encoded, batch, numpy.zeros(len(batch), dtype="int64"), numpy.zeros(13)).weight
        for module in (whole, parts)
    ]
    assert numpy.allclose(*explained)


def count_kept(n_mentions, items):
    """Numbers that autograd keeps for 190 unordered pairs of 20 entities, each of n_mentions ** 2 mention pairs."""
    entities = [[(20 * j + i, 20 * j + i + 1) for j in range(n_mentions)] for i in range(20)]
    doc = ([1] * 80, [(0, 80)], entities, [0], [0] * 20)
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = make_multi(max_pair_items=items)(encode(doc).leaves(), make_batch(doc))["logits"]
    assert logits.grad_fn  # alive until here, and all that it keeps
    return sum(kept.values())


def test_chunks_bound_what_is_kept_for_the_backward_pass():
    """Four times as many mention pairs need hardly more where they are computed in parts, and again."""
    assert count_kept(4, 200 * WIDTH) < 1.2 * count_kept(2, 200 * WIDTH)
    assert count_kept(4, 2**20) > 2.5 * count_kept(2, 2**20)


# Explanations


def slow_shares(weights):
    total = sum(weights)
    return [w / total if total > 0 else 1 / len(weights) for w in weights]


def gradient_times_value(logit, pooled, vectors):
    """Positive part, for each vector, of the sum of gradient x value over the columns in which it is the maximum."""
    gradient = torch.autograd.grad(logit, pooled, retain_graph=True)
    supports = []
    for vector in vectors:
        supports.append(max(0.0, sum(g.item() * x.item() for g, x, v in zip(gradient, pooled, vector) if v == x)))
    return supports


def explain_slowly(twin, head, tail, label):
    """Weight of each mention pair of a relation."""
    if isinstance(twin, MultiTwin):
        pairs = twin.mention_pairs(head, tail)
        vectors = [twin.vector(i, j) for i, j in pairs]
        pooled = [x.detach().requires_grad_() for x in twin.max_pool(vectors)]
        logit = twin.feed_forward(pooled + twin.type_of(head) + twin.type_of(tail))[label]
        return dict(zip(pairs, slow_shares(gradient_times_value(logit, pooled, vectors))))
    pooled = [[x.detach().requires_grad_() for x in twin.entity(e)] for e in (head, tail)]
    logit = twin.feed_forward(pooled[0] + twin.type_of(head) + pooled[1] + twin.type_of(tail))[label]
    shares = []
    for entity, x in zip((head, tail), pooled):
        vectors = [twin.mention(i) for i in twin.mentions(entity)]
        shares.append(dict(zip(twin.mentions(entity), slow_shares(gradient_times_value(logit, x, vectors)))))
    return {(i, j): shares[0][i] * shares[1][j] for i, j in product(*shares)}


# Entities of mentions whose texts differ, so that no two reach the same maximum.
APART = ([1] * 12, [(0, 12)], [[(0, 1), (3, 4), (7, 9)], [(1, 2), (5, 6)], [(10, 12), (6, 7)]], [0, 4, 8], [0, -1, 1])


@pytest.mark.parametrize(
    "make,twin",
    [(make_multi, MultiTwin), (lambda: make_multi(all_mention_pairs=False), MultiTwin), (make_global, GlobalTwin)],
    ids=["all mention pairs", "near mention pairs", "global"],
)
def test_explanations_equal_twin(make, twin):
    """Each pair once for each of two relations: their evidence differs."""
    module, encoded, both = make(), encode(APART), make_batch(APART)
    pairs = [pair for pair in zip(both.head.tolist(), both.tail.tolist()) for _ in range(2)]
    batch, label = make_batch(APART, pairs=pairs), numpy.tile([0, 3], len(both))
    with torch.no_grad():
        found = module.explain(encoded, batch, label, numpy.zeros(12, dtype="int64"))
    weights = [{} for _ in pairs]
    for row, i, j, weight in zip(found.pair.tolist(), found.head.tolist(), found.tail.tolist(), found.weight.tolist()):
        weights[row][i, j] = weight
    slow = twin(module, encoded, batch)
    for row, (head, tail) in enumerate(pairs):
        assert weights[row] == pytest.approx(explain_slowly(slow, head, tail, int(label[row])))
    assert numpy.allclose(numpy.bincount(found.pair, found.weight), 1.0)
    assert found.sentences is None


@pytest.mark.parametrize("make", [make_multi, make_global])
def test_no_support_is_shared_equally(make):
    """Where the classifier does not look at its input, all gradients are zero."""
    module, encoded, batch = make(), encode(ONE), make_batch(ONE)
    torch.nn.init.zeros_(module.output.weight)
    found = module.explain(encoded, batch, numpy.zeros(6, dtype="int64"), numpy.zeros(6, dtype="int64"))
    #                       (0,1) (0,2) (1,0) (1,2) (2,0) (2,1): entities of 2, 1 and 3 mentions
    assert numpy.allclose(found.weight, numpy.repeat(1 / numpy.asarray([2, 6, 2, 3, 6, 3]), [2, 6, 2, 3, 6, 3]))


# Types and distances


@pytest.mark.parametrize("make", [make_multi, make_global])
def test_types_are_those_of_the_two_entities(make):
    module, encoded = make(), encode(ONE)
    scores = [module(encoded, make_batch((*ONE[:4], types)))["logits"] for types in ([0, 0, 0], [1, 0, 0], [0, 0, -1])]
    #                                             pairs (0,1) (0,2) (1,0) (1,2) (2,0) (2,1)
    assert [not torch.equal(*rows) for rows in zip(scores[0], scores[1])] == [True, True, True, False, True, False]
    assert [not torch.equal(*rows) for rows in zip(scores[0], scores[2])] == [False, True, False, True, True, True]


@pytest.mark.parametrize("build", [build_multi, build_global])
def test_unknown_types_start_as_nothing(build):
    assert build().types(torch.tensor([-1, 0, 1])).abs().sum(1).gt(0).tolist() == [False, True, True]


@pytest.mark.parametrize("switch", SWITCHES)
def test_switches_leave_out_what_they_name(switch):
    """A change of the text between two mentions in one sentence, or of another mention far away, is seen only if the
    switch that covers it is on."""
    doc = ([1] * 8, [(0, 8)], [[(0, 1), (7, 8)], [(2, 3)]], [0, 4], [0, 1])
    token = 1 if switch == "context" else 7
    encoded, batch = encode(doc), make_batch(doc)
    other = with_planes(encoded, hidden=encoded.hidden.clone())
    other.hidden[0, 1 + token] += 10.0  # behind the special piece: now the maximum wherever it is looked at
    for on in (True, False):
        module = make_multi(**{**dict.fromkeys(SWITCHES, False), switch: on})
        same = torch.equal(module(encoded, batch)["logits"], module(other, batch)["logits"])
        assert same == (not on)


def test_markers_are_no_text_between_mentions():
    """Two mentions that touch, with markers round them: pieces * A * * B *. What the inner markers hold is not seen."""
    windows = lay_windows([6], [(0, 6)])
    windows = replace(windows, token_first=numpy.asarray([1, 4]), token_last=numpy.asarray([2, 5]))
    encoded, batch = encode_at_random([windows], width=WIDTH), pair_up([[[(0, 1)], [(1, 2)]]])
    other = with_planes(encoded, hidden=encoded.hidden.clone())
    other.hidden[0, 1 + 2 : 1 + 4] += 10.0
    module = make_multi()
    assert torch.equal(module(encoded, batch)["logits"], module(other, batch)["logits"])


# Edges


NOTHING = ([], [], [], [0], [])
ALONE = ([1, 2], [(0, 3)], [[(0, 1), (1, 2)]], [0], [0])


@pytest.mark.parametrize("make", [make_multi, make_global])
@pytest.mark.parametrize("docs", [[], [NOTHING], [ALONE], [NOTHING, ALONE]])
def test_no_pairs(make, docs):
    module, encoded, batch = make().train(), encode(*docs), make_batch(*docs)
    logits = module(encoded.leaves(), batch)["logits"]
    assert logits.shape == (0, N_OUT)
    logits.sum().backward()
    nothing = numpy.zeros(0, dtype="int64")
    assert module.explain(encoded, batch, nothing, nothing).weight.shape == (0,)


@pytest.mark.parametrize("make", [make_multi, make_global])
def test_documents_without_pairs_change_nothing(make):
    module = make()
    alone = module(encode(ONE), make_batch(ONE))["logits"]
    encoded = encode(ONE, NOTHING, ALONE)
    among = with_planes(encoded, hidden=encoded.hidden.clone())
    among.hidden[0, : encode(ONE).hidden.shape[1]] = encode(ONE).hidden[0]
    assert torch.allclose(module(among, make_batch(ONE, NOTHING, ALONE))["logits"], alone)


# The builders


def test_builders():
    loss = configure_binary_cross_entropy()
    head = build_jerex_global_head(loss, meta_width=7, dropout=0.25)
    assert head.loss is loss and head.uses_types
    module = head.build_module(width=8, n_out=5, n_types=3)
    assert module.types.weight.shape == (4, 7) and module.dropout.p == 0.25
    assert module.hidden.weight.shape == (8, 2 * (8 + 7)) and module.output.weight.shape == (5, 8)
    head = build_jerex_multi_instance_head(loss, entity_vectors=False, hidden_width=6, dropout=0.3)
    assert head.loss is loss and head.uses_types
    module = head.build_module(width=8, n_out=5, n_types=3)
    assert module.sentence_distance.weight.shape == (51, 25) and module.token_distance.weight.shape == (701, 25)
    assert module.pair.weight.shape == (8, 3 * 8 + 2 * 25) and module.hidden.weight.shape == (6, 8 + 2 * 25)
    assert module.dropout.p == 0.3


@pytest.mark.parametrize("make", [make_multi, make_global])
def test_dropout_is_that_of_the_setting(make):
    module, encoded, batch = make(dropout=0.5), encode(ONE), make_batch(ONE)
    assert torch.equal(*(module(encoded, batch)["logits"] for _ in range(2)))
    module.train()
    assert not torch.equal(*(module(encoded, batch)["logits"] for _ in range(2)))
