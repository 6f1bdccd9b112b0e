"""Mentions and clusters of other components: every source, what wins where they overlap, and what is linked."""

import pytest
import spacy
from spacy.tokens import Doc, Span, SpanGroup
from spacy.training import Example

from spacy_docre.doc.layers import get_clusters, get_mentions, get_types
from spacy_docre.doc.notes import GIVEN_ATTR, SKIPPED_ATTR
from spacy_docre.doc.places import DEFAULT, Places

WORDS = "Ada Byron met Charles Babbage . The Royal Society praised Ada . Ada Byron wrote to Babbage".split()
ENTS = [(0, 2, "PER"), (3, 5, "PER"), (7, 9, "ORG"), (10, 11, "PER"), (12, 14, "PER"), (16, 17, "PER")]

Doc.set_extension("test_adopt_clusters", default=None, force=True)


@pytest.fixture
def nlp():
    return spacy.blank("en")


def make_doc(nlp, ents=ENTS, **annotation):
    doc = Doc(nlp.vocab, words=WORDS, **annotation)
    doc.set_ents([Span(doc, *ent) for ent in ents])
    return doc


def set_group(doc, key, spans):
    doc.spans[key] = SpanGroup(doc, name=key, spans=[Span(doc, *span) for span in spans])


def entities(doc, places=DEFAULT):
    return list(zip(get_clusters(doc, places), get_types(doc, places)))


@spacy.registry.misc("test-adopt.chains.v1")
def create_chains():
    return find_chains


def find_chains(doc):
    last = doc[16].idx
    return [[doc[0:2], doc[10:11]], [(14, 27), [last, last + 7]]]  # (14, 27) ends inside "Babbage"


def test_named_entities_of_one_text_and_type_are_one_entity(nlp):
    doc = nlp.add_pipe("docre_adopt")(make_doc(nlp))
    assert entities(doc) == [
        ([(0, 2), (12, 14)], "PER"),
        ([(3, 5)], "PER"),
        ([(7, 9)], "ORG"),
        ([(10, 11)], "PER"),
        ([(16, 17)], "PER"),
    ]
    assert get_mentions(doc) == [ent[:2] for ent in ENTS]


def test_unlinked_each_named_entity_is_one_by_itself(nlp):
    doc = nlp.add_pipe("docre_adopt", config={"link": "none"})(make_doc(nlp))
    assert entities(doc) == [([ent[:2]], ent[2]) for ent in ENTS]


def test_names_that_differ_in_white_space_are_one_entity(nlp):
    """A line break or a second space inside a name does not make it another name, whether it is in a cluster or not."""
    words = ["Ada", "Byron", "met", "Ada", "\n", "Byron", ".", "Ada", " ", "Byron", "left"]
    doc = Doc(nlp.vocab, words=words, spaces=[True] * 3 + [False] * 2 + [True] * 6)
    assert [doc[s:e].text for s, e in ((0, 2), (3, 6), (7, 10))] == ["Ada Byron", "Ada\nByron", "Ada   Byron"]
    doc.set_ents([Span(doc, *ent, label="PER") for ent in ((0, 2), (3, 6), (7, 10))])
    assert entities(nlp.add_pipe("docre_adopt")(doc)) == [([(0, 2), (3, 6), (7, 10)], "PER")]
    set_group(doc, "chains_1", [(3, 6), (2, 3)])
    assert entities(nlp.add_pipe("docre_adopt", name="linked", config={"clusters": "chains"})(doc)) == [
        ([(0, 2), (2, 3), (3, 6), (7, 10)], "PER")
    ]


def test_one_text_of_two_types_is_two_entities(nlp):
    doc = nlp.add_pipe("docre_adopt")(make_doc(nlp, [(0, 2, "PER"), (12, 14, "ORG")]))
    assert entities(doc) == [([(0, 2)], "PER"), ([(12, 14)], "ORG")]


CHAINS = [([(0, 2), (10, 11), (12, 14)], "PER"), ([(3, 5), (16, 17)], "PER"), ([(7, 9)], "ORG")]


def test_clusters_of_span_groups(nlp):
    doc = make_doc(nlp)
    set_group(doc, "chains_1", [(0, 2), (10, 11)])
    set_group(doc, "chains_2", [(16, 17), (3, 5)])
    doc = nlp.add_pipe("docre_adopt", config={"clusters": "chains"})(doc)
    assert entities(doc) == CHAINS  # and "Ada Byron" once more, which is in no cluster, by its text


def test_clusters_of_the_same_prefix_are_replaced(nlp):
    doc = make_doc(nlp)
    set_group(doc, "coref_clusters_1", [(16, 17), (3, 5)])
    set_group(doc, "coref_clusters_2", [(0, 2), (10, 11)])
    adopt = nlp.add_pipe("docre_adopt", config={"clusters": "coref_clusters"})
    assert entities(adopt(doc)) == CHAINS
    assert entities(adopt(doc)) == CHAINS


def test_clusters_of_a_doc_extension_in_characters(nlp):
    doc = make_doc(nlp)
    doc._.test_adopt_clusters = [[(0, 9), (doc[10].idx, doc[10].idx + 3)], [(14, 29), (doc[16].idx, doc[16].idx + 7)]]
    assert doc.text[14:29] == "Charles Babbage"
    doc = nlp.add_pipe("docre_adopt", config={"clusters": "_.test_adopt_clusters"})(doc)
    assert entities(doc) == CHAINS


def test_clusters_of_a_function_from_the_config_that_is_saved(nlp, tmp_path):
    nlp.add_pipe("docre_adopt", config={"clusters": {"@misc": "test-adopt.chains.v1"}})
    nlp.to_disk(tmp_path)
    adopt = spacy.load(tmp_path).get_pipe("docre_adopt")
    with pytest.warns(UserWarning, match="RW16"):
        doc = adopt(make_doc(nlp))
    assert ([(0, 2), (10, 11), (12, 14)], "PER") in entities(doc)
    assert doc._.get(SKIPPED_ATTR) == {"docre_adopt: mentions off token boundaries": 1}


@pytest.mark.parametrize("value", [[["Ada"]], [[(0, 1, 2)]], [[0]], [[(0.5, 3)]]])
def test_clusters_that_are_none(nlp, value):
    doc = make_doc(nlp)
    doc._.test_adopt_clusters = value
    with pytest.raises(ValueError, match="R216"):
        nlp.add_pipe("docre_adopt", config={"clusters": "_.test_adopt_clusters"})(doc)


def test_an_extension_that_nobody_registered(nlp):
    with pytest.raises(ValueError, match="R215"):
        nlp.add_pipe("docre_adopt", config={"clusters": "_.nobody"})(make_doc(nlp))


def test_mentions_of_clusters_win_and_take_the_type(nlp):
    doc = make_doc(nlp)
    set_group(doc, "chains_1", [(6, 9), (2, 3)])  # "The Royal Society"
    doc = nlp.add_pipe("docre_adopt", config={"clusters": "chains"})(doc)
    assert ([(2, 3), (6, 9)], "ORG") in entities(doc)
    assert (7, 9) not in get_mentions(doc)


def test_a_named_entity_inside_a_mention_of_another_head_stays(nlp):
    words = "The founder of Intel met the Intel Corporation".split()
    heads, deps = [1, 4, 1, 2, 4, 7, 7, 4], ["dep"] * 8
    doc = Doc(nlp.vocab, words=words, heads=heads, deps=deps)
    doc.set_ents([Span(doc, 3, 4, "ORG"), Span(doc, 6, 8, "ORG")])
    set_group(doc, "chains_1", [(0, 4)])  # the founder
    set_group(doc, "chains_2", [(5, 8)])  # the Intel Corporation
    doc = nlp.add_pipe("docre_adopt", config={"clusters": "chains"})(doc)
    assert entities(doc) == [([(0, 4)], ""), ([(3, 4)], "ORG"), ([(5, 8)], "ORG")]


def test_a_clusters_type_is_the_most_frequent_and_the_earliest_on_ties(nlp):
    doc = make_doc(nlp, [(0, 2, "ORG"), (10, 11, "PER"), (12, 14, "PER"), (3, 5, "LOC"), (16, 17, "PER")])
    set_group(doc, "chains_1", [(0, 2), (10, 11), (12, 14)])
    set_group(doc, "chains_2", [(3, 5), (16, 17)])
    set_group(doc, "chains_3", [(9, 10)])
    doc = nlp.add_pipe("docre_adopt", config={"clusters": "chains"})(doc)
    assert [label for _, label in entities(doc)] == ["PER", "LOC", ""]


def test_of_overlapping_spans_the_longest_then_the_earliest(nlp):
    doc = make_doc(nlp, [(0, 1, "PER")])
    set_group(doc, "sc", [(0, 2, "PER"), (1, 3, "X"), (3, 5, "PER"), (4, 6, "Y")])
    doc = nlp.add_pipe("docre_adopt", config={"spans": ["ents", "sc"]})(doc)
    assert get_mentions(doc) == [(0, 2), (3, 5)]


def test_labels_are_renamed_and_left_out(nlp):
    doc = nlp.add_pipe("docre_adopt", config={"labels": {"PER": "PERSON", "ORG": ""}})(make_doc(nlp))
    assert {label for _, label in entities(doc)} == {"PERSON"}
    assert (7, 9) not in get_mentions(doc)


def test_other_keys(nlp):
    config = {"spans_key": "m", "span_cluster_prefix": "c"}
    doc = nlp.add_pipe("docre_adopt", config=config)(make_doc(nlp))
    assert len(doc.spans["m"]) == 6 and len(entities(doc, Places(clusters="c"))) == 5 and not entities(doc)


@pytest.mark.parametrize("source", ["ents", "sc"])
def test_what_is_missing_is_said_once(nlp, source):
    adopt = nlp.add_pipe("docre_adopt", config={"spans": [source]})
    with pytest.warns(UserWarning, match="RW15") as caught:
        docs = [adopt(nlp.make_doc("No names here.")) for _ in range(2)]
    assert len(caught) == 1 and all(get_mentions(doc) == [] and not entities(doc) for doc in docs)


@pytest.mark.filterwarnings("error")
def test_an_empty_document(nlp):
    doc = nlp.add_pipe("docre_adopt")(nlp.make_doc(""))
    assert get_mentions(doc) == [] and "mentions" in doc.spans


def test_an_unknown_link(nlp):
    with pytest.raises(ValueError, match="R206"):
        nlp.add_pipe("docre_adopt", config={"link": "fuzzy"})


@pytest.mark.parametrize("given", [["mentions"], ["mentions", "clusters"], ["mentions", "clusters", "types"]])
def test_given_layers_are_left_alone(nlp, given):
    doc = make_doc(nlp)
    doc._.set(GIVEN_ATTR, given)
    set_group(doc, "mentions", [(0, 1), (3, 5), (16, 17)])
    set_group(doc, "chains_1", [(3, 5), (16, 17), (9, 10)])
    if "clusters" in given:
        label = "GOLD" if "types" in given else ""
        set_group(doc, "coref_clusters_1", [(0, 1, label)])
        set_group(doc, "coref_clusters_2", [(3, 5, label)])
    doc = nlp.add_pipe("docre_adopt", config={"clusters": "chains"})(doc)
    assert get_mentions(doc) == [(0, 1), (3, 5), (16, 17)]
    expected = {
        1: [([(0, 1)], ""), ([(3, 5), (16, 17)], "PER")],
        2: [([(0, 1)], "PER"), ([(3, 5)], "PER")],
        3: [([(0, 1)], "GOLD"), ([(3, 5)], "GOLD")],
    }
    assert entities(doc) == expected[len(given)]


def test_all_three_levels_are_scored(nlp):
    adopt = nlp.add_pipe("docre_adopt")
    gold = adopt(make_doc(nlp))
    scores = nlp.evaluate([Example(make_doc(nlp, ENTS[:3]), gold)])
    assert scores["mentions_p"] == 1 and scores["mentions_r"] == 0.5
    assert scores["clusters_f"] == pytest.approx(2 * 2 / (3 + 5)) and scores["types_f"] == scores["clusters_f"]


def test_the_callable_is_no_string_by_chance(nlp):
    """A config may give either; spaCy checks the types."""
    assert nlp.add_pipe("docre_adopt", config={"clusters": {"@misc": "test-adopt.chains.v1"}}).clusters is find_chains
