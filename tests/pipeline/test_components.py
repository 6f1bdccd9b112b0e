"""What each component promises by itself: empty input, missing layers, settings, labels, errors."""

import warnings
from typing import Any, Callable

import numpy
import pytest
import spacy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Adam

from spacy_docre.doc.layers import get_clusters, set_clusters, set_mentions
from spacy_docre.doc.records import set_relation_data
from spacy_docre.pipeline.clusters import candidate_pairs, group_spans, link, same_cluster
from spacy_docre.pipeline.entity_pairs import all_pairs, near_pairs
from spacy_docre.pipeline.evidence import keep_best
from spacy_docre.pipeline.mentions import draw_negative_spans, enumerate_spans
from toy import make_doc
from trained import finish, layers_of

COMPONENTS = ["docre_mentions", "docre_clusters", "docre_types", "docre_relations"]
TEXT = "Mara Lind founded Acme in Oslo. Lind left Acme in 1999."


@pytest.fixture
def nlp(make_nlp) -> Language:
    return make_nlp()


# Candidates, clusters, pairs


@given(st.lists(st.integers(1, 6), max_size=5), st.integers(1, 4))
def test_spans_are_those_within_sentences(lengths, max_length):
    words = [f"w{i}" for i in range(sum(lengths))]
    starts = numpy.cumsum([0] + lengths).tolist()
    doc = Doc(spacy.blank("en").vocab, words=words, sent_starts=[i in starts for i in range(len(words))])
    slow = [
        (s, e)
        for s in range(len(doc))
        for e in range(s + 1, min(s + max_length, len(doc)) + 1)
        if all(i not in starts for i in range(s + 1, e))
    ]
    assert [tuple(span) for span in enumerate_spans(doc, max_length).tolist()] == slow


def test_no_span_has_white_space_at_its_ends_or_runs_over_an_empty_line():
    doc = Doc(spacy.blank("en").vocab, words=["Ann", "\n", "Lee", "\n\n", "Oslo", " "])
    assert [doc[s:e].text.split() for s, e in enumerate_spans(doc, 6).tolist()] == [
        ["Ann"],
        ["Ann", "Lee"],
        ["Lee"],
        ["Oslo"],
    ]


@pytest.fixture
def long_docs(nlp: Language):
    """Two Docs of 60 tokens with entities at tokens 0 and 40, 50, 20."""
    docs = []
    for _ in range(2):
        doc = Doc(nlp.vocab, words=["w"] * 60, sent_starts=[True] + [False] * 59)
        set_clusters(doc, [[(0, 1), (40, 41)], [(50, 52)], [(20, 21)]])
        docs.append(doc)
    return docs


def test_pairs_too_far_apart_are_not_looked_at(nlp: Language, long_docs):
    relations = nlp.get_pipe("docre_relations")
    relations.cfg["max_pair_distance"] = 20
    with pytest.warns(UserWarning, match="RW09.* 2 of 6 .*docre_skipped"):
        batch = relations.make_batch(long_docs)
    assert list(zip(batch.head.tolist(), batch.tail.tolist())) == [
        *[(0, 1), (0, 2), (1, 0), (2, 0)],
        *[(3, 4), (3, 5), (4, 3), (5, 3)],
    ]
    assert [doc._.docre_skipped for doc in long_docs] == [{"docre_relations: entity pairs": 2}] * 2
    with warnings.catch_warnings():  # said once
        warnings.simplefilter("error")
        relations.make_batch(long_docs)
    relations.cfg["max_pair_distance"] = 60  # as long as the documents: all of their pairs
    assert len(relations.make_batch(long_docs)) == 12
    assert long_docs[0]._.docre_skipped == {"docre_relations: entity pairs": 0}


def test_entities_beyond_the_limit_take_no_part(nlp: Language, long_docs):
    """Those with most mentions stay; of entities with equally many the first."""
    relations = nlp.get_pipe("docre_relations")
    relations.cfg["max_entities"] = 2
    with pytest.warns(UserWarning, match="RW09.* 4 of 6"):
        batch = relations.make_batch(long_docs)
    assert list(zip(batch.head.tolist(), batch.tail.tolist())) == [(0, 1), (1, 0), (3, 4), (4, 3)]


@given(st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=3), max_size=8), st.integers(0, 30))
def test_near_pairs_equal_slow_twin(starts, limit):
    clusters = [sorted((s, s + 1) for s in found) for found in starts]
    slow = [
        [i, j]
        for i, x in enumerate(clusters)
        for j, y in enumerate(clusters)
        if i != j and min(abs(a - b) for a, _ in x for b, _ in y) <= limit
    ]
    assert near_pairs(clusters, limit).tolist() == slow


def test_relations_do_not_depend_on_how_many_pairs_are_scored_at_a_time(nlp: Language):
    relations = nlp.get_pipe("docre_relations")
    relations.cfg["threshold"] = 0.0
    docs = [
        make_doc(vocab=nlp.vocab),
        make_doc(["Nothing", "."], entities=[], relations=[], sents=(0,), vocab=nlp.vocab),
    ]
    docs.append(make_doc(vocab=nlp.vocab))
    nlp.get_pipe("docre_transformer").set_annotations(docs, nlp.get_pipe("docre_transformer").predict(docs))
    whole = relations.predict(docs)
    assert [len(found) > 0 for found in whole] == [True, False, True]
    for n in (1, 5, 23):
        relations.cfg["max_pairs"] = n
        for found, expected in zip(relations.predict(docs), whole):
            assert [(r["head"], r["label"], r["tail"], r["sentences"]) for r in found] == [
                (r["head"], r["label"], r["tail"], r["sentences"]) for r in expected
            ]
            assert [r["score"] for r in found] == pytest.approx([r["score"] for r in expected], abs=1e-6)


def test_mentions_far_apart_are_compared_by_their_names(nlp: Language):
    gap = ["w"] * 20
    words = "Genc Ruli met Ann .".split() + gap + "Ruli the Genk Ruly the Anne . Johannesburg".split() + gap
    words += "Johanesburg Tirana".split()
    doc = Doc(nlp.vocab, words=words)
    spans = [(0, 2), (3, 4), (25, 26), (27, 29), (30, 31), (32, 33), (53, 54), (54, 55)]
    texts = [doc[s:e].text for s, e in spans]
    found = {(texts[i], texts[j]) for i, j in candidate_pairs(doc, spans, 10)}
    close = {(texts[i], texts[j]) for i in range(8) for j in range(i + 1, 8) if spans[j][0] - spans[i][0] <= 10}
    by_name = {("Genc Ruli", "Ruli"), ("Johannesburg", "Johanesburg"), ("Genc Ruli", "Genk Ruly")}
    assert found == close | by_name  # "Ann" and "Anne" are too short to take a letter's difference for a slip
    clusters = nlp.get_pipe("docre_clusters")
    clusters.cfg["max_pair_distance"] = 10
    set_mentions(doc, spans)
    with pytest.warns(UserWarning, match="RW12"):
        batch = clusters.make_batch([doc])
    assert len(batch) == len(found)
    assert doc._.docre_skipped == {"docre_clusters: mention pairs": 28 - len(found)}


@given(st.sets(st.tuples(st.integers(0, 11), st.integers(1, 4)), max_size=5), st.integers(0, 30))
def test_negatives_are_no_mentions_and_half_lie_inside_some(gold, n):
    gold_spans = numpy.asarray([(s, s + k) for s, k in sorted(gold)], dtype="int64").reshape(-1, 2)
    doc = Doc(spacy.blank("en").vocab, words=["w"] * 16)
    candidates = enumerate_spans(doc, 4)
    drawn = draw_negative_spans(candidates, gold_spans, n)
    known = {tuple(span) for span in gold_spans.tolist()}
    chosen = [tuple(span) for span in drawn.tolist()]
    assert len(set(chosen)) == len(chosen) and not known & set(chosen)
    inside = {c for c in map(tuple, candidates.tolist()) if any(s <= c[0] and c[1] <= e for s, e in known)} - known
    outside = set(map(tuple, candidates.tolist())) - inside - known
    n_hard = min(n // 2, len(inside))
    assert len(inside & set(chosen)) == n_hard
    assert len(outside & set(chosen)) == min(n - n_hard, len(outside))


@given(st.integers(0, 7), st.randoms(use_true_random=False), st.floats(0.05, 0.95), st.floats(0.0, 1.0))
@settings(max_examples=80)
def test_complete_linkage_equals_slow_twin(n, random, threshold, share):
    """Join the two clusters whose least similar mentions are most similar, as long as those reach the threshold. Only a
    share of the pairs are candidates."""
    score = numpy.zeros((n, n))
    ranks = random.sample(range(n * n), n * (n - 1) // 2)  # no ties: which of two equals comes first is left open
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n) if random.random() < share]
    for i, j in pairs:
        score[i, j] = score[j, i] = (ranks.pop() + 0.5) / (n * n)
    clusters = [[i] for i in range(n)]
    while True:
        best = max(
            (
                (min(score[a, b] for a in x for b in y), i, j)
                for i, x in enumerate(clusters)
                for j, y in enumerate(clusters)
                if i < j
            ),
            default=(-1.0, 0, 0),
        )
        if best[0] < threshold:
            break
        clusters[best[1]] += clusters.pop(best[2])
    first, second = numpy.asarray(pairs, dtype="int64").reshape(-1, 2).T
    groups = link(first, second, score[first, second], n, threshold)
    found = group_spans([(i, i + 1) for i in range(n)], groups)
    assert sorted(sorted(s for s, _ in c) for c in found) == sorted(sorted(c) for c in clusters)


def test_mentions_in_two_clusters_corefer_with_both():
    same = same_cluster([(0, 1), (2, 3), (4, 5)], [[(0, 1), (2, 3)], [(2, 3), (4, 5)]])
    assert same.tolist() == [[True, True, False], [True, True, True], [False, True, True]]


def test_pairs_run_head_by_head():
    assert all_pairs(3).tolist() == [[0, 1], [0, 2], [1, 0], [1, 2], [2, 0], [2, 1]]
    assert all_pairs(1).shape == all_pairs(0).shape == (0, 2)


def test_best_relations_of_a_pair():
    score = numpy.asarray([[0.9, 0.8, 0.7], [0.5, 0.51, 0.2], [0.6, 0.6, 0.6]])
    pair, label = keep_best(score, 0.5, 2, strict=True)
    assert list(zip(pair.tolist(), label.tolist())) == [(0, 0), (0, 1), (1, 1), (2, 0), (2, 1)]
    pair, label = keep_best(score, 0.5, 2, strict=False)
    assert list(zip(pair.tolist(), label.tolist())) == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]


def test_gold_matrix_has_each_relation_at_its_pair(nlp: Language):
    relations = nlp.get_pipe("docre_relations")
    number = {label: i for i, label in enumerate(relations.labels)}
    a, b = relations.labels[:2]
    doc = nlp.make_doc(TEXT)
    reference = nlp.make_doc(TEXT)
    set_mentions(reference, [(0, 2), (3, 4), (5, 6)])
    set_clusters(reference, [[(0, 2)], [(3, 4)], [(5, 6)]], ["PER", "ORG", "LOC"])
    reference._.relations = [(0, a, 2), (0, b, 2), (2, a, 1)]
    batch, (gold, of_doc) = relations.make_training_batch([Example(doc, reference)])
    found = {(int(batch.head[p]), int(batch.tail[p]), r) for p, r in numpy.argwhere(gold).tolist()}
    assert found == {(0, 2, number[a]), (0, 2, number[b]), (2, 1, number[a])}


# Empty and missing input


@pytest.mark.parametrize("text", ["", " ", "\n\n", "Hello", "\xa0"])
def test_empty_documents_give_empty_results(nlp: Language, text: str):
    doc = nlp(text)
    assert doc._.relations == ()
    assert "mentions" in doc.spans


def test_one_entity_has_no_relations(nlp: Language):
    doc = nlp.make_doc(TEXT)
    set_mentions(doc, [(0, 2)])
    set_clusters(doc, [[(0, 2)]], ["PER"])
    doc._.docre_given = ["mentions", "clusters", "types"]
    assert nlp(doc)._.relations == () and len(doc._.entities) == 1


@pytest.mark.parametrize("missing", COMPONENTS[:2])
def test_missing_annotation_gives_an_empty_result(nlp: Language, missing: str):
    nlp.remove_pipe(missing)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        doc = nlp(TEXT)
    assert doc._.relations == () and not get_clusters(doc)


def test_missing_mentions_warn_once(nlp: Language):
    nlp.remove_pipe("docre_mentions")
    with pytest.warns(UserWarning, match="RW02"):
        nlp(TEXT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nlp(TEXT)


@pytest.mark.parametrize("finder", ["docre_mentions", "docre_adopt"])
def test_missing_sentences_are_told_once(nlp: Language, finder):
    """By what looks for mentions within sentences, else by what takes the document for a relation's sentence."""
    nlp.remove_pipe("sentencizer")
    nlp.get_pipe("docre_relations").cfg["threshold"] = 0.0
    if finder == "docre_adopt":
        for name in ("docre_mentions", "docre_clusters", "docre_types"):
            nlp.remove_pipe(name)
        ruler: Any = nlp.add_pipe("entity_ruler", before="docre_relations")
        ruler.add_patterns([{"label": "PER", "pattern": name} for name in ("Mara", "Lind")])
        nlp.add_pipe("docre_adopt", before="docre_relations")
    with pytest.warns(UserWarning) as caught:
        _, doc, _ = [nlp(text) for text in ("", "Mara met Lind. Lind left.", "Lind met Mara.")]
    (told,) = [str(w.message) for w in caught if "[RW13]" not in str(w.message)]
    teller = finder if finder == "docre_mentions" else "docre_relations"
    assert told.startswith(f"[RW01] '{teller}': 1 document(s)")
    assert finder == "docre_mentions" or {r.sentences for r in doc._.relations} == {(doc[:],)}


def test_missing_transformer_is_an_error(nlp: Language):
    nlp.remove_pipe("docre_transformer")
    with pytest.raises(ValueError, match="R201"):
        nlp(TEXT)


def test_a_rerun_replaces_earlier_results(nlp: Language):
    nlp.get_pipe("docre_mentions").cfg["threshold"] = 0.0
    doc = nlp(TEXT)
    assert len(doc._.entities) > 1
    again = nlp.make_doc(TEXT)
    set_clusters(again, [[(i, i + 1)] for i in range(12)])
    set_relation_data(again, [{"head": 11, "label": "x", "tail": 0}])
    nlp.get_pipe("docre_mentions").cfg["threshold"] = 1.0
    assert nlp(again)._.entities == () and again._.relations == ()


def test_max_mentions_keeps_the_best(nlp: Language):
    mentions = nlp.get_pipe("docre_mentions")
    mentions.cfg.update(threshold=0.0, max_mentions=10.0)
    doc = nlp(TEXT)
    scored = sorted(zip(doc.spans["mentions"].attrs["scores"], [(s.start, s.end) for s in doc.spans["mentions"]]))
    mentions.cfg["max_mentions"] = 0.2
    with pytest.warns(UserWarning, match="RW13"):
        few = nlp(TEXT)
    assert few._.docre_skipped == {"docre_mentions: mentions": len(scored) - 3}
    wanted = {span for _, span in scored[-3:]}  # 0.2 x 13 tokens, rounded up
    assert len(doc) == 13 and {(s.start, s.end) for s in few.spans["mentions"]} == wanted


# One bad document


def test_a_bad_document_spoils_nothing_for_the_others(nlp: Language):
    seen = []
    nlp.set_error_handler(lambda name, proc, docs, error: seen.append((name, [d.text for d in docs])))
    relations = nlp.get_pipe("docre_relations")
    original = relations.make_batch

    def fail(docs):
        if any("Oslo" in d.text for d in docs):
            raise RuntimeError("no")
        return original(docs)

    relations.make_batch = fail
    docs = list(nlp.pipe(["One.", TEXT, "Two."]))
    assert [d.text for d in docs] == ["One.", "Two."]
    assert seen == [("docre_relations", [TEXT])]


# Settings and labels


@pytest.mark.parametrize(
    "setting,value",
    [
        ("components__docre_mentions__threshold", 1.5),
        ("components__docre_clusters__threshold", -0.1),
        ("components__docre_relations__threshold", 2.0),
        ("components__docre_relations__top_k", 0),
        ("components__docre_relations__temperature", 0.0),
        ("components__docre_mentions__max_span_length", 0),
        ("components__docre_clusters__max_pair_distance", -1),
        ("components__docre_relations__max_pair_distance", -1),
        ("components__docre_relations__max_pairs", 0),
    ],
)
def test_settings_out_of_range_are_refused(make_nlp: Callable, setting: str, value: float):
    with pytest.raises(ValueError, match="R206"):
        make_nlp(**{setting: value})


def test_wrong_types_and_names_are_refused(make_nlp: Callable):
    for setting, value in [("threshold", "high"), ("treshold", 0.5)]:
        with pytest.raises(ValueError, match=setting):
            make_nlp(**{f"components__docre_mentions__{setting}": value})


def test_unknown_pooling_is_refused(make_nlp: Callable):
    with pytest.raises(ValueError, match="R206"):
        make_nlp(components__docre_relations__model__head__mention_pooling="median")


def test_unknown_encoder_is_refused(make_nlp: Callable):
    for name in ("package:no_such_package_here", "./no/such/folder"):
        with pytest.raises(ValueError, match="R303"):
            make_nlp(vars__encoder=name)


def test_missing_corpus_is_refused(make_nlp: Callable):
    with pytest.raises(ValueError, match="R104"):
        make_nlp(paths__train="no/such/corpus.spacy")


def test_labels_missing_from_the_label_file_are_refused(nlp: Language, sample_docs):
    examples = [Example(nlp.make_doc(d.text), d) for d in sample_docs]
    with pytest.raises(ValueError, match="R204.*country"):
        nlp.get_pipe("docre_relations").initialize(lambda: examples, labels={"employer": "P108"})
    with pytest.raises(ValueError, match="R204.*PER"):
        nlp.get_pipe("docre_types").initialize(lambda: examples, labels=["ORG"])


@pytest.mark.parametrize("name,code", [*zip(COMPONENTS, ["R210", "R210", "R203", "R203"])])
def test_data_without_the_layer_is_refused(nlp: Language, name: str, code: str):
    bare = [Example(nlp.make_doc(TEXT), nlp.make_doc(TEXT))]
    with pytest.raises(ValueError, match=code):
        nlp.get_pipe(name).initialize(lambda: bare)


def test_unlearned_labels_warn_once(nlp: Language):
    reference = nlp.make_doc(TEXT)
    set_mentions(reference, [(0, 2), (3, 4)])
    set_clusters(reference, [[(0, 2)], [(3, 4)]], ["PER", "ALIEN"])
    reference._.relations = [(0, "abducted by", 1)]
    example = Example(nlp.make_doc(TEXT), reference)
    with pytest.warns(UserWarning, match="RW06.*(ALIEN|abducted by)"):
        nlp.update([example], sgd=False)


def test_rehearsal_is_refused(nlp: Language, sample_docs):
    examples = [Example(nlp.make_doc(d.text), d) for d in sample_docs[:2]]
    with pytest.raises(ValueError, match="R207"):
        nlp.rehearse(examples, sgd=Adam(0.001))


# Training


def test_documents_without_relations_train_the_rest(nlp: Language, sample_docs):
    reference = sample_docs[0].copy()
    set_relation_data(reference, None)
    example = Example(nlp.make_doc(reference.text), reference)
    before = {k: v.clone() for k, v in nlp.get_pipe("docre_relations").module.state_dict().items()}
    losses: dict = {}
    nlp.update([example], sgd=Adam(0.01, L2=0.01), losses=losses)
    assert losses["docre_relations"] == 0 and losses["docre_mentions"] > 0 and losses["docre_clusters"] > 0
    after = nlp.get_pipe("docre_relations").module.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)


def test_every_parameter_gets_a_gradient(nlp: Language, sample_docs):
    examples = [Example(nlp.make_doc(d.text), d) for d in sample_docs[:4]]
    nlp.update(examples, sgd=False, annotates=["sentencizer"])
    nlp.get_pipe("docre_transformer")._backprop()
    for name in COMPONENTS:
        module = nlp.get_pipe(name).module
        assert [n for n, p in module.named_parameters() if p.grad is None or not p.grad.any()] == []
    encoder = nlp.get_pipe("docre_transformer").module
    untouched = {n for n, p in encoder.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())}
    # A pooler is not used, and a key's bias shifts all scores of a row alike, so that softmax does not see it.
    assert all("pooler" in n or n.endswith("key.bias") for n in untouched), untouched


def test_scores_do_not_depend_on_the_batch(nlp: Language, sample_docs):
    texts = [d.text for d in sample_docs[:6]]
    nlp.get_pipe("docre_mentions").cfg["threshold"] = 0.45
    one_by_one = [nlp(text) for text in texts]
    for batch_size in (2, 6):
        for doc, alone in zip(nlp.pipe(texts, batch_size=batch_size), one_by_one, strict=True):
            for layer in ("mentions", "entities"):
                assert layers_of(doc)[layer] == layers_of(alone)[layer]
            # Scores differ by rounding, and with them the order of those that are nearly equal.
            found, wanted = ({(r.head.id, r.label, r.tail.id): r for r in d._.relations} for d in (doc, alone))
            assert wanted.keys() == found.keys()
            for key, relation in wanted.items():
                assert found[key].score == pytest.approx(relation.score, abs=1e-5)
                assert [s.start for s in found[key].sentences] == [s.start for s in relation.sentences]
                weights = [[e.weight for e in r.evidence] for r in (found[key], relation)]
                assert weights[0] == pytest.approx(weights[1], abs=1e-4)


def test_relations_see_gold_entities_in_training(nlp: Language, sample_docs):
    """Whatever the components before predict, pairs are made of the reference's clusters."""
    reference = sample_docs[0]
    example = Example(nlp.make_doc(reference.text), reference)
    n = len(get_clusters(reference))
    batch, _ = nlp.get_pipe("docre_relations").make_training_batch([example])
    assert len(batch) == n * (n - 1)


def test_update_and_finish_keep_the_default_order(nlp: Language, sample_docs):
    """nlp.update(sgd=...) calls finish_update of the encoder before its listeners ran: nothing may be lost."""
    examples = [Example(nlp.make_doc(d.text), d) for d in sample_docs[:3]]
    encoder = nlp.get_pipe("docre_transformer").module
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    nlp.update(examples, sgd=Adam(0.01, L2=0.0), annotates=["sentencizer"])
    nlp(TEXT)  # settles what the batch left over
    after = encoder.state_dict()
    changed = {k for k in before if not torch.equal(before[k], after[k])}
    assert any("attention" in k for k in changed)
    assert not any("word_embeddings" in k for k in changed)  # frozen by the config


def test_both_ways_to_update_agree(make_nlp, sample_docs):
    def weights(in_update: bool) -> torch.Tensor:
        nlp = make_nlp()
        examples = [Example(nlp.make_doc(d.text), d) for d in sample_docs[:3]]
        optimizer = Adam(0.01, L2=0.0, use_averages=False)
        numpy.random.seed(0)
        for _ in range(3):
            nlp.update(examples, sgd=optimizer if in_update else False, annotates=["sentencizer"])
            if not in_update:
                finish(nlp, optimizer)
        nlp("Settle.")
        state = nlp.get_pipe("docre_transformer").module.state_dict()
        return torch.cat([t.flatten().float() for t in state.values()])

    assert torch.allclose(weights(True), weights(False), atol=1e-5)
