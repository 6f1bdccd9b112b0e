"""Files of relations: every format read back by a library of its own."""

import csv

import networkx
import pytest
import rdflib
from rdflib import RDF, RDFS, Literal, URIRef

from spacy_docre.writers.facts import read_entities
from spacy_docre.writers.graph import write_graphml
from spacy_docre.writers.rdf import write_ntriples, write_turtle
from spacy_docre.writers.table import COLUMNS, write_csv

TEXT = 'the mayor, Ada "A." Berg,\nlives in Oslo. Berg likes Norway.'
RECORD = {
    "id": "news/1",
    "text": TEXT,
    "sents": [[0, 40], [41, 59]],
    "entities": [
        {"label": "PER", "mentions": [[0, 9], [11, 24], [41, 45]]},
        {"label": "LOC", "mentions": [[35, 39]]},
        {"mentions": [[52, 58]]},
    ],
    "relations": [
        {
            "head": 0,
            "label": "residence",
            "kb_id": "P551",
            "tail": 1,
            "score": 0.75,
            "sentences": [0],
            "evidence": [{"head": [11, 24], "tail": [35, 39], "weight": 0.9}],
        },
        {"head": 1, "label": "is in", "kb_id": "", "tail": 2, "score": 0.5, "sentences": [0, 1], "evidence": []},
    ],
}
EMPTY = {"id": "empty", "text": "", "entities": [], "relations": []}
BARE = {"text": "Nothing was annotated here."}
RECORDS = [RECORD, EMPTY, BARE]
SENTENCE = 'the mayor, Ada "A." Berg, lives in Oslo.'


def test_names_of_entities():
    assert [e.name for e in read_entities(RECORD)] == ['Ada "A." Berg', "Oslo", "Norway"]
    lower = {"text": "a cat, the cat, it", "entities": [{"mentions": [[0, 5], [7, 14], [16, 18]]}]}
    assert [e.name for e in read_entities(lower)] == ["the cat"]


def test_csv(tmp_path):
    write_csv(RECORDS, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        COLUMNS,
        ["news/1", 'Ada "A." Berg', "PER", "residence", "P551", "Oslo", "LOC", "0.7500", SENTENCE],
        ["news/1", "Oslo", "LOC", "is in", "", "Norway", "", "0.5000", f"{SENTENCE} Berg likes Norway."],
    ]


def test_graphml(tmp_path):
    strange = {**RECORD, "text": TEXT.replace("mayor", "\x00ayo\x0b"), "id": "a\x1fb"}
    write_graphml([RECORD, EMPTY, BARE, strange], tmp_path / "out.graphml")
    graph = networkx.read_graphml(tmp_path / "out.graphml")
    assert len(graph.nodes) == 6 and len(graph.edges) == 4
    assert graph.nodes["0/0"] == {"label": 'Ada "A." Berg', "type": "PER", "document": "news/1", "mentions": 3}
    edge = next(data for head, tail, data in graph.edges(data=True) if (head, tail) == ("0/0", "0/1"))
    assert (edge["label"], edge["kb_id"], edge["score"], edge["sentences"]) == ("residence", "P551", 0.75, SENTENCE)
    assert graph.nodes["3/0"]["document"] == "ab"


@pytest.mark.parametrize("write,form", [(write_turtle, "turtle"), (write_ntriples, "nt")])
def test_rdf(tmp_path, write, form):
    write(RECORDS, tmp_path / "out", base="http://h.org/")
    graph = rdflib.Graph().parse(tmp_path / "out", format=form)
    document = "http://h.org/document/news%2F1"
    ada, oslo, norway = (URIRef(f"{document}#entity-{i}") for i in range(3))
    residence = URIRef("http://www.wikidata.org/prop/direct/P551")
    is_in = URIRef("http://h.org/relation/is_in")
    assert (ada, residence, oslo) in graph and (oslo, is_in, norway) in graph
    assert graph.value(residence, RDFS.label) == Literal("residence")
    assert (ada, RDF.type, URIRef("http://h.org/type/PER")) in graph
    assert graph.value(ada, RDFS.label) == Literal('Ada "A." Berg')
    assert set(graph.objects(ada, rdflib.SKOS.altLabel)) == {Literal("the mayor"), Literal("Berg")}
    assert graph.value(norway, RDF.type) == URIRef("http://h.org/terms#Entity")
    statement = URIRef(f"{document}#relation-0")
    parts = [graph.value(statement, part) for part in (RDF.subject, RDF.predicate, RDF.object)]
    assert parts == [ada, residence, oslo]
    assert graph.value(statement, URIRef("http://h.org/terms#score")).toPython() == 0.75
    assert graph.value(statement, URIRef("http://h.org/terms#sentence")) == Literal(SENTENCE)
    evidence = graph.value(statement, URIRef("http://h.org/terms#evidence"))
    assert graph.value(evidence, URIRef("http://h.org/terms#headMention")) == URIRef(f"{document}#char=11,24")
    assert graph.value(evidence, URIRef("http://h.org/terms#weight")).toPython() == 0.9
    documents = set(graph.subjects(RDF.type, URIRef("http://h.org/terms#Document")))
    assert documents == {URIRef(f"http://h.org/document/{name}") for name in ("news%2F1", "empty", "3")}


@pytest.mark.parametrize("label", ['<b> "x" {y}\\', "größer als\n", "a" * 300, "\u202eabc", "%20"])
def test_rdf_of_strange_names(tmp_path, label):
    record = {**RECORD, "id": label, "relations": [{**RECORD["relations"][1], "label": label}]}
    write_ntriples([record], tmp_path / "out")
    graph = rdflib.Graph().parse(tmp_path / "out", format="nt")
    assert Literal(label) in set(graph.objects(None, RDFS.label))
