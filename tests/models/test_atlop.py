"""The ATLOP head against the papers' formulas written out, and the laws of the task."""

import math

import numpy
import pytest
import torch

from spacy_docre.layers.encoded import join_encodings
from spacy_docre.models.heads.atlop import AtlopHead, build_atlop_head
from spacy_docre.models.losses import configure_adaptive_threshold
from toy import attention_rows, encode_at_random, lay_windows, list_rows, pair_up

WIDTH = 8
# Pieces per token, windows, entities as token spans. The second is longer than a window of 6.
ONE = ([1, 2, 1, 3, 1], [(0, 8)], [[(0, 1), (3, 4)], [(1, 3)], [(4, 5), (2, 3), (0, 1)]])
TWO = ([1, 1, 2, 2, 1, 2], [(0, 6), (3, 9)], [[(0, 1)], [(2, 4), (5, 6)]])


def make_head(n_out=4, pooling="mean", **settings):
    settings = {"block_size": 4, "mention_pooling": pooling, "dropout": 0.0, "max_pair_items": 2**10, **settings}
    return AtlopHead(WIDTH, n_out, **settings).double().eval()


def encode(*docs, **settings):
    return encode_at_random([lay_windows(pieces, bounds) for pieces, bounds, _ in docs], width=WIDTH, **settings)


def make_batch(*docs, pairs=None):
    return pair_up([entities for _, _, entities in docs], pairs)


# The formulas


def twin(module, encoded, doc, pooling):
    """Logits of all ordered pairs of a document of one window.

    ATLOP: e = log sum exp(m); A_e the mean over mentions; a = mean over heads of A_h * A_t, normalised; c = H^T a.
    PEMSCL eq. 14-15: z_h = tanh(W_h e_h + W_c1 c + b), z_t likewise; x the outer products of their groups; f = W x + b.
    """
    pieces, _, entities = doc
    starts = [0, *numpy.cumsum(pieces).tolist()]
    hidden = list_rows(encoded.hidden)[0]
    attention = list_rows(attention_rows(encoded))[0]  # its own test has its own twin

    def mean(rows):
        return [sum(column) / len(rows) for column in zip(*rows)]

    def mention_pieces(span):
        return [p + 1 for p in range(starts[span[0]], starts[span[1]])]  # behind the special piece

    def vector(span):
        rows = [hidden[p] for p in mention_pieces(span)]
        return {"start": rows[0], "mean": mean(rows), "max": [max(column) for column in zip(*rows)]}[pooling]

    def linear(layer, x):
        bias = [0.0] * WIDTH if layer.bias is None else layer.bias.tolist()
        return [sum(w * v for w, v in zip(row, x)) + b for row, b in zip(layer.weight.tolist(), bias)]

    def row(spans, k):
        return mean([mean([attention[k][p] for p in mention_pieces(span)]) for span in spans])

    weight, bias, block = module.decoder.weight.tolist(), module.decoder.bias.tolist(), module.decoder.block_size
    vectors = [[math.log(sum(map(math.exp, column))) for column in zip(*map(vector, spans))] for spans in entities]
    logits = []
    for h, head in enumerate(entities):
        for t, tail in enumerate(entities):
            if h == t:
                continue
            products = [[a * b for a, b in zip(row(head, k), row(tail, k))] for k in range(len(attention))]
            shares = mean(products)
            shares = [a / (sum(shares) + 1e-5) for a in shares]
            context = [sum(a * v[i] for a, v in zip(shares, hidden)) for i in range(WIDTH)]
            z = []
            for entity, own, shared in ((h, module.head, module.head_context), (t, module.tail, module.tail_context)):
                z.append([math.tanh(a + b) for a, b in zip(linear(own, vectors[entity]), linear(shared, context))])
            x = [z[0][p + i] * z[1][p + j] for p in range(0, WIDTH, block) for i in range(block) for j in range(block)]
            logits.append([sum(v * w[r] for v, w in zip(x, weight)) + b for r, b in enumerate(bias)])
    return logits


@pytest.mark.parametrize("pooling", ["start", "mean", "max"])
@pytest.mark.parametrize("attention", [False, True])
def test_equals_twin(pooling, attention):
    module, encoded = make_head(pooling=pooling), encode(ONE, attention=attention)
    logits = module(encoded, make_batch(ONE))["logits"]
    assert logits.shape == (6, 4)
    assert numpy.allclose(list_rows(logits), twin(module, encoded, ONE, pooling), atol=1e-5)


# The laws


def by_pair(logits, batch):
    return {(h, t): row for h, t, row in zip(batch.head.tolist(), batch.tail.tolist(), logits)}


@pytest.mark.parametrize("doc", [ONE, TWO])
def test_renumbered_entities_keep_their_scores(doc):
    pieces, bounds, entities = doc
    n = len(entities)
    other = (pieces, bounds, [spans[::-1] for spans in entities[::-1]])  # entity i becomes n - 1 - i
    module, encoded = make_head(), encode(doc)
    first = by_pair(module(encoded, make_batch(doc))["logits"], make_batch(doc))
    second = by_pair(module(encoded, make_batch(other))["logits"], make_batch(other))
    assert len(first) == n * (n - 1)
    for (h, t), row in first.items():
        assert torch.allclose(second[n - 1 - h, n - 1 - t], row)


def test_a_document_alone_scores_as_in_a_batch():
    module = make_head()
    batch = encode(ONE, TWO, ONE)
    together = module(batch, make_batch(ONE, TWO, ONE))["logits"]
    parts = []
    for doc, part in zip((ONE, TWO, ONE), batch.split()):
        parts.append(module(join_encodings([part]), make_batch(doc))["logits"])
    assert torch.allclose(together, torch.cat(parts))


def test_pairs_may_come_in_any_order_or_number():
    module, encoded = make_head(), encode(ONE, TWO)
    everything = make_batch(ONE, TWO)
    known = by_pair(module(encoded, everything)["logits"], everything)
    some = make_batch(ONE, TWO, pairs=[(4, 3), (0, 2), (2, 0), (0, 2)])
    for row, pair in zip(module(encoded, some)["logits"], [(4, 3), (0, 2), (2, 0), (0, 2)]):
        assert torch.allclose(row, known[pair])


def test_head_and_tail_are_told_apart():
    module, encoded = make_head(), encode(ONE)
    scores = by_pair(module(encoded, make_batch(ONE))["logits"], make_batch(ONE))
    assert not torch.allclose(scores[0, 1], scores[1, 0])


def test_every_parameter_gets_a_gradient():
    module, leaves = make_head(), encode(ONE, TWO).leaves()
    logits = module(leaves, make_batch(ONE, TWO))["logits"]
    logits.square().sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad.abs().max() > 0, name
    for tensor in (leaves.hidden, leaves.planes.queries, leaves.planes.keys):
        assert tensor.grad.abs().max() > 0


def test_no_pairs_and_no_documents():
    module = make_head()
    alone = (ONE[0], ONE[1], [[(0, 1)]])
    assert module(encode(alone), make_batch(alone))["logits"].shape == (0, 4)
    nothing = ([], [], [])
    assert module(encode(nothing), make_batch(nothing))["logits"].shape == (0, 4)


def test_mentions_without_pieces_have_finite_scores():
    doc = ([1, 0, 1], [(0, 2)], [[(1, 2)], [(0, 1)], [(1, 2), (2, 3)]])
    for pooling in ("start", "mean", "max"):
        assert torch.isfinite(make_head(pooling=pooling)(encode(doc), make_batch(doc))["logits"]).all()


def test_half_precision_is_finite_and_close():
    module, encoded, batch = make_head().float(), encode(ONE, TWO, dtype=torch.float32), make_batch(ONE, TWO)
    exact = module(encoded, batch)["logits"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = module(encoded, batch)["logits"]
    rough.sum().backward()
    assert torch.isfinite(rough).all() and (rough - exact).norm() / exact.norm() < 0.05
    assert all(torch.isfinite(p.grad).all() for p in module.parameters())


def test_dropout_is_that_of_the_setting():
    module, encoded, batch = make_head(dropout=0.5), encode(ONE), make_batch(ONE)
    assert torch.equal(*(module(encoded, batch)["logits"] for _ in range(2)))
    module.train()
    assert not torch.equal(*(module(encoded, batch)["logits"] for _ in range(2)))


# The builder


def test_builder():
    loss = configure_adaptive_threshold()
    head = build_atlop_head(loss, block_size=4, mention_pooling="start", dropout=0.25)
    module = head.build_module(width=8, n_out=5)
    assert head.loss is loss
    assert module.decoder.weight.shape == (8 * 4, 5) and module.dropout.p == 0.25
    assert module.mention_pooling == "start"


def test_wrong_settings_say_so():
    loss = configure_adaptive_threshold()
    with pytest.raises(ValueError, match="R206.*start, mean, max.*sum"):
        build_atlop_head(loss, mention_pooling="sum")
    with pytest.raises(ValueError, match="R302"):
        build_atlop_head(loss, block_size=5).build_module(width=8, n_out=5)
