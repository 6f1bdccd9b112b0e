"""From mentions to entities: the rule, and its effect on relations."""

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st

from spacy_docre.readers.faults import Faults
from spacy_docre.readers.lift import Annotation, Lift, group, read_annotations
from spacy_docre.readers.offsets import Mention
from spacy_docre.writers.jsonl import doc_to_record

NLP = spacy.blank("en")


@pytest.mark.parametrize(
    "links,by_text,expected",
    [
        ([], False, ["0", "1", "2", "3", "4"]),
        ([], True, ["024", "13"]),
        ([(0, 1), (1, 3)], False, ["013", "2", "4"]),
        ([(0, 1)], True, ["01234"]),  # 3 has the text of 1, and 2 and 4 that of 0
        ([(2, 1)], True, ["01234"]),  # 0 comes before the one with a link
        ([(0, 0), (2, 2)], True, ["04", "13", "2"]),  # two mentions of one text with separate coreference stay separate
    ],
)
def test_group(links, by_text, expected):
    """Mentions 0, 2, 4 have one text, 1 and 3 another."""
    clusters = group(range(5), links, (lambda name: name % 2) if by_text else None)
    assert ["".join(map(str, cluster)) for cluster in clusters] == expected


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=10))
def test_group_equals_slow_twin(links):
    """Without texts, two mentions are one entity if links lead from one to the other."""
    reached = {i: {i} for i in range(8)}
    for _ in range(8):
        for a, b in links:
            both = reached[a] | reached[b]
            for i in both:
                reached[i] = both
    assert {frozenset(cluster) for cluster in group(range(8), links)} == set(map(frozenset, reached.values()))


def lift(text, mentions, pairs=(), **options):
    """mentions: text and label, found from left to right; pairs: their numbers, and a label."""
    annotation, at = Annotation(text, pairs=list(pairs)), 0
    for i, (words, label) in enumerate(mentions):
        at = text.index(words, at)
        annotation.mentions[i] = Mention([(at, at + len(words))], [label] if label else [])
        at += 1
    faults = Faults()
    lifted = Lift(**options)
    [doc] = read_annotations([("here", annotation)], nlp=NLP, lift=lifted, strict=False, faults=faults)
    return doc, {name: n for name, n in vars(faults).items() if name != "messages" and n}, faults.messages


def entities(doc):
    return [(entity.label, [mention.text for mention in entity.mentions]) for entity in doc._.entities]


def test_same_text_means_same_words_and_label():
    text = "Oslo left OSLO. New  York, New\nYork. Oslo sang."
    mentions = [("Oslo", "LOC"), ("OSLO", "LOC"), ("New  York", "LOC"), ("New\nYork", "LOC"), ("Oslo", "PER")]
    doc, _, _ = lift(text, mentions)
    assert [len(entity) for _, entity in entities(doc)] == [1, 1, 2, 1]
    doc, _, _ = lift(text, mentions, by_text=False)
    assert [len(entity) for _, entity in entities(doc)] == [1, 1, 1, 1, 1]


def test_most_frequent_type_wins_and_mentions_without_one_do_not_count():
    mentions = [("Ada", ""), ("she", "X"), ("Berg", "PER"), ("her", "")]
    links = [(0, "COREF", 1), (1, "COREF", 2), (2, "same", 3)]
    doc, counts, _ = lift("Ada, she, Berg, her.", mentions, links, coref_labels=["COREF", "same"])
    assert entities(doc) == [("X", ["Ada", "she", "Berg", "her"])] and counts["mixed_types"] == 1


def test_relations_join_their_evidence():
    """A duplicate between the same mentions is one pair; the other direction is another relation."""
    mentions = [("Ada", "PER"), ("Oslo", "LOC"), ("Ada", "PER"), ("Bob", "PER")]
    pairs = [(0, "in", 1), (2, "in", 1), (0, "in", 1), (1, "in", 0), (3, "in", 1)]
    doc, counts, _ = lift("Ada in Oslo. Ada is there, Bob too.", mentions, pairs)
    evidence = [
        [(e["head"], e["tail"], e["weight"]) for e in relation["evidence"]]
        for relation in doc_to_record(doc)["relations"]
    ]
    assert evidence == [
        [([0, 3], [7, 11], 0.5), ([13, 16], [7, 11], 0.5)],
        [([7, 11], [0, 3], 1.0)],
        [([27, 30], [7, 11], 1.0)],
    ]
    assert counts == {"duplicate_relations": 1}


@pytest.mark.parametrize(
    "pair,fault,message",
    [
        ((0, "in", 1), "self_relations", "a relation 'in' joins 0 and 1, which are one entity"),
        ((0, "", 2), "unlabelled_relations", "the relation from 0 to 2 has no label"),
        ((0, "in", 9), "lost_relations", "a relation 'in' names 9, which is not a mention"),
        ((9, None, 0), "lost_relations", "a coreference names 9, which is not a mention"),
    ],
)
def test_what_is_dropped(pair, fault, message):
    mentions = [("Ada", "PER"), ("Ada", "PER"), ("Oslo", "LOC")]
    doc, counts, messages = lift("Ada, Ada in Oslo.", mentions, [pair])
    assert doc._.relations == () and counts == {fault: 1, "without_relations": 1}
    assert f"here (''): {message}" in messages[0] and len(messages) == 1
