"""`convert FORMAT IN OUT`: corpora of many formats to .spacy or .jsonl."""

import contextlib
import os
import sys
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Callable, Iterable, Iterator, Optional

import spacy
import typer
from spacy.tokens import Doc, DocBin
from tqdm import tqdm

from ..attributes import get_clusters, get_mentions, get_relation_data
from ..errors import Errors
from ..readers.docred import read_docred, read_rel_info
from ..readers.faults import Faults
from ..readers.jsonl import read_jsonl, write_jsonl
from . import app

SHARD_SIZE = 1000  # documents a file

convert = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(convert, name="convert", help="Convert a corpus to .spacy, a folder of .spacy shards, or .jsonl.")

IN = typer.Argument(..., metavar="IN", help="File to read.")
OUT = typer.Argument(..., metavar="OUT", help="File to write (.spacy or .jsonl), or a folder for .spacy shards.")
STRICT = typer.Option(False, "--strict", help="Stop at the first fault that would lose something.")
LIMIT = typer.Option(0, "--limit", min=0, help="Number of documents to convert; 0 for all.")
REL_INFO = typer.Option(None, "--rel-info", help="JSON object from relation id to readable name.")
LANG = typer.Option("en", "--lang", help="Language whose tokenizer splits the text.")


@convert.command("docred")
def convert_docred(
    in_path: Path = IN,
    out_path: Path = OUT,
    rel_info: Optional[Path] = REL_INFO,
    strict: bool = STRICT,
    limit: int = LIMIT,
) -> None:
    """Convert DocRED, Re-DocRED, Revisit-DocRED or JEREX's joint split.

    Example: python -m spacy_docre convert docred train.json train.spacy --rel-info rel_info.json
    """
    with one_line_errors():
        faults = Faults()
        names = read_rel_info(rel_info) if rel_info else None
        docs = read_docred(in_path, vocab=spacy.blank("en").vocab, rel_info=names, strict=strict, faults=faults)
        convert_docs(docs, in_path, out_path, faults, limit)


@convert.command("jsonl")
def convert_jsonl(
    in_path: Path = IN, out_path: Path = OUT, lang: str = LANG, strict: bool = STRICT, limit: int = LIMIT
) -> None:
    """Convert our own JSONL, one document a line.

    Example: python -m spacy_docre convert jsonl notes.jsonl notes.spacy
    """
    with one_line_errors():
        faults = Faults()
        docs = read_jsonl(in_path, nlp=spacy.blank(lang), strict=strict, faults=faults)
        convert_docs(docs, in_path, out_path, faults, limit)


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Print an expected error as one line and leave with exit code 1."""
    try:
        yield
    except (ValueError, OSError) as e:
        typer.echo(" ".join(str(e).split()), err=True)
        raise typer.Exit(1) from None


@dataclass
class Sizes:
    """What a corpus holds."""

    documents: int = 0
    entities: int = 0
    mentions: int = 0
    relations: int = 0
    unannotated: int = 0  # documents without relation layer

    def count(self, docs: Iterable[Doc]) -> Iterator[Doc]:
        """YIELDS (Doc): The documents as they pass."""
        for doc in docs:
            relations = get_relation_data(doc)
            self.documents += 1
            self.entities += len(get_clusters(doc))
            self.mentions += len(get_mentions(doc))
            self.relations += len(relations or ())
            self.unannotated += relations is None
            yield doc


def convert_docs(docs: Iterable[Doc], in_path: Path, out_path: Path, faults: Faults, limit: int = 0) -> None:
    """Write documents where the ending of the path says, with progress on stderr and a summary on stdout.

    faults (Faults): Filled while `docs` is read.
    RAISES (ValueError): If there is no document, the path has another ending, or both paths are the same.
    """
    if in_path.exists() and out_path.exists() and in_path.samefile(out_path):
        raise ValueError(Errors.R122.format(path=out_path))
    if out_path.suffix not in (".spacy", ".jsonl", ""):
        raise ValueError(Errors.R118.format(path=out_path))
    sizes = Sizes()
    docs = sizes.count(islice(docs, limit) if limit else docs)
    progress = tqdm(docs, unit=" docs", desc=in_path.name, delay=0.5, file=sys.stderr)
    if out_path.suffix == ".jsonl":
        _write_whole(out_path, lambda path: write_jsonl(progress, path))
    else:
        size = SHARD_SIZE if out_path.suffix == "" else sys.maxsize
        for i, shard in enumerate(_shards(progress, size)):
            target = out_path if out_path.suffix else out_path / f"part-{i:05d}.spacy"
            _write_whole(target, shard.to_disk)
    if not sizes.documents:
        problem = faults.messages[0] if faults.messages else "It holds none."
        raise ValueError(Errors.R119.format(path=in_path, problem=problem))
    _print_summary(sizes, faults)


def _shards(docs: Iterable[Doc], size: int) -> Iterator[DocBin]:
    docs = iter(docs)
    while True:
        shard = DocBin(store_user_data=True, docs=islice(docs, size))
        if not len(shard):
            return
        yield shard


def _write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Write to a neighbour first, so that a failure leaves no half file behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        write(partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _print_summary(sizes: Sizes, faults: Faults) -> None:
    rows = [("documents", sizes.documents), ("entities", sizes.entities), ("mentions", sizes.mentions)]
    rows.append(("relations", sizes.relations))
    if sizes.unannotated:
        rows.append(("documents without annotated relations", sizes.unannotated))
    for text, n in rows + faults.rows():
        typer.echo(f"{n:>10,}  {text}")
    for message in faults.messages:
        typer.echo(message, err=True)
