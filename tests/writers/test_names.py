"""An entity has one name: on the Doc, in every file, on the page."""

import csv

import networkx
import pytest
import rdflib
import spacy
from hypothesis import given
from hypothesis import strategies as st
from rdflib import RDFS
from spacy.tokenizer import Tokenizer
from spacy.tokens import Doc

from spacy_docre.doc.layers import set_clusters
from spacy_docre.doc.names import entity_name, entity_name_by_words
from spacy_docre.doc.places import DEFAULT
from spacy_docre.doc.views import set_relations
from spacy_docre.readers.jsonl import read_jsonl
from spacy_docre.visual.view import choose_colours, view_doc
from spacy_docre.writers.facts import read_entities
from spacy_docre.writers.formats import find_writer
from spacy_docre.writers.jsonl import doc_to_record, write_jsonl

ENGLISH, GERMAN, WHITE, ANY = (spacy.blank(lang) for lang in ("en", "de", "en", "xx"))
WHITE.tokenizer = Tokenizer(WHITE.vocab)  # splits at white space alone
PIPELINES = {"English": ENGLISH, "German": GERMAN, "white space": WHITE, "any": ANY}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("names")


def name_everywhere(doc, folder):
    """RETURNS (Dict[str, List[str]]): Names of all entities of a Doc, by where they are read."""
    record = doc_to_record(doc)
    paths = {ending: folder / f"out.{ending}" for ending in ("csv", "ttl", "nt", "graphml")}
    for path in paths.values():
        find_writer(path)([record], path)
    n = len(doc._.entities)
    names = {"doc": [entity.text for entity in doc._.entities]}
    names["record"] = [entity.name for entity in read_entities(record)]
    names["page"] = [e.text for e in view_doc(doc, choose_colours([doc], DEFAULT), None).entities]
    with paths["csv"].open(encoding="utf8", newline="") as file:
        names["csv"] = [row["head"] for row in csv.DictReader(file)]
    for ending, form in (("ttl", "turtle"), ("nt", "nt")):
        graph = rdflib.Graph().parse(paths[ending], format=form)
        found = {str(node).rsplit("-", 1)[-1]: str(label) for node, label in graph.subject_objects(RDFS.label)}
        names[ending] = [found[str(i)] for i in range(n)]
    nodes = networkx.read_graphml(paths["graphml"]).nodes
    names["graphml"] = [nodes[f"0/{i}"]["label"] for i in range(n)]
    return names


def annotate(nlp, text, clusters):
    """RETURNS (Doc): Clusters by token, each related to the next."""
    doc = nlp(text)
    set_clusters(doc, clusters)
    n = len(clusters)
    set_relations(doc, [(i, "next", (i + 1) % n) for i in range(n)])
    return doc


WORDS = st.text("aBc-'’\"$(.,:_1éÉß中 ", min_size=1, max_size=8)


@pytest.mark.parametrize("name", PIPELINES)
@given(data=st.data())
def test_one_name_everywhere(name, folder, data):
    text = data.draw(st.lists(WORDS, min_size=2, max_size=12).map(" ".join).filter(lambda text: len(text.split()) > 1))
    n = len(PIPELINES[name](text))
    spans = st.tuples(st.integers(0, n - 1), st.integers(1, 4)).map(lambda span: (span[0], min(n, sum(span))))
    clusters = data.draw(st.lists(st.lists(spans, min_size=1, max_size=4, unique=True), min_size=2, max_size=3))
    names = name_everywhere(annotate(PIPELINES[name], text, clusters), folder)
    assert all(found == names["doc"] for found in names.values()), names


@pytest.mark.parametrize("name", PIPELINES)
def test_a_name_inside_a_word(name, folder):
    """The tokens decide whether "al-Qaeda" is capitalised, and only the Doc has them."""
    doc = PIPELINES[name]("al-Qaeda attacked and the terrorist group fled .")
    spans = [doc.char_span(0, 8), doc.char_span(22, 41)]
    clusters = [[(span.start, span.end) for span in spans], [(len(doc) - 1, len(doc))]]
    names = name_everywhere(annotate(PIPELINES[name], doc.text, clusters), folder)
    is_split = "Qaeda" in [token.text for token in doc]
    assert is_split == (name in ("English", "any"))
    assert {found[0] for found in names.values()} == {"al-Qaeda" if is_split else "the terrorist group"}


def test_files_without_names():
    """Of other tools, and of versions before: the closest rule takes words for tokens."""
    record = {"text": "al-Qaeda, the terrorist group", "entities": [{"mentions": [[0, 8], [10, 29]]}]}
    assert [entity.name for entity in read_entities(record)] == ["al-Qaeda"]
    named = {**record, "entities": [{**record["entities"][0], "text": "the terrorist group"}]}
    assert [entity.name for entity in read_entities(named)] == ["the terrorist group"]


def test_a_name_is_written_only_where_words_would_give_another(folder):
    doc = annotate(WHITE, "al-Qaeda is the terrorist group", [[(0, 1), (2, 5)], [(1, 2)]])
    assert [entity.get("text") for entity in doc_to_record(doc)["entities"]] == ["the terrorist group", None]
    path = folder / "named.jsonl"
    write_jsonl([doc], path)
    [read] = read_jsonl(path, nlp=WHITE, strict=True)
    assert [entity.text for entity in read._.entities] == [entity.text for entity in doc._.entities]


def test_nothing_to_name():
    assert entity_name([]) == entity_name_by_words("text", []) == ""
    doc = Doc(ENGLISH.vocab, words=["a"])
    set_clusters(doc, [[]])
    assert read_entities(doc_to_record(doc))[0].name == doc._.entities[0].text == ""
