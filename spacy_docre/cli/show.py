"""`show IN OUT.html`: text, relations and their graph as a page for the browser."""

from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, Callable, Iterator, Optional

import spacy
import typer
from spacy.language import Language
from spacy.tokens import Doc

from ..doc.copying import copy_layers, move_layers
from ..doc.layers import has_clusters
from ..doc.notes import TITLE_ATTR
from ..doc.places import DEFAULT, Places
from ..errors import Errors
from ..readers.corpus import DocreCorpus
from ..readers.faults import Faults
from ..readers.jsonl import read_jsonl
from ..visual import render
from ._util import CODE, LIMIT, app, load_pipeline, one_line_errors, places_option, show_progress

PLACES = places_option("Where IN keeps its layers, if not in the usual places")
IN = typer.Argument(..., metavar="IN", help="Text (.txt, or - for stdin) or documents (.jsonl, .spacy, a folder).")
OUT = typer.Argument(..., metavar="OUT.html", help="Page to write.")
MODEL = typer.Option("en_docre", "--model", "-m", help="Installed pipeline or folder, for documents without entities.")
HEATMAP = typer.Option(False, "--heatmap", help="Show how each relation weighs an entity's mentions (RSMAN).")


@app.command("show")
def show_cli(
    in_path: str = IN,
    out_path: Path = OUT,
    model: str = MODEL,
    heatmap: bool = HEATMAP,
    limit: int = LIMIT,
    places: str = PLACES,
    code: Optional[Path] = CODE,
) -> None:
    """Write a page that shows documents with their entities and relations.

    Annotated documents are shown as they are; a pipeline reads those without entities.

    Example: python -m spacy_docre show article.txt article.html
    """
    with one_line_errors():
        if out_path.suffix not in (".html", ".htm"):
            raise ValueError(Errors.R164.format(path=out_path))
        load = cache(partial(load_pipeline, model, code))
        blank = spacy.blank("en")
        if heatmap:
            from ..pipeline.weights import find_weighing, weigh_mentions  # imports torch

            blank = load()
            find_weighing(blank)  # before all the work
        kept_at = Places.parse(places)
        docs = islice(read_docs(in_path, blank, kept_at), limit or None)
        shown = [annotate(doc, load, kept_at) for doc in show_progress(docs)]
        weights = [weigh_mentions(load(), doc, kept_at) for doc in shown] if heatmap else None
        html = render(shown, page=True, jupyter=False, mention_weights=weights, places=kept_at)
        out_path.parent.mkdir(parents=True, exist_ok=True)
        out_path.write_text(str(html), encoding="utf8", newline="\n")


def read_docs(path: str, nlp: Language, places: Places) -> Iterator[Doc]:
    """Read text or documents, by the ending of the path. What a document loses is told on stderr.

    path (str): A file, a folder of .spacy files, or - for text from stdin.
    nlp (Language): Gives tokenizer and vocabulary.
    places (Places): Where the layers are kept, in .spacy files and on the documents.
    YIELDS (Doc): A document, annotated as far as it is there.
    RAISES (ValueError): If there is no such file, or its ending is unknown.
    """
    file = Path(path)
    if path == "-":
        yield nlp.make_doc(typer.get_text_stream("stdin", encoding="utf8").read())
    elif not file.exists():
        raise ValueError(Errors.R104.format(path=path))
    elif file.suffix == ".txt":
        yield nlp.make_doc(file.read_text(encoding="utf8"))
    elif file.suffix == ".jsonl":
        faults = Faults()
        yield from (move_layers(doc, DEFAULT, places) for doc in read_jsonl(file, nlp=nlp, faults=faults))
        for message in faults.messages:
            typer.echo(message, err=True)
    elif file.suffix == ".spacy" or file.is_dir():
        yield from DocreCorpus(path, places=places).read(nlp)
    else:
        raise ValueError(Errors.R162.format(path=path))


def annotate(doc: Doc, load: Callable[[], Language], places: Places) -> Doc:
    """Let a pipeline read a document, unless its entities are annotated or it is empty.

    places (Places): Where the layers are to be kept.
    RETURNS (Doc): The document itself, or a new one.
    """
    if has_clusters(doc, places) or not doc.text.strip():
        return doc
    nlp = load()
    found = nlp(doc.text)
    copy_layers(found, Places.of_pipeline(nlp), places)
    found._.set(TITLE_ATTR, doc._.get(TITLE_ATTR))
    return found


def __getattr__(name: str) -> Any:
    """Give `weigh_mentions`, which is in pipeline.weights now, until 0.3; late, because it imports torch."""
    if name == "weigh_mentions":
        from ..pipeline.weights import weigh_mentions

        return weigh_mentions
    raise AttributeError(name)
