"""Ign F1 and the facts that it leaves out."""

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, DocBin
from spacy.training import Example

from spacy_docre.doc.layers import set_clusters
from spacy_docre.doc.views import set_relations
from spacy_docre.scoring import collect_facts, load_facts, make_relation_scorer, save_facts
from spacy_docre.scoring.facts import hash_fact

VOCAB = spacy.blank("en").vocab
SCORER = make_relation_scorer()
LABELS = ("employer", "lives in")
WORDS = ["Ann", "Bob", "Acme", "Ann", "Rome", "Acme", "Bob", "Rome"]


def make_doc(entities, relations, words=WORDS):
    doc = Doc(VOCAB, words=words)
    set_clusters(doc, [[(i, i + 1) for i in tokens] for tokens in entities], ["X"] * len(entities))
    set_relations(doc, relations)
    return doc


def test_counts_by_hand():
    # Training says: Ann (0, 3) employer Acme (2). The facts are one pair of names, "Ann" being named twice.
    train = make_doc([[0, 3], [2]], [(0, "employer", 1)])
    facts = collect_facts([train])
    assert facts == {("Ann", "employer", "Acme")}
    # Entities: Ann alias Bob (0, 1), Acme (5), Rome (4). Gold: employer and two of "lives in".
    entities = [[0, 1], [5], [4]]
    gold = make_doc(entities, [(0, "employer", 1), (0, "lives in", 2), (1, "lives in", 2)])
    pred = make_doc(entities, [(0, "employer", 1), (0, "lives in", 2), (2, "lives in", 1), (2, "employer", 1)])
    scores = SCORER([Example(pred, gold)], facts=facts)
    # 4 predicted, 2 correct, 1 of them seen ("Ann" is one of the names); gold 3. Plain: p 2/4, r 2/3.
    assert scores["relations_p"] == pytest.approx(2 / 4)
    # Without seen facts: p (2 - 1) / (4 - 1) = 1/3; recall stays 2/3.
    assert scores["relations_ign_f"] == pytest.approx(2 * (1 / 3) * (2 / 3) / (1 / 3 + 2 / 3))
    assert SCORER([Example(pred, gold)])["relations_ign_f"] is None
    assert SCORER([Example(pred, gold)], facts=[])["relations_ign_f"] == scores["relations_f"]


def test_all_seen_is_zero():
    doc = make_doc([[0], [2]], [(0, "employer", 1)])
    assert SCORER([Example(doc.copy(), doc)], facts={("Ann", "employer", "Acme")})["relations_ign_f"] == 0.0


def test_wrong_predictions_stay_in_precision_though_seen():
    gold = make_doc([[0], [2], [4]], [(0, "lives in", 2)])
    pred = make_doc([[0], [2], [4]], [(0, "lives in", 2), (0, "employer", 1)])
    scores = SCORER([Example(pred, gold)], facts={("Ann", "employer", "Acme")})
    assert scores["relations_ign_f"] == pytest.approx(scores["relations_f"]) == pytest.approx(2 / 3)


def naive_ign_f(pred, gold, train):
    """DocRED's rule in loops, over documents of (names of each entity, set of triples)."""
    facts = []
    for entities, triples in train:
        for h, r, t in triples:
            for head_name in entities[h]:
                for tail_name in entities[t]:
                    facts.append((head_name, r, tail_name))
    n_correct = n_seen = n_pred = n_gold = 0
    for (entities, gold_triples), (_, pred_triples) in zip(gold, pred):
        n_gold += len(gold_triples)
        for h, r, t in pred_triples:
            n_pred += 1
            if (h, r, t) in gold_triples:
                n_correct += 1
                seen = False
                for head_name in entities[h]:
                    for tail_name in entities[t]:
                        if (head_name, r, tail_name) in facts:
                            seen = True
                if seen:
                    n_seen += 1
    precision = (n_correct - n_seen) / (n_pred - n_seen) if n_pred > n_seen else 0.0
    recall = n_correct / n_gold if n_gold else 0.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


ENTITIES = [[0, 1], [2], [3, 6], [4, 5, 7]]  # tokens: names overlap between entities
OTHER_ENTITIES = [[2, 4], [1], [0, 7], [5]]
triples = st.sets(st.tuples(st.integers(0, 3), st.sampled_from(LABELS), st.integers(0, 3)), max_size=8)


def named(entities, doc_triples):
    return [[WORDS[i] for i in tokens] for tokens in entities], doc_triples


@settings(deadline=None)
@given(st.lists(st.tuples(triples, triples), min_size=1, max_size=3), st.lists(triples, max_size=3))
def test_equals_naive_twin(pairs, train):
    gold = [named(ENTITIES, g) for g, _ in pairs]
    pred = [named(ENTITIES, p) for _, p in pairs]
    expected = naive_ign_f(pred, gold, [named(OTHER_ENTITIES, t) for t in train])
    examples = [Example(make_doc(ENTITIES, sorted(p)), make_doc(ENTITIES, sorted(g))) for g, p in pairs]
    facts = collect_facts(make_doc(OTHER_ENTITIES, sorted(t)) for t in train)
    by_name = SCORER(examples, facts=facts)["relations_ign_f"]
    by_hash = SCORER(examples, facts={hash_fact(fact) for fact in facts})["relations_ign_f"]
    assert by_name == by_hash
    if any(g or p for g, p in pairs):
        assert by_name == pytest.approx(expected)
    else:
        assert by_name is None


def test_line_break_in_a_name_does_not_hide_it():
    train = Doc(VOCAB, words=["New", "\n", "York", "Acme"], spaces=[False, False, True, False])
    set_clusters(train, [[(0, 3)], [(3, 4)]])
    set_relations(train, [(1, "based in", 0)])
    assert collect_facts([train]) == {("Acme", "based in", "New York")}


def test_file_round_trip(tmp_path):
    facts = {("Ann", "employer", "Acme"), ("Zoë", "lives in", "Århus"), ("Bob", "employer", "Acme")}
    save_facts(facts, tmp_path / "a.facts")
    assert load_facts(tmp_path / "a.facts") == {hash_fact(fact) for fact in facts}
    # Hashes can be saved again, and several files are one set of facts.
    save_facts(load_facts(tmp_path / "a.facts"), tmp_path / "b.facts")
    assert (tmp_path / "a.facts").read_bytes() == (tmp_path / "b.facts").read_bytes()
    save_facts({("New", "employer", "Fact")}, tmp_path / "c.facts")
    assert len(load_facts(tmp_path / "b.facts", tmp_path / "c.facts")) == 4


def test_hash_is_the_same_on_every_machine():
    assert hash_fact(("Ann", "employer", "Acme")) == 11104322693169032949


def test_wrong_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="R104"):
        load_facts(tmp_path / "none.facts")
    (tmp_path / "text.facts").write_text("Ann employer Acme")
    DocBin(docs=[make_doc([[0]], [])]).to_disk(tmp_path / "docs.spacy")
    for name in ("text.facts", "docs.spacy"):
        with pytest.raises(ValueError, match="R130"):
            load_facts(tmp_path / name)
