"""The RSMAN head and its backbones against the paper's formulas written out, the attention weights, the edges."""

import math
import re
from pathlib import Path

import numpy
import pytest
import torch
from spacy.training.initialize import init_nlp

from spacy_docre.layers.encoded import join_encodings
from spacy_docre.models.heads.rsman import ENTITY_POOLINGS, SCORES, build_rsman_head, classify_pairs
from spacy_docre.models.losses import configure_binary_cross_entropy
from spacy_docre.textbook import forms
from toy import encode_at_random, lay_windows, list_rows, pair_up, with_planes

ROOT = Path(__file__).resolve().parents[2]
WIDTH, REDUCED, PROTOTYPE, N_OUT = 8, 5, 6, 4
# Pieces per token, windows, entities as token spans. The second is longer than a window of 6.
ONE = ([1, 2, 1, 3, 1], [(0, 8)], [[(0, 1), (3, 4)], [(1, 3)], [(4, 5), (2, 3), (0, 1)]])
TWO = ([1, 1, 2, 2, 1, 2], [(0, 6), (3, 9)], [[(0, 1)], [(2, 4), (5, 6)]])
CROWD = ([1] * 42, [(0, 42)], [[(i, i + 1)] for i in range(42)])
LOSS = configure_binary_cross_entropy(average="labels")


def make_head(pooling="attention", score="dot", **settings):
    settings = {"reduced_width": REDUCED, "prototype_width": PROTOTYPE, "max_pair_items": 2**10, **settings}
    head = build_rsman_head(LOSS, entity_pooling=pooling, score=score, **settings)
    return head.build_module(width=WIDTH, n_out=N_OUT).double().eval()


def encode(*docs, **settings):
    return encode_at_random([lay_windows(pieces, bounds) for pieces, bounds, _ in docs], width=WIDTH, **settings)


def make_batch(*docs, pairs=None):
    return pair_up([entities for _, _, entities in docs], pairs)


# The formulas


def linear(weight, x, bias):
    return [sum(w * v for w, v in zip(row, x)) + b for row, b in zip(weight.tolist(), bias)]


def slow_weights(module, mentions, r):
    """Eq. 3-4: softmax over an entity's mentions of p_r . tanh(W m + b), or of v . tanh(W [p_r; m] + b)."""
    prototype = module.score.prototypes.tolist()[r]
    scores = []
    for m in mentions:
        if hasattr(module.score, "project"):
            layer = module.score.project
            projected = linear(layer.weight, m, layer.bias.tolist())
            scores.append(sum(p * math.tanh(v) for p, v in zip(prototype, projected)))
        else:
            layer = module.score.hidden
            hidden = linear(layer.weight, [*prototype, *m], layer.bias.tolist())
            (output,) = module.score.output.weight.tolist()
            scores.append(sum(v * math.tanh(h) for v, h in zip(output, hidden)))
    total = sum(map(math.exp, scores))
    return [math.exp(s) / total for s in scores]


def slow_entity(module, mentions, r, pooling):
    """Eq. 1 and its like, or eq. 5."""
    columns = list(zip(*mentions))
    if pooling == "attention":
        weights = slow_weights(module, mentions, r)
        return [sum(w * v for w, v in zip(weights, column)) for column in columns]
    pool = {
        "mean": lambda column: sum(column) / len(column),
        "max": max,
        "logsumexp": lambda column: math.log(sum(map(math.exp, column))),
    }[pooling]
    return [pool(column) for column in columns]


def reduce_mentions(module, encoded, doc):
    """Vectors of each entity's mentions: the mean over the pieces, reduced."""
    pieces, _, entities = doc
    starts = [0, *numpy.cumsum(pieces).tolist()]
    hidden = list_rows(encoded.pieces())
    found = []
    for spans in entities:
        rows = [hidden[starts[start] : starts[end]] for start, end in spans]
        means = [[sum(column) / len(own) for column in zip(*own)] for own in rows]
        found.append([linear(module.reduce.weight, x, module.reduce.bias.tolist()) for x in means])
    return found


def twin(module, encoded, doc, pooling):
    """Logits of all ordered pairs of a document of one window: eq. 2 or 6, before the sigmoid."""
    mentions, logits = reduce_mentions(module, encoded, doc), []
    for h, head in enumerate(mentions):
        for t, tail in enumerate(mentions):
            if h == t:
                continue
            row = []
            for r, (weight, bias) in enumerate(zip(module.weight.tolist(), module.bias.tolist())):
                e_h, e_t = (slow_entity(module, entity, r, pooling) for entity in (head, tail))
                row.append(sum(a * w * b for a, ws in zip(e_h, weight) for w, b in zip(ws, e_t)) + bias)
            logits.append(row)
    return logits


FORMS = [("attention", score) for score in SCORES] + [(pooling, "dot") for pooling in ENTITY_POOLINGS[1:]]


@pytest.mark.parametrize("max_pair_items", [1, 2**10])
@pytest.mark.parametrize("pooling,score", FORMS)
def test_equals_twin(pooling, score, max_pair_items):
    module, encoded = make_head(pooling, score, max_pair_items=max_pair_items), encode(ONE)
    logits = module(encoded, make_batch(ONE))["logits"]
    assert numpy.allclose(list_rows(logits), twin(module, encoded, ONE, pooling), atol=1e-9)


def test_pairs_are_classified_as_the_textbook_has_it():
    """Pairs of two documents, in any order, with entity vectors of each relation."""
    batch = make_batch(ONE, TWO, pairs=[(4, 3), (0, 2), (3, 4), (2, 1)])
    entities, weight = torch.randn(N_OUT, 5, REDUCED).double(), torch.randn(N_OUT, REDUCED, REDUCED).double()
    expected = forms.classify_pairs(entities, weight, torch.as_tensor(batch.head), torch.as_tensor(batch.tail))
    assert torch.allclose(classify_pairs(entities, weight, batch, 2**10), expected, atol=1e-9)


@pytest.mark.parametrize("score", SCORES)
def test_mention_weights(score):
    """Rows of a heatmap: for each relation they sum to 1 over an entity's mentions; an only mention has it all."""
    module, encoded, batch = make_head(score=score), encode(ONE), make_batch(ONE)
    found = module.mention_weights(encoded, batch.entities)
    assert found.shape == (6, N_OUT)
    expected = [
        list(zip(*(slow_weights(module, mentions, r) for r in range(N_OUT))))
        for mentions in reduce_mentions(module, encoded, ONE)
    ]
    assert numpy.allclose(list_rows(found), [row for entity in expected for row in entity], atol=1e-9)
    assert torch.allclose(found[2], torch.ones(N_OUT).double()) and found[0].std() > 0


def test_evidence_is_the_product_of_the_weights():
    module, encoded = make_head(), encode(ONE)
    batch = make_batch(ONE, pairs=[(0, 2), (0, 2), (1, 0)])
    label = numpy.asarray([1, 3, 2])
    found = module.explain(encoded, batch, label, numpy.zeros(5, dtype="int64"))
    weights = list_rows(module.mention_weights(encoded, batch.entities))
    mentions = {0: [0, 1], 1: [2], 2: [3, 4, 5]}
    expected = [
        (pair, h, t, weights[h][r] * weights[t][r])
        for pair, (head, tail, r) in enumerate([(0, 2, 1), (0, 2, 3), (1, 0, 2)])
        for h in mentions[head]
        for t in mentions[tail]
    ]
    assert numpy.allclose(numpy.stack([found.pair, found.head, found.tail, found.weight], 1), expected)
    assert found.weight[:6].sum() == pytest.approx(1.0) and found.sentences is None


@pytest.mark.parametrize("pooling", ENTITY_POOLINGS[1:])
def test_backbones_explain_by_attention_rows(pooling):
    found = make_head(pooling).explain(
        encode(ONE), make_batch(ONE), numpy.zeros(6, dtype="int64"), numpy.zeros(5, dtype="int64")
    )
    assert numpy.bincount(found.pair, found.weight).tolist() == pytest.approx([1.0] * 6)
    assert found.sentences is not None


def test_weights_of_a_document_as_the_page_shows_it(tiny_config, sample_text):
    head = {"@architectures": "spacy-docre.RsmanHead.v1", "loss": {"@losses": "spacy-docre.BinaryCrossEntropy.v1"}}
    tiny_config["components"]["docre_relations"]["model"]["head"] = head
    (code,) = re.findall(r"```py\n(.*?)```", (ROOT / "docs" / "heads.md").read_text(encoding="utf8"), flags=re.DOTALL)
    names = {"nlp": init_nlp(tiny_config), "text": sample_text[:300]}
    exec(code, names)
    entity = [e.id for e in names["doc"]._.entities for _ in e.mentions]
    assert entity and tuple(names["weights"]) == tuple(names["nlp"].get_pipe("docre_relations").labels)
    sums = [numpy.bincount(entity, row) for row in names["weights"].values()]
    assert numpy.allclose(sums, 1.0, atol=1e-5)


# The laws and the edges


@pytest.mark.parametrize("pooling,score", FORMS)
def test_gradients(pooling, score):
    """They are the slope, also where work is cut into chunks; every parameter and the encoder get one."""
    module, leaves, batch = make_head(pooling, score, max_pair_items=1), encode(ONE, TWO).leaves(), make_batch(ONE, TWO)
    names, parameters = zip(*module.named_parameters())

    def run(hidden, *values):
        encoded = with_planes(leaves, hidden=hidden)
        return torch.func.functional_call(module, dict(zip(names, values)), (encoded, batch))["logits"]

    assert torch.autograd.gradcheck(run, (leaves.hidden, *parameters), fast_mode=True)
    run(leaves.hidden, *parameters).square().sum().backward()
    assert all(tensor.grad.abs().max() > 0 for tensor in (leaves.hidden, *parameters))


@pytest.mark.parametrize("pooling,score", FORMS)
def test_a_document_alone_scores_as_in_a_batch(pooling, score):
    module, docs = make_head(pooling, score), (TWO, ONE, CROWD, ONE)
    batch = encode(*docs)
    together = module(batch, make_batch(*docs))["logits"]
    parts = [
        module(join_encodings([part]), make_batch(doc))["logits"] for doc, part in zip(docs, batch.split(), strict=True)
    ]
    assert len(together) == 2 + 6 + 42 * 41 + 6
    assert torch.allclose(together, torch.cat(parts))


def test_pairs_may_come_in_any_order_or_number():
    module, encoded, everything = make_head(), encode(ONE, TWO), make_batch(ONE, TWO)
    pairs = zip(everything.head.tolist(), everything.tail.tolist())
    known = dict(zip(pairs, module(encoded, everything)["logits"]))
    wanted = [(4, 3), (0, 2), (2, 0), (0, 2)]
    some = module(encoded, make_batch(ONE, TWO, pairs=wanted))["logits"]
    assert torch.allclose(some, torch.stack([known[pair] for pair in wanted]))
    assert not torch.allclose(known[0, 2], known[2, 0])


@pytest.mark.parametrize("pooling,score", FORMS)
def test_no_pairs_no_documents_no_pieces(pooling, score):
    module, alone, nothing = make_head(pooling, score), (*ONE[:2], [[(0, 1)]]), ([], [], [])
    bare = ([1, 0, 1], [(0, 2)], [[(1, 2)], [(0, 1)], [(1, 2), (2, 3)]])
    for doc, n in ((alone, 0), (nothing, 0), (bare, 6)):
        logits = module(encode(doc), make_batch(doc))["logits"]
        assert logits.shape == (n, N_OUT) and torch.isfinite(logits).all()


def test_dropout_is_that_of_the_setting():
    module, encoded, batch = make_head(dropout=0.5), encode(ONE), make_batch(ONE)
    assert torch.equal(*(module(encoded, batch)["logits"] for _ in range(2)))
    module.train()
    assert not torch.equal(*(module(encoded, batch)["logits"] for _ in range(2)))


def test_sizes():
    """Of the classifier's weights, RSMAN adds prototypes and a layer."""
    settings = {"reduced_width": 128, "prototype_width": 256}
    with_, without = (
        {name: tuple(p.shape) for name, p in make_head(pooling, **settings).named_parameters()}
        for pooling in ("attention", "mean")
    )
    assert without == {"reduce.weight": (128, WIDTH), "reduce.bias": (128,), "weight": (4, 128, 128), "bias": (4,)}
    added = {"score.prototypes": (4, 256), "score.project.weight": (256, 128), "score.project.bias": (256,)}
    assert with_ == {**without, **added}


@pytest.mark.parametrize("setting", ["entity_pooling", "score", "mention_pooling"])
def test_wrong_settings_say_so(setting):
    with pytest.raises(ValueError, match=f"R206.*{setting}.*(mean|dot).*sum"):
        build_rsman_head(LOSS, **{setting: "sum"})


@pytest.mark.parametrize("settings,expected", [({}, 3 / 2), ({"average": "labels"}, 7 / 12)])
def test_loss_is_averaged_over_documents_or_labels(settings, expected):
    """Labels of 1 bit each: two in each of three pairs, one in a fourth, which is alone in its document."""
    nats = math.log(2)
    logits = torch.tensor([[0.0, 0.0, -1e9]] * 3 + [[0.0, -1e9, -1e9]])
    loss = configure_binary_cross_entropy(**settings)
    found = loss.function({"logits": logits}, torch.zeros(4, 3, dtype=torch.bool), torch.tensor([0, 0, 0, 1]))
    assert not loss.threshold_class and found.item() == pytest.approx(expected * nats)
    with pytest.raises(ValueError, match="R206.*average.*pairs"):
        configure_binary_cross_entropy(average="pairs")
