"""`demo`: entities and relations of one paragraph, as two tables."""

import textwrap
from typing import List, Tuple

import typer
from spacy.tokens import Doc
from wasabi import table

from ..doc.names import normalize_space
from ..doc.places import DEFAULT, Places
from ..doc.sentences import has_sentences, number_by_start
from ..doc.views import get_entities, get_relations
from ._util import MODEL_OPTION, app, load_pipeline, one_line_errors

# Invented for this project, in the style of an encyclopedia.
TEXT = (
    "Helena Varga (born 14 March 1961 in Szeged, Hungary) is a Hungarian engineer and entrepreneur. She studied at "
    "the Budapest University of Technology and Economics and later worked for Siemens in Munich, Germany. In 1994, "
    "Varga founded Lumetra, a maker of optical instruments with headquarters in Debrecen. In 2006 Lumetra bought the "
    "Austrian company Brenner Optik, which has been its subsidiary ever since. Varga is married to the novelist Peter "
    'Halmos, who wrote "The Glass Harbour", published in 1999. Their daughter Anna Halmos became chairperson of '
    "Lumetra in 2018."
)

PARAGRAPH = typer.Option(
    TEXT, "--text", "-t", help="Text to read; by default a paragraph of our own.", show_default=False
)


@app.command("demo")
def demo_cli(model: str = MODEL_OPTION, text: str = PARAGRAPH) -> None:
    """Print the entities and the relations that a pipeline finds in a text.

    Example: python -m spacy_docre demo --text "Ada Lovelace was born in London."
    """
    with one_line_errors():
        nlp = load_pipeline(model)
        doc, places = nlp(text), Places.of_pipeline(nlp)
    typer.echo(textwrap.fill(normalize_space(doc.text), 120) + "\n")
    typer.echo(entity_table(doc, places) + "\n")
    typer.echo(relation_table(doc, places))


def entity_table(doc: Doc, places: Places = DEFAULT) -> str:
    """Make a table of one line for each entity, with the different names it goes by."""
    rows = []
    for entity in get_entities(doc, places):
        names = dict.fromkeys(m.text for m in entity.mentions)
        rows.append((entity.text, entity.label, len(entity.mentions), ", ".join(n for n in names if n != entity.text)))
    header = ("entity", "type", "mentions", "also called")
    return (
        table(rows, header=header, aligns=("l", "l", "r", "l"), divider=True, max_col=50).strip("\n")
        if rows
        else "No entities found."
    )


def relation_table(doc: Doc, places: Places = DEFAULT) -> str:
    """Make a table of one line for each relation, best first; sentences count from 1."""
    number = number_by_start(doc) if has_sentences(doc) else {}
    rows: List[Tuple] = []
    for rel in get_relations(doc, places):
        sentences = ", ".join(str(number[s.start] + 1) for s in rel.sentences if s.start in number)
        rows.append(
            (rel.head.text, rel.head.label, rel.label, rel.tail.text, rel.tail.label, f"{rel.score:.2f}", sentences)
        )
    header = ("head", "type", "relation", "tail", "type", "score", "sentences")
    return (
        table(rows, header=header, aligns=(*"lllll", "r", "l"), divider=True, max_col=50).strip("\n")
        if rows
        else "No relations found."
    )
