"""Entities and relations as RDF: N-Triples, document by document, or one Turtle file."""

from pathlib import Path
from typing import Any, Iterable, Iterator
from urllib.parse import quote

from rdflib import DCTERMS, RDF, RDFS, SKOS, XSD, Graph, Literal, Namespace, URIRef

from .facts import BASE_IRI, Record, read_entities, read_sentences

WIKIDATA = Namespace("http://www.wikidata.org/prop/direct/")


def write_ntriples(records: Iterable[Record], path: Path, base: str = BASE_IRI) -> None:
    """Write N-Triples, one document after the other.

    records (Iterable[Record]): Documents as our JSONL has them.
    path (Path): File to write.
    base (str): What IRIs begin with; see `make_graphs`.
    """
    with path.open("w", encoding="utf8", newline="\n") as file:
        for graph in make_graphs(records, base):
            file.writelines(sorted(graph.serialize(format="nt").splitlines(keepends=True)))


def write_turtle(records: Iterable[Record], path: Path, base: str = BASE_IRI) -> None:
    """Write one Turtle file. It is held in memory; for many documents take N-Triples.

    Arguments: see `write_ntriples`.
    """
    whole = Graph()
    whole.bind("docre", base + "terms#")
    whole.bind("wdt", WIKIDATA)
    for graph in make_graphs(records, base):
        whole += graph
    whole.serialize(path, format="turtle", encoding="utf8")


def make_graphs(records: Iterable[Record], base: str) -> Iterator[Graph]:
    """Make a graph of each document.

    A document is `base + "document/" + id`, an entity `#entity-N` of it, a mention `#char=START,END` (RFC 5147). A type
    is `base + "type/" + label`; a relation with a Wikidata id is the property of that id, any other
    `base + "relation/" + label`. Each relation found is a triple of its own, and a statement about it
    (`rdf:Statement`, `#relation-N` of the document) carries `docre:score`, the texts of its `docre:sentence`s, and its
    `docre:evidence`: mentions of head and tail with their `docre:weight`.

    YIELDS (Graph): The graph of the next document.
    """
    docre = Namespace(base + "terms#")
    for number, record in enumerate(records, start=1):
        graph = Graph()
        document = URIRef(base + "document/" + escape(record.get("id") or number))
        entities = [URIRef(f"{document}#entity-{i}") for i in range(len(record.get("entities", [])))]
        graph.add((document, RDF.type, docre.Document))
        for node, entity in zip(entities, read_entities(record)):
            graph.add((node, RDF.type, docre.Entity))
            graph.add((node, DCTERMS.isPartOf, document))
            graph.add((node, RDFS.label, Literal(entity.name)))
            if entity.label:
                kind = URIRef(base + "type/" + escape(entity.label))
                graph.add((node, RDF.type, kind))
                graph.add((kind, RDFS.label, Literal(entity.label)))
            for start, end in entity.mentions:
                name = record["text"][start:end]
                graph.add((node, docre.mention, char_range(document, start, end)))
                if name != entity.name:
                    graph.add((node, SKOS.altLabel, Literal(name)))
        for i, relation in enumerate(record.get("relations", [])):
            statement = URIRef(f"{document}#relation-{i}")
            triple = (entities[relation["head"]], find_property(relation, base), entities[relation["tail"]])
            graph.add(triple)
            graph.add((triple[1], RDFS.label, Literal(relation["label"])))
            graph.add((statement, RDF.type, RDF.Statement))
            for part, value in zip((RDF.subject, RDF.predicate, RDF.object), triple):
                graph.add((statement, part, value))
            graph.add((statement, docre.score, Literal(relation["score"], datatype=XSD.double)))
            for sentence in read_sentences(record, relation):
                graph.add((statement, docre.sentence, Literal(sentence)))
            for j, evidence in enumerate(relation.get("evidence", [])):
                node = URIRef(f"{statement}-evidence-{j}")
                graph.add((statement, docre.evidence, node))
                graph.add((node, docre.headMention, char_range(document, *evidence["head"])))
                graph.add((node, docre.tailMention, char_range(document, *evidence["tail"])))
                graph.add((node, docre.weight, Literal(evidence["weight"], datatype=XSD.double)))
        yield graph


def find_property(relation: Record, base: str) -> URIRef:
    """Find the property of a relation: Wikidata's where it has an id such as P27, else one of our own."""
    kb_id = relation["kb_id"]
    if kb_id[:1] == "P" and kb_id[1:].isdecimal() and kb_id.isascii():
        return WIKIDATA[kb_id]
    return URIRef(base + "relation/" + escape(relation["label"]))


def char_range(document: URIRef, start: int, end: int) -> URIRef:
    """Name some characters of a document, by RFC 5147."""
    return URIRef(f"{document}#char={start},{end}")


def escape(text: Any) -> str:
    """Write a text as part of an IRI, spaces as underscores."""
    return quote(str(text).replace(" ", "_"), safe="")
