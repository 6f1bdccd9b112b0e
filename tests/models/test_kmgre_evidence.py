"""The evidence of the KMGRE head: mention pairs, and the sentences of their contexts."""

import numpy
import pytest

from toy import attention_rows, list_rows

from .kmgre_twin import N_OUT, ONE, average, encode, make_batch, make_head, sigmoid, twin_probability, twin_scores


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
    rows = list_rows(attention_rows(encoded)[0])
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
