"""`convert FORMAT IN OUT`: corpora of many formats to .spacy or .jsonl."""

import contextlib
import os
import sys
from dataclasses import dataclass
from enum import Enum
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Iterable, Iterator, List, Optional

import spacy
import typer
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab
from tqdm import tqdm

from ..attributes import get_clusters, get_mentions, get_relation_data
from ..errors import Errors
from ..readers.brat import read_brat
from ..readers.docred import read_docred, read_rel_info
from ..readers.dwie import N_DEV, PARTS, read_dwie, read_titles
from ..readers.faults import Faults
from ..readers.jsonl import read_jsonl, write_jsonl
from ..readers.label_studio import read_label_studio
from ..readers.lift import Lift
from ..readers.prodigy import read_prodigy
from ..readers.pubtator import read_pubtator
from . import app

SHARD_SIZE = 1000  # documents a file

convert = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(convert, name="convert", help="Convert a corpus to .spacy, a folder of .spacy shards, or .jsonl.")

IN = typer.Argument(..., metavar="IN", help="File to read.")
OUT = typer.Argument(..., metavar="OUT", help="File to write (.spacy or .jsonl), or a folder for .spacy shards.")
STRICT = typer.Option(False, "--strict", help="Stop at the first fault that would lose something.")
FOLDER = typer.Argument(..., metavar="IN", help="Folder to read, one JSON file a document.")
LIMIT = typer.Option(0, "--limit", min=0, help="Number of documents to convert; 0 for all.")
REL_INFO = typer.Option(None, "--rel-info", help="JSON object from relation id to readable name.")
LANG = typer.Option("en", "--lang", help="Language whose tokenizer splits the text.")
PART = typer.Option("all", "--part", help=f"Which documents, by tag: {', '.join(PARTS)}.")
DEV = typer.Option(N_DEV, "--dev", min=0, help="How many of the tag train are dev.")
SEED = typer.Option(0, "--seed", help="What they are drawn by.")
DEV_TITLES = typer.Option(None, "--dev-titles", help="File with their titles, one a line, instead of drawing them.")
LAY_OUT = typer.Option(False, "--lay-out", help="Put mentions into blanks where the text is missing, for checks only.")

COREF_LABEL = typer.Option(["COREF"], "--coref-label", help="Relation that means 'the same entity'; can be repeated.")
ANNOTATOR = typer.Option("", "--annotator", help="Take only what this annotator did: name, number or e-mail address.")
TEXT_KEY = typer.Option("text", "--text-key", help="Key of the text in the data of a task.")
BRAT_FOLDER = typer.Argument(..., metavar="IN", help="Folder of .txt and .ann files, with all folders in it.")


class Link(str, Enum):
    """Which mentions without a coreference are one entity."""

    exact = "exact"
    none = "none"


LINK = typer.Option(Link.exact, "--link", help="Mentions without coreference: one entity if text and label are equal?")


@convert.command("docred")
def convert_docred(
    in_path: Path = IN,
    out_path: Path = OUT,
    rel_info: Optional[Path] = REL_INFO,
    strict: bool = STRICT,
    limit: int = LIMIT,
) -> None:
    """Convert DocRED, Re-DocRED, Revisit-DocRED or JEREX's joint split.

    DocRED's distant part, 100,000 documents, goes in constant memory if OUT is a folder.

    Example: python -m spacy_docre convert docred train.json train.spacy --rel-info rel_info.json
    """
    with one_line_errors():
        faults = Faults()
        names = read_rel_info(rel_info) if rel_info else None
        nlp = spacy.blank("en")
        docs = read_docred(in_path, nlp=nlp, rel_info=names, strict=strict, faults=faults)
        convert_docs(docs, in_path, out_path, faults, limit, vocab=nlp.vocab)


@convert.command("dwie")
def convert_dwie(
    in_path: Path = FOLDER,
    out_path: Path = OUT,
    part: str = PART,
    n_dev: int = DEV,
    seed: int = SEED,
    dev_titles: Optional[Path] = DEV_TITLES,
    lay_out: bool = LAY_OUT,
    lang: str = LANG,
    strict: bool = STRICT,
    limit: int = LIMIT,
) -> None:
    """Convert DWIE, from the folder annos_with_content that its own download script writes.

    The parts are those of the papers (602, 98 and 99 documents), but which 98 are dev is drawn, or named by a file.

    Example: python -m spacy_docre convert dwie annos_with_content dev.spacy --part dev --seed 0
    """
    with one_line_errors():
        faults = Faults()
        docs = read_dwie(
            in_path,
            nlp=spacy.blank(lang),
            part=part,
            n_dev=n_dev,
            seed=seed,
            dev_titles=read_titles(dev_titles) if dev_titles else None,
            lay_out=lay_out,
            strict=strict,
            faults=faults,
        )
        convert_docs(docs, in_path, out_path, faults, limit)


@convert.command("pubtator")
def convert_pubtator(
    in_path: Path = IN, out_path: Path = OUT, lang: str = LANG, strict: bool = STRICT, limit: int = LIMIT
) -> None:
    """Convert PubTator files with relations: BioCreative V CDR, GDA, BioRED.

    Example: python -m spacy_docre convert pubtator CDR_TrainingSet.PubTator.txt train.spacy
    """
    with one_line_errors():
        faults = Faults()
        docs = read_pubtator(in_path, nlp=spacy.blank(lang), strict=strict, faults=faults)
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


@convert.command("prodigy")
def convert_prodigy(
    in_path: Path = IN,
    out_path: Path = OUT,
    coref_label: List[str] = COREF_LABEL,
    link: Link = LINK,
    annotator: str = ANNOTATOR,
    lang: str = LANG,
    strict: bool = STRICT,
    limit: int = LIMIT,
) -> None:
    """Convert what Prodigy's db-out writes of rel.manual or coref.manual: the first accepted answer to each text.

    Example: python -m spacy_docre convert prodigy answers.jsonl train.spacy --coref-label COREF
    """
    with one_line_errors():
        faults, lift = Faults(), Lift(coref_label, by_text=link is Link.exact)
        nlp = spacy.blank(lang)
        docs = read_prodigy(in_path, nlp=nlp, lift=lift, annotator=annotator, strict=strict, faults=faults)
        convert_docs(docs, in_path, out_path, faults, limit)


@convert.command("labelstudio")
def convert_label_studio(
    in_path: Path = IN,
    out_path: Path = OUT,
    coref_label: List[str] = COREF_LABEL,
    link: Link = LINK,
    annotator: str = ANNOTATOR,
    text_key: str = TEXT_KEY,
    lang: str = LANG,
    strict: bool = STRICT,
    limit: int = LIMIT,
) -> None:
    """Convert Label Studio's export format JSON (not JSON-MIN, which has no relations): of each task the annotation
    that is ground truth, or the first that was not cancelled.

    Example: python -m spacy_docre convert labelstudio project-1.json train.spacy --coref-label same
    """
    with one_line_errors():
        faults, lift = Faults(), Lift(coref_label, by_text=link is Link.exact)
        nlp = spacy.blank(lang)
        docs = read_label_studio(
            in_path, nlp=nlp, lift=lift, annotator=annotator, text_key=text_key, strict=strict, faults=faults
        )
        convert_docs(docs, in_path, out_path, faults, limit)


@convert.command("brat")
def convert_brat(
    in_path: Path = BRAT_FOLDER,
    out_path: Path = OUT,
    coref_label: List[str] = COREF_LABEL,
    link: Link = LINK,
    lang: str = LANG,
    strict: bool = STRICT,
    limit: int = LIMIT,
) -> None:
    """Convert brat's standoff files; what is Equiv is one entity.

    Example: python -m spacy_docre convert brat annotations train.spacy --link none
    """
    with one_line_errors():
        faults, lift = Faults(), Lift(coref_label, by_text=link is Link.exact)
        docs = read_brat(in_path, nlp=spacy.blank(lang), lift=lift, strict=strict, faults=faults)
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


def convert_docs(
    docs: Iterable[Doc],
    in_path: Path,
    out_path: Path,
    faults: Faults,
    limit: int = 0,
    *,
    vocab: Optional[Vocab] = None,
) -> None:
    """Write documents where the ending of the path says, with progress on stderr and a summary on stdout.

    faults (Faults): Filled while `docs` is read.
    vocab (Optional[Vocab]): That of the documents, which then forgets the words of each shard.
    RAISES (ValueError): If there is no document, the path has another ending, or both paths are the same.
    """
    if in_path.exists() and out_path.exists() and in_path.samefile(out_path):
        raise ValueError(Errors.R122.format(path=out_path))
    if out_path.suffix not in (".spacy", ".jsonl", ""):
        raise ValueError(Errors.R118.format(path=out_path))
    sizes = Sizes()
    docs = sizes.count(islice(docs, limit) if limit else docs)
    progress = tqdm(docs, unit=" docs", desc=in_path.name, delay=0.5, file=sys.stderr)
    # Written to a neighbour first: what is cut short must not look whole.
    out_path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{out_path.name}.", dir=out_path.parent) as folder:
        paths = list(_write(progress, Path(folder), out_path, vocab))
        if not sizes.documents:
            problem = faults.messages[0] if faults.messages else "It holds none, or none that was wanted."
            raise ValueError(Errors.R119.format(path=in_path, problem=problem))
        if not out_path.suffix:
            out_path.mkdir(exist_ok=True)
            for old in out_path.glob("part-*.spacy"):
                old.unlink()
        for path in paths:
            os.replace(path, out_path if out_path.suffix else out_path / path.name)
    _print_summary(sizes, faults)


def _write(docs: Iterable[Doc], folder: Path, out_path: Path, vocab: Optional[Vocab]) -> Iterator[Path]:
    """YIELDS (Path): The files written to the folder: one, or one for each shard."""
    if out_path.suffix == ".jsonl":
        write_jsonl(docs, folder / out_path.name)
        yield folder / out_path.name
        return
    docs = iter(docs)
    for i in count() if out_path.suffix == "" else range(1):
        path = folder / f"part-{i:05d}.spacy"
        with vocab.memory_zone() if vocab else contextlib.nullcontext():
            shard = DocBin(store_user_data=True, docs=islice(docs, SHARD_SIZE if out_path.suffix == "" else None))
            shard.to_disk(path)
        if not len(shard):
            return
        yield path


def _print_summary(sizes: Sizes, faults: Faults) -> None:
    rows = [("documents", sizes.documents), ("entities", sizes.entities), ("mentions", sizes.mentions)]
    rows.append(("relations", sizes.relations))
    if sizes.unannotated:
        rows.append(("documents without annotated relations", sizes.unannotated))
    for text, n in rows + faults.rows():
        typer.echo(f"{n:>10,}  {text}")
    for message in faults.messages:
        typer.echo(message, err=True)
