"""Layers as sets of character offsets: free of tokens, numbers and repetitions."""

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc

from spacy_docre.doc.layers import get_mentions, set_clusters, set_mentions
from spacy_docre.doc.records import relation_record, set_relation_data
from spacy_docre.doc.sets import (
    cluster_set,
    entity_list,
    entity_set,
    find_sentences,
    find_support,
    mention_set,
    triple_scores,
    triple_set,
)
from toy import ACME1, ANN, ENTITIES, SENTS, SHE, make_doc

NLP = spacy.blank("en")


def all_sets(doc, *places):
    read = mention_set, cluster_set, entity_set, triple_set, find_support
    return [function(doc, *places) for function in read]


def test_sets_by_hand():
    doc = make_doc(["Ann", "left", "Rome"], sents=[0], entities=[("PER", [(0, 1)]), ("LOC", [(2, 3)])], relations=[])
    ann, rome = (0, 3), (9, 13)
    assert mention_set(doc) == {ann, rome} and cluster_set(doc) == {frozenset({ann}), frozenset({rome})}
    set_relation_data(doc, [relation_record(0, "left", 1, sentences=[0])])
    triple = ((frozenset({ann}), "PER"), "left", (frozenset({rome}), "LOC"))
    assert find_support(doc) == {triple: {(0, 13)}} and triple_set(doc) == {triple}


def test_tokens_do_not_matter():
    """The same text in one token a character has the same sets."""
    doc = make_doc()
    chars = [(char, i + 1 < len(doc.text) and doc.text[i + 1] == " ") for i, char in enumerate(doc.text) if char != " "]
    starts = {doc[i].idx for i in SENTS}
    offsets = [i for i, char in enumerate(doc.text) if char != " "]
    words, spaces = zip(*chars)
    other = Doc(doc.vocab, words=list(words), spaces=list(spaces), sent_starts=[at in starts for at in offsets])
    number = {at: i for i, at in enumerate(offsets)}

    def carry(span):
        return number[doc[span[0]].idx], number[doc[span[1] - 1].idx + len(doc[span[1] - 1]) - 1] + 1

    set_mentions(other, [carry(span) for span in get_mentions(doc)])
    set_clusters(other, [[carry(span) for span in spans] for _, spans in ENTITIES], [label for label, _ in ENTITIES])
    other._.relations = [(r.head.id, r.label, r.tail.id) for r in doc._.relations]
    assert other.text == doc.text and all_sets(other) == all_sets(doc)


@given(st.permutations(range(4)))
def test_numbers_of_entities_do_not_matter(order):
    doc, other = make_doc(vocab=NLP.vocab), make_doc(relations=None, vocab=NLP.vocab)
    new = {old: i for i, old in enumerate(order)}
    entities = [ENTITIES[old] for old in order]
    set_clusters(other, [spans for _, spans in entities], [label for label, _ in entities])
    other._.relations = [(new[r.head.id], r.label, new[r.tail.id]) for r in doc._.relations]
    assert all_sets(other) == all_sets(doc)


def test_copies_count_once_but_keep_their_numbers():
    """Indices of relations point into the list, which keeps copies and entities without mentions."""
    doc = make_doc(entities=[("PER", [ANN, SHE]), ("PER", [SHE, ANN]), ("X", [])], relations=None)
    assert len(entity_list(doc)) == 3 and len(entity_set(doc)) == len(cluster_set(doc)) == 1
    set_relation_data(doc, [relation_record(0, "r", 2, score=0.25), relation_record(1, "r", 2, score=0.5)])
    [(triple, score)] = triple_scores(doc).items()
    assert score == 0.5 and triple[2] == (frozenset(), "")


def test_relations_of_entities_that_are_not_there():
    doc = make_doc(relations=None)
    set_relation_data(doc, [relation_record(0, "r", 7)])
    for read in (triple_set, triple_scores, find_support):
        with pytest.raises(ValueError, match="R101"):
            read(doc)


def test_unannotated_layers_are_empty_sets(other):
    bare = make_doc(entities=None, relations=None)
    assert not any(all_sets(bare)) and not any(all_sets(make_doc(), other))


def test_other_places(doc, other):
    set_mentions(doc, [ACME1], places=other)
    set_clusters(doc, [[ACME1]], ["FIRM"], places=other)
    [mention] = mention_set(doc, other)
    assert entity_set(doc, other) == {(frozenset({mention}), "FIRM")} and len(entity_set(doc)) == 4


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.data())
def test_sentences_that_spans_touch(lengths, data):
    """Spans may run over several sentences; the slow twin compares each span with each sentence."""
    ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
    starts = [0, *ends[:-1]]
    spans = []
    for _ in range(data.draw(st.integers(0, 3))):
        start = data.draw(st.integers(0, ends[-1] - 1))
        spans.append((start, data.draw(st.integers(start + 1, ends[-1]))))
    slow = {i for s, e in spans for i, (a, b) in enumerate(zip(starts, ends)) if s < b and a < e}
    assert find_sentences(spans, starts) == slow
