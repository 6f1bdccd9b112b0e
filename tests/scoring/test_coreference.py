"""MUC, B-cubed and CEAF against a published worked example and against slow twins."""

from itertools import permutations

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.training import Example

from spacy_docre.doc.layers import set_clusters
from spacy_docre.scoring import make_cluster_scorer
from spacy_docre.scoring.coreference import count_coreference
from spacy_docre.scoring.counts import as_dict

VOCAB = spacy.blank("en").vocab
LETTERS = "abcdefghi"


def make_doc(*clusters):
    """Each letter is a token and a separate mention."""
    doc = Doc(VOCAB, words=list(LETTERS))
    set_clusters(doc, [[(LETTERS.index(c), LETTERS.index(c) + 1) for c in cluster] for cluster in clusters])
    return doc


def score(pred, gold, **settings):
    return make_cluster_scorer()([Example(make_doc(*pred), make_doc(*gold))], **settings)


def prf(scores, name):
    return [scores[f"coref_{name}_{key}"] for key in "prf"]


def f1(p, r):
    return 2 * p * r / (p + r)


def test_published_example():
    """The example of Pradhan et al. (ACL 2014): key {a, b, c} {d, e, f, g}, response {a, b} {c, d} {f, g, h, i}."""
    scores = score(["ab", "cd", "fghi"], ["abc", "defg"])
    # MUC: {a, b, c} lies in two parts, one of two links is left; {d, e, f, g} in three (d, e, fg), one of three.
    # Of the response's five links, a-b and f-g are right.
    assert prf(scores, "muc") == pytest.approx([2 / 5, 2 / 5, 2 / 5])
    # B-cubed: recall (2 * 2/3 + 1/3 + 1/4 + 2 * 2/4) / 7 = 0.42, precision (2 + 2 * 1/2 + 2 * 2/4) / 8 = 0.50.
    assert prf(scores, "b3") == pytest.approx([0.5, 35 / 84, f1(0.5, 35 / 84)])
    # CEAF: {a, b, c} with {a, b} 4/5, {d, e, f, g} with {f, g, h, i} 4/8. Precision 1.3 / 3, recall 1.3 / 2.
    assert prf(scores, "ceafe") == pytest.approx([1.3 / 3, 1.3 / 2, 0.52])
    mean = (0.4 + f1(0.5, 35 / 84) + 0.52) / 3
    assert scores["coref_conll_f"] == scores["coref_conll_no_singletons_f"] == pytest.approx(mean)


def test_singletons():
    """Gold {a, b} {c} {d}, predicted {a, b} {c, d}: with singletons CEAF pairs {c, d} with one of them."""
    scores = score(["ab", "cd"], ["ab", "c", "d"])
    assert prf(scores, "muc") == pytest.approx([1 / 2, 1.0, 2 / 3])
    assert prf(scores, "b3") == pytest.approx([3 / 4, 1.0, f1(3 / 4, 1)])
    assert prf(scores, "ceafe") == pytest.approx([(1 + 2 / 3) / 2, (1 + 2 / 3) / 3, f1(5 / 6, 5 / 9)])
    # Without them {c, d} is entirely wrong, and gold has two mentions.
    assert prf(scores, "muc_no_singletons") == prf(scores, "muc")
    assert prf(scores, "b3_no_singletons") == pytest.approx([1 / 2, 1.0, 2 / 3])
    assert prf(scores, "ceafe_no_singletons") == pytest.approx([1 / 2, 1.0, 2 / 3])


def test_nothing_to_link_is_none_and_nothing_found_is_zero():
    scores = score(["a"], ["a", "b"])
    assert scores["coref_muc_f"] is scores["coref_conll_f"] is scores["coref_b3_no_singletons_f"] is None
    assert scores["coref_b3_f"] == scores["coref_ceafe_f"] == pytest.approx(2 / 3)
    assert score([], ["ab"])["coref_conll_f"] == 0.0
    assert score([], [])["coref_b3_f"] is None


def test_duplicates_go_first():
    assert score(["aab", "ba", "c"], ["ab", "c"]) == score(["ab", "c"], ["ab", "c"])
    # "b" is in two clusters: it stays in the larger one.
    scores = score(["abc", "bd"], ["abc", "d"])
    assert scores["coref_conll_f"] == 1.0 and scores["clusters_f"] == pytest.approx(1 / 2)


def test_intervals():
    """The interval of the mean comes from the mean of each draw."""
    right, wrong = (Example(make_doc(*pred), make_doc("ab", "cd")) for pred in (["ab", "cd"], ["ac", "bd"]))
    assert make_cluster_scorer()([right] * 3, bootstrap=5)["coref_conll_f_interval"] == [1.0, 1.0]
    scores = make_cluster_scorer()([right, wrong] * 20, bootstrap=200)
    low, high = scores["coref_conll_f_interval"]
    assert low < scores["coref_conll_f"] < high
    parts = [scores[f"coref_{name}_f_interval"][0] for name in ("muc", "b3", "ceafe")]
    assert min(parts) <= low <= max(parts)


def slow(pred, gold):
    """Precision and recall by the definitions, in loops."""

    def muc(one, other):
        kept = total = 0
        for c in one:
            parts = [c & o for o in other if c & o]
            alone = len(c) - sum(map(len, parts))
            kept += len(c) - len(parts) - alone
            total += len(c) - 1
        return kept / total if total else None

    def b3(one, other):
        shares = []
        for c in one:
            for m in c:
                mine = next((o for o in other if m in o), set())
                shares.append(len(c & mine) / len(c))
        return sum(shares) / len(shares) if shares else None

    short, long = sorted([pred, gold], key=len)
    best = max(
        sum(2 * len(a & b) / (len(a) + len(b)) for a, b in zip(short, order))
        for order in permutations(long, len(short))
    )
    ceafe = [best / len(side) if side else None for side in (pred, gold)]
    return {"muc": [muc(pred, gold), muc(gold, pred)], "b3": [b3(pred, gold), b3(gold, pred)], "ceafe": ceafe}


# The cluster of each of six mentions; 0 where it is in none.
partition = st.lists(st.integers(0, 4), min_size=6, max_size=6).map(
    lambda numbers: [{m for m, c in enumerate(numbers) if c == i} for i in range(1, 5) if i in numbers]
)


@given(partition, partition)
def test_equals_slow_twin(pred, gold):
    sides = [{frozenset((m, m + 1) for m in c) for c in clusters} for clusters in (pred, gold)]
    tally = count_coreference(*sides)
    for variant in ("", "_no_singletons"):
        p, g = ([c for c in side if len(c) > 1 or not variant] for side in (pred, gold))
        for metric, (precision, recall) in slow(p, g).items():
            found = as_dict(tally[f"coref_{metric}{variant}_f"])
            if found["f"] is None:
                assert precision is recall is None
            else:
                assert found["p"] == pytest.approx(precision or 0.0) and found["r"] == pytest.approx(recall or 0.0)
