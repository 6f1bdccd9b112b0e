"""`stats`: what a corpus holds, and what is wrong with it."""

from pathlib import Path
from typing import Any, Dict, List, Optional

import spacy
import typer

from ..doc.places import Places
from ..readers.corpus import DocreCorpus
from ..readers.faults import Faults
from ..readers.jsonl import read_jsonl
from ..readers.statistics import Statistics, count_documents
from ..scoring.report import markdown
from ._util import CORPUS, app, json_option, one_line_errors, places_option, show_progress, write_json

PLACES = places_option("Where the corpora keep their layers, if not in the usual places")
AGAINST = typer.Option(None, "--against", help="Another corpus, such as the training data: texts in both are named.")
JSON = json_option("counts, shares and warnings")
TOP = typer.Option(10, "--top", min=0, help="How many types and relations to list.")

ROWS = {
    "documents": "Documents",
    "sentences": "Sentences",
    "tokens": "Tokens",
    "entities": "Entities",
    "mentions": "Mentions",
    "mentions_per_entity": "Mentions per entity",
    "multi_mention_entities": "Entities with several mentions",
    "documents_with_relations": "Documents with annotated relations",
    "facts": "Facts",
    "facts_per_document": "Facts per document",
    "pairs": "Ordered entity pairs",
    "pairs_without_relation": "Pairs without relation (NA)",
    "facts_with_evidence": "Facts with evidence",
    "facts_within_sentence": "Facts within a sentence",
}
AVERAGES = ("mentions_per_entity", "facts_per_document")


@app.command("stats")
def stats_cli(
    corpus: str = CORPUS,
    against: Optional[str] = AGAINST,
    json: Optional[Path] = JSON,
    top: int = TOP,
    places: str = PLACES,
) -> None:
    """Say what a corpus holds, and in plain words what is wrong with it.

    Example: python -m spacy_docre stats corpus/dev.spacy --against corpus/train.spacy
    """
    with one_line_errors():
        faults = Faults()
        kept_at = Places.parse(places)
        found = read_statistics(corpus, kept_at, faults)
        warnings = found.warnings(read_statistics(against, kept_at) if against else None)
        figures = found.to_dict()
        if json is not None:
            write_json(json, {**figures, "warnings": warnings})
    typer.echo(markdown([corpus, ""], make_rows(figures)))
    for title, key in (("Entity type", "types"), ("Relation", "labels")):
        listed = list(figures[key].items())[:top]
        if listed:
            header = [f"{title} ({len(listed)} of {len(figures[key])})", ""]
            typer.echo("\n" + markdown(header, [[name, f"{n:,}"] for name, n in listed]))
    if faults:
        typer.echo("\n" + markdown([f"Faults of {corpus}", ""], [[text, f"{n:,}"] for text, n in faults.rows()]))
        for message in faults.messages:
            typer.echo(message, err=True)
    typer.echo("\n" + "\n".join(f"- {warning}" for warning in warnings or ["Nothing wrong was found."]))


def read_statistics(path: str, places: Places, faults: Optional[Faults] = None) -> Statistics:
    """Count what a corpus holds.

    places (Places): Where .spacy files keep their layers.
    faults (Optional[Faults]): Counts what was found wrong while our JSONL was read.
    RETURNS (Statistics): The counts.
    RAISES (ValueError): If it can't be read, or holds no document.
    """
    nlp = spacy.blank("en")
    if path.endswith(".jsonl"):
        return count_documents(show_progress(read_jsonl(path, nlp=nlp, faults=faults), desc=path))
    return count_documents(show_progress(DocreCorpus(path, places=places).read(nlp), desc=path), places)


def make_rows(figures: Dict[str, Any]) -> List[List[str]]:
    """Write the figures as rows of name and value, shares in percent; "-" where there is nothing to share."""
    rows = []
    for key, title in ROWS.items():
        value = figures[key]
        if value is None:
            text = "-"
        elif isinstance(value, int):
            text = f"{value:,}"
        else:
            text = f"{value:.2f}" if key in AVERAGES else f"{100 * value:.2f} %"
        rows.append([title, text])
    rows.append(["Entity types", str(len(figures["types"]))])
    rows.append(["Relations", str(len(figures["labels"]))])
    return rows
