"""Scores of three hand-built documents, every count done by hand."""

import pytest
import spacy
from spacy.tokens import Doc
from spacy.training import Example

from spacy_docre.doc.extensions import install_extensions
from spacy_docre.doc.layers import set_clusters, set_mentions
from spacy_docre.doc.places import Places
from spacy_docre.doc.records import get_relation_data, set_relation_data
from spacy_docre.doc.views import set_relations
from spacy_docre.scoring import (
    make_cluster_scorer,
    make_mention_scorer,
    make_relation_scorer,
    make_type_scorer,
)
from spacy_docre.scoring.relations import cut_by_frequency

SCORERS = [make_mention_scorer(), make_cluster_scorer(), make_type_scorer(), make_relation_scorer()]
WORDS = "Ann Lee works at Acme . She leads Acme in Rome . Bob lives in Rome .".split()
SENTS = [0, 6, 12]
ANN, SHE, ACME1, ACME2, ROME1, BOB, ROME2 = (0, 2), (6, 7), (4, 5), (8, 9), (10, 11), (12, 13), (15, 16)


@pytest.fixture(scope="module")
def vocab():
    return spacy.blank("en").vocab


def build(vocab, entities, relations, words=None, starts=None):
    """entities: [(type, [mention, ...])]; relations: triples, or None for 'not annotated'."""
    words = WORDS if words is None else words
    starts = SENTS if starts is None else starts
    doc = Doc(vocab, words=words, sent_starts=[i in starts for i in range(len(words))])
    set_mentions(doc, [m for _, mentions in entities for m in mentions])
    set_clusters(doc, [mentions for _, mentions in entities], [label for label, _ in entities])
    if relations is not None:
        set_relations(doc, relations)
    return doc


def gold_doc(vocab):
    entities = [("PER", [ANN, SHE]), ("ORG", [ACME1, ACME2]), ("LOC", [ROME1, ROME2]), ("PER", [BOB])]
    return build(vocab, entities, [(0, "employer", 1), (1, "based in", 2), (3, "lives in", 2)])


def score(*examples, **cfg):
    scores = {}
    for scorer in SCORERS:
        scores.update(scorer(list(examples), **cfg))
    return scores


def prf(scores, name):
    return [scores[f"{name}_{key}"] for key in "prf"]


def f1(p, r):
    return 2 * p * r / (p + r)


def test_gold_against_itself_is_one_everywhere(vocab):
    doc = gold_doc(vocab)
    # Bob is in the third sentence, Acme in the first two: a relation across sentences.
    set_relations(doc, [(0, "employer", 1), (1, "based in", 2), (3, "lives in", 2), (3, "knows", 1)])
    scores = score(Example(doc.copy(), doc), facts=set())
    per_type = scores.pop("relations_per_type")
    # M2 of RSMAN needs an entity with three mentions: there is none, neither in gold nor predicted.
    assert scores.pop("relations_f_m2_rsman") is None
    assert [scores.pop(f"evidence_{key}") for key in "prf"] == [None] * 3  # no sentence is annotated
    assert [scores.pop(f"relations_f_{cut}") for cut in ("head", "mid", "tail")] == [None] * 3  # no frequencies
    assert set(scores.values()) == {1.0}
    assert per_type == {
        label: {"p": 1.0, "r": 1.0, "f": 1.0} for label in ("based in", "employer", "knows", "lives in")
    }


def test_counts_by_hand(vocab):
    # Predicted: Ann without "She"; Acme whole; Rome whole but typed ORG; Bob whole; "works" as a false entity.
    entities = [("PER", [ANN]), ("ORG", [ACME1, ACME2]), ("ORG", [ROME1, ROME2]), ("PER", [BOB]), ("PER", [(2, 3)])]
    relations = [(0, "employer", 1), (1, "based in", 2), (3, "lives in", 2), (3, "employer", 1)]
    scores = score(Example(build(vocab, entities, relations), gold_doc(vocab)))
    # Mentions: gold 7; predicted 1 + 2 + 2 + 1 + 1 = 7, of which 6 correct ("works" is wrong, "She" missed).
    assert prf(scores, "mentions") == pytest.approx([6 / 7, 6 / 7, 6 / 7])
    # Clusters: gold 4, predicted 5; correct Acme, Rome, Bob.
    assert prf(scores, "clusters") == pytest.approx([3 / 5, 3 / 4, f1(3 / 5, 3 / 4)])
    # Types: Acme and Bob correct; Rome has the wrong type.
    assert prf(scores, "types") == pytest.approx([2 / 5, 2 / 4, f1(2 / 5, 2 / 4)])
    # Relations, strict: none correct (Ann's cluster, Rome's type, Rome's type, no such fact): 0 of 4, gold 3.
    assert prf(scores, "relations") == [0.0, 0.0, 0.0]
    # Untyped: "based in" and "lives in" correct: 2 of 4, gold 3.
    assert prf(scores, "relations_untyped") == pytest.approx([2 / 4, 2 / 3, f1(2 / 4, 2 / 3)])


def test_cuts_by_hand(vocab):
    # Predicted: gold entities with the relations Ann-employer-Acme (correct), Bob-lives in-Rome (correct) and
    # Bob-employer-Acme (false).
    entities = [("PER", [ANN, SHE]), ("ORG", [ACME1, ACME2]), ("LOC", [ROME1, ROME2]), ("PER", [BOB])]
    pred = build(vocab, entities, [(0, "employer", 1), (3, "lives in", 2), (3, "employer", 1)])
    scores = score(Example(pred, gold_doc(vocab)))
    assert prf(scores, "relations") == pytest.approx([2 / 3, 2 / 3, 2 / 3])
    # Within a sentence, gold: employer (s0), based in (s1), lives in (s2) = 3; predicted: employer, lives in = 2, both
    # correct. p 1, r 2/3. Across: gold 0, predicted Bob (s2) - Acme (s0, s1), wrong: p 0, r 0.
    assert scores["relations_f_intra"] == scores["relations_intra_f"] == pytest.approx(f1(1, 2 / 3))
    assert scores["relations_f_inter"] == scores["relations_inter_f"] == 0.0
    # M1 (a side with several mentions): all three of both, as above.
    assert scores["relations_f_m1"] == pytest.approx(2 / 3)
    # M2 (both sides): gold employer, based in; predicted employer. p 1, r 1/2.
    assert scores["relations_f_m2"] == pytest.approx(f1(1, 1 / 2))
    assert scores["relations_f_m2_rsman"] is None  # no entity with three mentions
    # employer: predicted 2, correct 1, gold 1. based in: predicted 0, gold 1. lives in: right.
    assert scores["relations_per_type"]["employer"] == pytest.approx({"p": 1 / 2, "r": 1.0, "f": f1(1 / 2, 1)})
    assert scores["relations_per_type"]["based in"] == {"p": 0.0, "r": 0.0, "f": 0.0}
    assert scores["relations_per_type"]["lives in"] == {"p": 1.0, "r": 1.0, "f": 1.0}


def test_rsman_cut_counts_more_than_two_mentions(vocab):
    # Ann has three mentions here (a third on "leads"), Bob one: in M2 of RSMAN, not in M2 of KMGRE.
    entities = [("PER", [ANN, SHE, (7, 8)]), ("PER", [BOB]), ("ORG", [ACME1, ACME2])]
    gold = build(vocab, entities, [(0, "knows", 1), (1, "knows", 2)])
    pred = build(vocab, entities, [(0, "knows", 1)])
    scores = score(Example(pred, gold))
    assert scores["relations_f_m1"] == pytest.approx(f1(1, 1 / 2))  # gold 2, predicted 1, correct 1
    assert scores["relations_f_m2"] is None
    assert scores["relations_f_m2_rsman"] == 1.0  # gold 1, predicted 1


def test_cuts_by_frequency_by_hand(vocab):
    """Of 32 labels, 10 are head, 2 mid, 20 tail; "b10" and "c11" are as frequent as each other, so the name decides."""
    frequencies = {f"a{i}": 100 - i for i in range(9)}  # 9 of the 10
    frequencies.update({"c11": 50, "b10": 50, "m": 49}, **{f"t{i:02}": i for i in range(20)})
    entities = [("PER", [ANN]), ("ORG", [ACME1]), ("LOC", [ROME1]), ("PER", [BOB])]
    gold = build(vocab, entities, [(0, "a0", 1), (0, "b10", 1), (0, "c11", 1), (0, "m", 1), (0, "t19", 1)])
    # Head: gold a0, b10; predicted a0, and a0 of another pair: p 1/2, r 1/2.
    # Mid: gold c11, m; predicted c11: p 1, r 1/2.
    # Tail: gold t19; predicted t19, t00 and a label that training never had: p 1/3, r 1.
    found = [(0, "a0", 1), (1, "a0", 0), (0, "c11", 1), (0, "t19", 1), (0, "t00", 1), (0, "new", 1)]
    pred = build(vocab, entities, found)
    scores = score(Example(pred, gold), frequencies=frequencies)
    assert [scores[f"relations_f_{cut}"] for cut in ("head", "mid", "tail")] == pytest.approx(
        [1 / 2, f1(1, 1 / 2), f1(1 / 3, 1)]
    )
    assert score(Example(pred, gold))["relations_f_head"] is None


@pytest.mark.parametrize("n, sizes", [(1, (1, 0, 0)), (12, (10, 0, 2)), (30, (10, 0, 20)), (96, (10, 66, 20))])
def test_head_comes_first_where_labels_are_few(n, sizes):
    cuts = list(cut_by_frequency({str(i): 1 for i in range(n)}).values())
    assert tuple(cuts.count(cut) for cut in ("head", "mid", "tail")) == sizes


@pytest.mark.parametrize("level", ["mentions", "clusters", "types", "relations"])
def test_intervals_by_bootstrap(vocab, level):
    """With equal documents there is no variance; if half are right and half are wrong, the middle 95 percent
    of the draws are those of a binomial distribution."""
    gold = gold_doc(vocab)
    right, nothing = Example(gold.copy(), gold), Example(build(vocab, [], []), gold)
    key = f"{level}_f_interval"
    assert key not in score(right)
    assert score(right, right, bootstrap=10)[key] == [1.0, 1.0]
    found = score(*[right, nothing] * 50, bootstrap=2000)[key]
    # 40 to 60 of 100 documents drawn are right: recall 0.4 to 0.6 at precision 1.
    assert found == pytest.approx([f1(1, 0.4), f1(1, 0.6)], abs=0.015)
    assert score(*[right, nothing] * 50, bootstrap=2000)[key] == found  # the seed decides
    assert score(*[right, nothing] * 50, bootstrap=2000, seed=1)[key] != found
    assert score(Example(gold.copy(), Doc(vocab, words=WORDS)), bootstrap=10)[key] is None


def test_uncovered_gold_is_missed(vocab):
    """A scorer that loops over predictions sees precision only: here it would report a perfect model."""
    gold = gold_doc(vocab)
    found = build(vocab, [("PER", [ANN, SHE]), ("ORG", [ACME1, ACME2])], [(0, "employer", 1)])
    nothing = build(vocab, [], [])
    scores = score(Example(found, gold))
    assert prf(scores, "relations") == pytest.approx([1.0, 1 / 3, f1(1, 1 / 3)])  # Bob and Rome were never found
    scores = score(Example(found, gold), Example(nothing, gold))
    assert prf(scores, "relations") == pytest.approx([1.0, 1 / 6, f1(1, 1 / 6)])
    assert prf(scores, "mentions") == pytest.approx([1.0, 4 / 14, f1(1, 4 / 14)])
    # A Doc without any annotation is an empty prediction, not an example to skip.
    scores = score(Example(found, gold), Example(Doc(vocab, words=WORDS), gold))
    assert prf(scores, "relations") == pytest.approx([1.0, 1 / 6, f1(1, 1 / 6)])
    assert prf(scores, "types") == pytest.approx([1.0, 2 / 8, f1(1, 2 / 8)])


def test_no_gold_relations_but_predicted_ones(vocab):
    gold = gold_doc(vocab)
    empty = gold_doc(vocab)
    set_relation_data(empty, [])
    scores = score(Example(gold.copy(), empty))
    assert prf(scores, "relations") == [0.0, 0.0, 0.0]
    # Beside a perfect example they cost precision: 3 of 6.
    scores = score(Example(gold.copy(), empty), Example(gold.copy(), gold))
    assert prf(scores, "relations") == pytest.approx([1 / 2, 1.0, f1(1 / 2, 1)])
    # None annotated and none found: nothing to score.
    assert prf(score(Example(empty.copy(), empty)), "relations") == [None] * 3


def test_duplicates_count_once(vocab):
    gold = gold_doc(vocab)
    entities = [("PER", [ANN, SHE, ANN]), ("ORG", [ACME1, ACME2]), ("LOC", [ROME1, ROME2, ROME2]), ("PER", [BOB])]
    entities += [("ORG", [ACME2, ACME1])]  # a cluster twice
    relations = [(0, "employer", 1), (0, "employer", 4), (0, "employer", 1), (1, "based in", 2), (3, "lives in", 2)]
    double = build(vocab, entities, relations)
    for pred, ref in ((gold, double), (double, gold), (double, double)):
        scores = score(Example(pred.copy(), ref))
        for name in ("mentions", "clusters", "types", "relations", "relations_untyped"):
            assert prf(scores, name) == [1.0, 1.0, 1.0]
    # Counted as three mentions, Ann of `double` would fall into the M2 of RSMAN.
    assert score(Example(gold.copy(), double))["relations_f_m2_rsman"] is None


def test_span_in_two_entities_of_different_type(vocab):
    # As "three-year" in DocRED, TIME and NUM: one mention, one cluster, two entities.
    gold = build(vocab, [("TIME", [ANN]), ("NUM", [ANN]), ("PER", [BOB])], [(0, "of", 2)])
    scores = score(Example(build(vocab, [("NUM", [ANN]), ("PER", [BOB])], [(0, "of", 1)]), gold))
    assert prf(scores, "mentions") == prf(scores, "clusters") == [1.0, 1.0, 1.0]
    assert prf(scores, "types") == pytest.approx([1.0, 2 / 3, f1(1, 2 / 3)])
    assert prf(scores, "relations") == [0.0, 0.0, 0.0]
    assert prf(scores, "relations_untyped") == [1.0, 1.0, 1.0]


def test_missing_layers_are_left_out(vocab):
    full = gold_doc(vocab)
    bare = Doc(vocab, words=WORDS)
    no_relations = gold_doc(vocab)
    set_relation_data(no_relations, None)
    # Nothing annotated anywhere: no value, whatever was predicted.
    scores = score(Example(full.copy(), bare), facts=set())
    assert scores.pop("relations_per_type") == {}
    assert set(scores.values()) == {None}
    # Predictions on unannotated documents cost nothing beside an annotated one.
    scores = score(Example(full.copy(), bare), Example(full.copy(), no_relations), Example(full.copy(), full))
    for name in ("mentions", "clusters", "types", "relations"):
        assert prf(scores, name) == [1.0, 1.0, 1.0]
    # The reference has no relations: the other levels are scored.
    scores = score(Example(full.copy(), no_relations))
    assert scores["types_f"] == 1.0 and scores["relations_f"] is None and scores["relations_ign_f"] is None


def test_gold_without_types_accepts_any(vocab):
    entities = [("", [ANN, SHE]), ("ORG", [ACME1, ACME2]), ("LOC", [ROME1, ROME2])]
    gold = build(vocab, entities, [(0, "employer", 1), (1, "based in", 2)])
    entities = [("PER", [ANN, SHE]), ("ORG", [ACME1, ACME2]), ("ORG", [ROME1, ROME2])]
    scores = score(Example(build(vocab, entities, [(0, "employer", 1), (1, "based in", 2)]), gold))
    assert prf(scores, "types") == [None] * 3  # left out: not every cluster is typed
    assert prf(scores, "relations") == pytest.approx([1 / 2, 1 / 2, 1 / 2])  # Rome's type is still wrong


def test_without_gold_sentences_neither_intra_nor_inter(vocab):
    gold = gold_doc(vocab)
    unsplit = Doc(vocab, words=WORDS)
    set_clusters(unsplit, [[ANN, SHE], [ACME1, ACME2]], ["PER", "ORG"])
    set_relations(unsplit, [(0, "employer", 1)])
    scores = score(Example(gold.copy(), unsplit))
    assert scores["relations_f"] == pytest.approx(f1(1 / 3, 1))
    assert scores["relations_f_intra"] is scores["relations_f_inter"] is None


def test_sentences_are_those_of_the_reference(vocab):
    gold = gold_doc(vocab)
    pred = gold_doc(vocab)
    for token in pred:
        token.is_sent_start = token.i % 2 == 0  # predicted sentences of two tokens
    scores = score(Example(pred, gold))
    assert scores["relations_f_intra"] == 1.0 and scores["relations_f_inter"] is None


def test_mention_across_two_sentences_lies_in_both(vocab):
    # A mention over ". She" (5, 7) touches sentences 0 and 1; Bob is in 2, Acme in 0, Rome (first) in 1.
    entities = [("X", [(5, 7)]), ("ORG", [ACME1]), ("LOC", [ROME1]), ("PER", [BOB])]
    gold = build(vocab, entities, [(0, "r", 1), (0, "r", 2), (0, "r", 3)])
    pred = build(vocab, entities, [(0, "r", 1), (0, "r", 2)])
    scores = score(Example(pred, gold))
    assert scores["relations_f_intra"] == 1.0  # both within a sentence, both found
    assert scores["relations_f_inter"] == 0.0  # the third is missed


def test_tokenisation_may_differ(vocab):
    gold = gold_doc(vocab)
    # The same text, tokenised differently: "Ann Lee" in one token, "Acme" and "Bob" in two.
    words = ["Ann Lee", "works", "at", "Ac", "me", ".", "She", "leads", "Acme", "in", "Rome", ".", "B", "ob", "lives"]
    words += ["in", "Rome", "."]
    spaces = [word not in ("Ac", "B") for word in words]
    pred = Doc(vocab, words=words, spaces=spaces)
    assert pred.text == gold.text and len(pred) != len(gold)
    entities = [[(0, 1), (6, 7)], [(3, 5), (8, 9)], [(10, 11), (16, 17)], [(12, 14)]]
    set_mentions(pred, [m for e in entities for m in e])
    set_clusters(pred, entities, ["PER", "ORG", "LOC", "PER"])
    set_relations(pred, [(0, "employer", 1), (1, "based in", 2), (3, "lives in", 2)])
    scores = score(Example(pred, gold))
    for name in ("mentions", "clusters", "types", "relations"):
        assert prf(scores, name) == [1.0, 1.0, 1.0]
    assert scores["relations_f_intra"] == 1.0


def support(doc, *sentences):
    """Write the numbers of the supporting sentences of each relation."""
    data = get_relation_data(doc)
    assert len(data) == len(sentences)
    set_relation_data(doc, [{**record, "sentences": list(s)} for record, s in zip(data, sentences)])
    return doc


def test_evidence_by_hand(vocab):
    gold = support(gold_doc(vocab), [0, 1], [1], [])  # the evidence of "lives in" is not annotated
    # Predicted: employer with sentence 0 only; "based in" with 1 and, wrongly, 2; "lives in" counts neither way; and a
    # false relation, whose sentences are wrong.
    pred = gold_doc(vocab)
    set_relations(pred, [(0, "employer", 1), (1, "based in", 2), (3, "lives in", 2), (3, "employer", 1)])
    support(pred, [0], [1, 2], [2], [0, 2])
    # Gold: 2 + 1 = 3. Predicted: 1 + 2 + 2 = 5, of which 2 correct.
    assert prf(score(Example(pred, gold)), "evidence") == pytest.approx([2 / 5, 2 / 3, f1(2 / 5, 2 / 3)])
    # A wrong type makes the relation wrong, and its evidence with it; where gold has no type, any will do.
    entities = [("PER", [ANN, SHE]), ("ORG", [ACME1, ACME2]), ("ORG", [ROME1, ROME2])]
    mistyped = support(build(vocab, entities, [(0, "employer", 1), (1, "based in", 2)]), [0, 1], [1])
    assert prf(score(Example(mistyped, gold)), "evidence") == pytest.approx([2 / 3, 2 / 3, 2 / 3])
    set_clusters(gold, [[ANN, SHE], [ACME1, ACME2], [ROME1, ROME2], [BOB]], ["PER", "ORG", "", "PER"])
    assert prf(score(Example(mistyped, gold)), "evidence") == [1.0, 1.0, 1.0]


def test_evidence_counts_sentences_of_the_reference(vocab):
    gold = support(gold_doc(vocab), [0, 1], [1], [2])
    pred = gold_doc(vocab)
    for token in pred:
        token.is_sent_start = token.i in (0, 12)  # the first two sentences in one
    support(pred, [0], [0], [1])
    # employer: 0 and 1, both correct; based in: 0 wrong, 1 correct; lives in: correct. 4 of 5, gold 4.
    assert prf(score(Example(pred, gold)), "evidence") == pytest.approx([4 / 5, 1.0, f1(4 / 5, 1)])
    unsplit = Doc(vocab, words=WORDS)
    set_clusters(unsplit, [[ANN, SHE], [ACME1, ACME2]], ["PER", "ORG"])
    set_relations(unsplit, [(0, "employer", 1)])
    assert prf(score(Example(pred, support(unsplit, [0]))), "evidence") == [None] * 3


def test_direction_and_label_matter(vocab):
    gold = gold_doc(vocab)
    pred = gold_doc(vocab)
    set_relations(pred, [(1, "employer", 0), (1, "lives in", 2), (3, "lives in", 2)])
    assert prf(score(Example(pred, gold)), "relations") == pytest.approx([1 / 3, 1 / 3, 1 / 3])


def test_entities_may_be_numbered_otherwise(vocab):
    entities = [("LOC", [ROME2, ROME1]), ("PER", [BOB]), ("ORG", [ACME2, ACME1]), ("PER", [SHE, ANN])]
    pred = build(vocab, entities, [(1, "lives in", 0), (3, "employer", 2), (2, "based in", 0)])
    assert prf(score(Example(pred, gold_doc(vocab))), "relations") == [1.0, 1.0, 1.0]


def test_entity_without_a_mention(vocab):
    # A concept of DWIE that the text never names: no cluster to find, but its relation counts as missed.
    gold = build(vocab, [("PER", [ANN]), ("ORG", []), ("PER", [BOB])], [(0, "employer", 1), (0, "knows", 2)])
    pred = build(vocab, [("PER", [ANN]), ("PER", [BOB])], [(0, "knows", 1)])
    scores = score(Example(pred, gold))
    assert prf(scores, "clusters") == [1.0, 1.0, 1.0]
    assert prf(scores, "relations") == pytest.approx([1.0, 1 / 2, f1(1, 1 / 2)])


def test_other_names_of_the_layers(vocab):
    places = Places("names", "other", "other_relations", "other_entities")
    install_extensions(places)
    doc = Doc(vocab, words=WORDS)
    set_mentions(doc, [ANN, BOB], places=places)
    set_clusters(doc, [[ANN], [BOB]], ["PER", "PER"], places=places)
    set_relations(doc, [(0, "knows", 1)], places)
    names = {"spans_key": "names", "span_cluster_prefix": "other", "relations_attr": "other_relations"}
    scores = score(Example(doc.copy(), doc), threshold=0.5, **names)
    assert scores["mentions_f"] == scores["types_f"] == scores["relations_f"] == 1.0
    assert score(Example(doc.copy(), doc))["relations_f"] is None


def test_texts_must_agree(vocab):
    gold = gold_doc(vocab)
    pred = Doc(vocab, words=[*WORDS[:-1], "!"])
    for scorer in SCORERS:
        with pytest.raises(ValueError, match="R103"):
            scorer([Example(pred, gold)])


def test_relation_to_an_unknown_entity(vocab):
    gold = gold_doc(vocab)
    pred = gold_doc(vocab)
    set_clusters(pred, [[ANN]], ["PER"])  # relations still name entity 3
    with pytest.raises(ValueError, match="R101"):
        score(Example(pred, gold))


def test_registered():
    for level in ("mention", "cluster", "type", "relation"):
        scorer = spacy.registry.scorers.get(f"spacy-docre.{level}_scorer.v1")()
        assert scorer([])[f"{level}s_f"] is None
