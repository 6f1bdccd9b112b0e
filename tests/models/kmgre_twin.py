"""Documents for tests of the KMGRE head, and its equations written out in loops."""

import math
from dataclasses import replace

import numpy
import torch

from spacy_docre.models.heads.kmgre import KmgreHead, configure_losses
from spacy_docre.models.losses import configure_adaptive_threshold, configure_binary_cross_entropy
from toy import attention_rows, encode_at_random, lay_windows, list_rows, pair_up

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


def second_of(encoded, other):
    return replace(encoded, second=other)


def learn(module, encoded, batch, gold, loss=LOSSES[True]):
    """Loss of the module's phase on leaves that collect gradients."""
    scores = module.train()(encoded, batch)
    return configure_losses(loss, above_threshold=True, alpha=ALPHA, gamma=GAMMA).function(
        scores, gold, torch.as_tensor(batch.doc)
    )


# The equations


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def average(rows):
    return [sum(column) / len(rows) for column in zip(*rows)]


class Twin:
    """Vectors and contexts of the mentions of one document, written out: KMGRE eq. 4-5."""

    def __init__(self, encoded, doc, pooling):
        pieces, self.bounds, _ = doc
        self.starts = [0, *numpy.cumsum(pieces).tolist()]
        self.pooling, self.n_heads, self.pieces = pooling, encoded.n_heads, list_rows(encoded.pieces())
        # Window by window.
        self.hidden, self.attention = list_rows(encoded.hidden), list_rows(attention_rows(encoded))

    def vector(self, span):
        rows = self.pieces[self.starts[span[0]] : self.starts[span[1]]]
        return {"start": rows[0], "mean": average(rows), "max": [max(column) for column in zip(*rows)]}[self.pooling]

    def positions(self, span, w):
        """Positions of a mention in a window, behind the special piece."""
        first, last = self.bounds[w]
        return [p - first + 1 for p in range(self.starts[span[0]], self.starts[span[1]]) if first <= p < last]

    def row(self, span, w, k):
        return average([self.attention[w][k][p] for p in self.positions(span, w)])

    def pool(self, weights, w):
        return [sum(a * x for a, x in zip(weights, column)) for column in zip(*self.hidden[w])]

    def joint_row(self, one, other, w):
        """Products of the two attention rows, normalised head by head, added up over the heads."""
        total = [0.0] * len(self.hidden[w])
        for k in range(self.n_heads):
            products = [a * b for a, b in zip(self.row(one, w, k), self.row(other, w, k))]
            total = [t + p / sum(products) for t, p in zip(total, products)]
        return total

    def own_context(self, span):
        held = [w for w in range(len(self.bounds)) if self.positions(span, w)]
        rows = [[sum(c) for c in zip(*[self.row(span, w, k) for k in range(self.n_heads)])] for w in held]
        return average([self.pool(row, w) for row, w in zip(rows, held)])

    def context(self, one, other):
        """Eq. 4 in each window that holds both, averaged; else the mean of the contexts that each has by itself."""
        both = [w for w in range(len(self.bounds)) if self.positions(one, w) and self.positions(other, w)]
        if both:
            return average([self.pool(self.joint_row(one, other, w), w) for w in both])
        return average([self.own_context(one), self.own_context(other)])


def multiply(weight, x, bias):
    return [sum(a * b for a, b in zip(row, x)) + c for row, c in zip(list_rows(weight), list_rows(bias))]


def linear_score(scorer, twin, one, other):
    """w x + b with x = [h_i; h_j; c_ij]: KMGRE eq. 5-8."""
    x = [*twin.vector(one), *twin.vector(other), *twin.context(one, other)]
    return multiply(scorer.linear.weight, x, scorer.linear.bias)


def bilinear_score(scorer, twin, one, other):
    """Of group p: (z_i of p) (z_j of p)^T, all of them one after another, row by row."""
    c = [x / twin.n_heads for x in twin.context(one, other)]

    def transform(own, of_context, span):
        parts = zip(multiply(own.weight, twin.vector(span), own.bias), list_rows(of_context.weight))
        return [math.tanh(a + sum(v * x for v, x in zip(row, c))) for a, row in parts]

    z_i, z_j = transform(scorer.head, scorer.head_context, one), transform(scorer.tail, scorer.tail_context, other)
    n = scorer.decoder.block_size
    x = [a * b for p in range(0, len(z_i), n) for a in z_i[p : p + n] for b in z_j[p : p + n]]
    return multiply(scorer.decoder.weight.T, x, scorer.decoder.bias)


def twin_scores(scorer, encoded, doc, pooling="mean"):
    """Scores of all mention pairs of the ordered entity pairs of a document.

    RETURNS: For each entity pair the scores of its mention pairs.
    """
    twin, score = Twin(encoded, doc, pooling), bilinear_score if hasattr(scorer, "decoder") else linear_score
    entities = doc[2]
    return [
        [score(scorer, twin, one, other) for one in head for other in tail]
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
