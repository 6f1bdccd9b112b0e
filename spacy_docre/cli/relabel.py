"""`relabel`: documents of one corpus with the relations that another has for them."""

from collections import Counter
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Optional

import spacy
import typer
from spacy.tokens import Doc

from ..doc.copying import move_layers
from ..doc.notes import get_title
from ..doc.places import DEFAULT, Places
from ..errors import Errors
from ..readers.corpus import DocreCorpus
from ..readers.docred import read_docred, read_rel_info
from ..readers.faults import MAX_MESSAGES, Faults
from ..training.relabel import FOUND, relabel
from ._util import OUT_CORPUS, REL_INFO, app, convert_docs, one_line_errors, places_option, show_progress

PLACES = places_option("Where the corpora and OUT keep their layers, if not in the usual places")
CLEAN = typer.Argument(..., metavar="CLEAN", help="Documents to relabel: .spacy files, or .json in DocRED's format.")
ORIGINAL = typer.Argument(..., metavar="ORIGINAL", help="Documents of the same titles with the relations to take.")


@app.command("relabel")
def relabel_cli(
    clean: str = CLEAN,
    original: str = ORIGINAL,
    out: Path = OUT_CORPUS,
    rel_info: Optional[Path] = REL_INFO,
    places: str = PLACES,
) -> None:
    """Give the documents of CLEAN the relations of ORIGINAL, paired by title; text and entities stay those of CLEAN.

    Titles that only one of them has are left out, counted, and listed on standard error.

    Example: python -m spacy_docre relabel redocred/dev.json docred/dev.json dev_original.spacy --rel-info rel_info.json
    """
    with one_line_errors():
        if out.exists() and Path(original).exists() and out.samefile(original):
            raise ValueError(Errors.R122.format(path=out))
        names = read_rel_info(rel_info) if rel_info else None
        kept_at, faults = Places.parse(places), Faults()
        labelled: Dict[str, Doc] = {}
        for doc in read_corpus(original, names, faults, kept_at):
            labelled.setdefault(get_title(doc), doc)
        found: Counter = Counter()
        lists: Dict[str, List[str]] = {"only in CLEAN": [], "only in ORIGINAL": [], "with another text": []}
        docs = relabel(read_corpus(clean, names, faults, kept_at), labelled, found, lists, kept_at)
        convert_docs(docs, Path(clean), out, faults, places=kept_at)
    for text in FOUND:
        typer.echo(f"{found[text]:>10,}  {text}")
    for text, titles in lists.items():
        typer.echo(f"{len(titles):>10,}  titles {text} (left out)")
        for title in titles[:MAX_MESSAGES]:
            typer.echo(f"{text}: {title}", err=True)
        if len(titles) > MAX_MESSAGES:
            typer.echo(f"{text}: {len(titles) - MAX_MESSAGES} more", err=True)


def read_corpus(path: str, names: Optional[Dict[str, str]], faults: Faults, places: Places) -> Iterator[Doc]:
    """Read gold documents of a .json file in DocRED's format, or of .spacy files.

    places (Places): Where the layers are kept, in .spacy files and on the documents.
    """
    nlp = spacy.blank("en")
    docs: Iterable[Doc]
    if path.endswith(".json"):
        read = read_docred(path, nlp=nlp, rel_info=names, faults=faults)
        docs = (move_layers(doc, DEFAULT, places) for doc in read)
    else:
        docs = DocreCorpus(path, places=places).read(nlp)
    return iter(show_progress(docs, desc=f"Reading {path}"))
