"""`show IN OUT.html`: text, relations and their graph as a page for the browser."""

import sys
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Optional, Tuple

import spacy
import typer
from spacy.language import Language
from spacy.tokens import Doc
from tqdm import tqdm

from ..arrays import Floats1d
from ..attributes import TITLE_ATTR, has_clusters
from ..errors import Errors
from ..readers.corpus import create_docre_corpus
from ..readers.faults import Faults
from ..readers.jsonl import read_jsonl
from ..visual import render
from . import app
from .convert import one_line_errors
from .loading import CODE, load_pipeline

IN = typer.Argument(..., metavar="IN", help="Text (.txt, or - for stdin) or documents (.jsonl, .spacy, a folder).")
OUT = typer.Argument(..., metavar="OUT.html", help="Page to write.")
MODEL = typer.Option("en_docre", "--model", "-m", help="Installed pipeline or folder, for what is not annotated.")
HEATMAP = typer.Option(False, "--heatmap", help="Show how each relation weighs an entity's mentions (RSMAN).")
LIMIT = typer.Option(0, "--limit", min=0, help="Number of documents to show; 0 for all.")


@app.command("show")
def show_cli(
    in_path: str = IN,
    out_path: Path = OUT,
    model: str = MODEL,
    heatmap: bool = HEATMAP,
    limit: int = LIMIT,
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
            blank = load()
            find_weighing(blank)  # before all the work
        docs = islice(read_docs(in_path, blank), limit or None)
        shown = [annotate(doc, load) for doc in tqdm(docs, unit=" docs", delay=0.5, file=sys.stderr)]
        weights = [weigh_mentions(load(), doc) for doc in shown] if heatmap else None
        html = render(shown, page=True, jupyter=False, mention_weights=weights)
        out_path.parent.mkdir(parents=True, exist_ok=True)
        out_path.write_text(str(html), encoding="utf8", newline="\n")


def read_docs(path: str, nlp: Language) -> Iterator[Doc]:
    """Read text or documents, by the ending of the path. What a document loses is told on stderr.

    path (str): A file, a folder of .spacy files, or - for text from stdin.
    nlp (Language): Gives tokenizer and vocabulary.
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
        yield from read_jsonl(file, nlp=nlp, faults=faults)
        for message in faults.messages:
            typer.echo(message, err=True)
    elif file.suffix == ".spacy" or file.is_dir():
        yield from create_docre_corpus(path).read(nlp)
    else:
        raise ValueError(Errors.R162.format(path=path))


def annotate(doc: Doc, load: Callable[[], Language]) -> Doc:
    """RETURNS (Doc): The document itself if its entities are annotated or it is empty, else what a pipeline finds."""
    if has_clusters(doc) or not doc.text.strip():
        return doc
    found = load()(doc.text)
    found._.set(TITLE_ATTR, doc._.get(TITLE_ATTR))
    return found


def find_weighing(nlp: Language) -> Tuple[Any, Any]:
    """RETURNS (Tuple[Any, Any]): The component for relations, and its head, which weighs mentions.

    RAISES (ValueError): If there is no such head.
    """
    from ..pipeline.relations import DocreRelations

    relations: Any = next((pipe for _, pipe in nlp.pipeline if isinstance(pipe, DocreRelations)), None)
    if relations is None:
        raise ValueError(Errors.R163.format(name="docre_relations"))
    module = relations.model.shims[0].module
    if getattr(module, "entity_pooling", "") != "attention":
        raise ValueError(Errors.R163.format(name=relations.name))
    return relations, module


def weigh_mentions(nlp: Language, doc: Doc) -> Dict[str, Floats1d]:
    """Compute how much each relation looks at each mention, for `render(doc, mention_weights=[...])`.

    nlp (Language): Its relation head has to weigh mentions, as RSMAN's does.
    doc (Doc): With clusters, found or annotated.
    RETURNS (Dict[str, Floats1d]): Relation label -> weights of the mentions of all entities, one entity after another.
    RAISES (ValueError): If the head has no such weights.
    """
    # These import torch and transformers, which annotated documents do without.
    from ..models.torch_model import encode
    from ..pipeline.transformer import DocreTransformer

    relations, module = find_weighing(nlp)
    for _, pipe in nlp.pipeline:
        if isinstance(pipe, DocreTransformer):
            pipe(doc)
    batch = relations.make_batch([doc])
    encoded = encode(relations.model, ([doc], batch))
    weights = module.mention_weights(encoded, batch.entities).float().cpu().numpy()
    first = int(relations.model.attrs["threshold_class"])
    return {label: weights[:, first + i] for i, label in enumerate(relations.labels)}
