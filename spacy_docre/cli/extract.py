"""`extract IN OUT`: texts in, relations out, in the formats people have and want."""

import sys
from collections import deque
from functools import partial
from itertools import tee
from pathlib import Path
from typing import Callable, Deque, Dict, Iterable, Iterator, List, Optional, Tuple

import spacy
import typer
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import ignore_error, raise_error
from tqdm import tqdm

from ..attributes import TITLE_ATTR
from ..doc.places import Places
from ..errors import Errors
from ..readers.jsonl import doc_to_record
from ..writers.facts import Record
from . import app
from .convert import one_line_errors
from .journal import Journal, count_documents, drop_weak, identify, write_line
from .loading import CODE, load_pipeline
from .texts import Failures, Text, read_texts

MAX_LISTED = 100
# Never seconds per document, as the progress bar has it by itself where that is slow.
BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}]"
BASE_IRI = "http://example.org/docre/"

IN = typer.Argument(..., metavar="IN", help="A .txt file, a folder of them, a .jsonl file, or - for standard input.")
OUT = typer.Argument(..., metavar="OUT", help=".jsonl, .csv, .ttl, .nt or .graphml; - writes JSONL to standard output.")
MODEL = typer.Option("en_docre", "--model", "-m", help="Installed pipeline or folder.")
MIN_SCORE = typer.Option(0.0, "--min-score", min=0.0, max=1.0, help="Leave out relations that score less.")
LINES = typer.Option(False, "--lines", help="Take each line of a text for a document.")
RESUME = typer.Option(False, "--resume", help="Go on where a run with the same IN and model was interrupted.")
FORCE = typer.Option(False, "--force", help="Replace OUT, and drop what an interrupted run has done.")
BATCH_SIZE = typer.Option(None, "--batch-size", min=1, help="Documents in a batch; the pipeline's own by default.")
N_PROCESS = typer.Option(1, "--n-process", min=1, help="Processes, on the CPU.")
BASE = typer.Option(BASE_IRI, "--base-iri", help="What IRIs begin with (.ttl, .nt).")
GPU_ID = typer.Option(-1, "--gpu-id", "-g", help="GPU to use; -1 for the CPU.")


@app.command("extract")
def extract_cli(
    in_path: str = IN,
    out_path: str = OUT,
    model: str = MODEL,
    min_score: float = MIN_SCORE,
    lines: bool = LINES,
    resume: bool = RESUME,
    force: bool = FORCE,
    batch_size: Optional[int] = BATCH_SIZE,
    n_process: int = N_PROCESS,
    base_iri: str = BASE,
    gpu_id: int = GPU_ID,
    code: Optional[Path] = CODE,
) -> None:
    """Find the relations in texts, and write them to a file.

    Text is UTF-8; a line of .jsonl has the keys "text" and, if wanted, "id". What is done lies in OUT.unfinished; after
    an interruption --resume goes on from there. OUT.origin tells of what a complete OUT was made; such an OUT is only
    replaced with --force, and --resume leaves it as it is if it was made of the same documents in the same way. A
    document that fails is listed at the end with its reason and stops nothing; the exit code is 1 if none could be
    read.

    Example: python -m spacy_docre extract articles/ relations.csv --min-score 0.5
    """
    with one_line_errors():
        if resume and force:
            raise ValueError(Errors.R177)
        to_stdout = out_path == "-"
        out = Path(out_path)
        write = None if to_stdout else find_writer(out, base_iri)
        journal = Journal(out)
        if not to_stdout:
            check_target(in_path, journal, resume=resume, force=force)
        failures = Failures()
        texts, total = read_texts(in_path, lines=lines, failures=failures)
        if gpu_id >= 0:
            spacy.require_gpu(gpu_id)
        nlp = load_pipeline(model, code)
        find_names(nlp)  # before anything is written
        run = partial(extract, nlp, failures=failures, batch_size=batch_size, n_process=n_process)
        if write is None:
            n_done = sum(write_line(sys.stdout, drop_weak(record, min_score)) for record in run(texts, total))
        else:
            made_by, settings = identify(nlp, in_path), {"min_score": min_score, "base_iri": base_iri}
            if resume:
                if in_path == "-":  # it can be read but once, so it is held in memory
                    texts, again = tee(texts)
                else:
                    again, _ = read_texts(in_path, lines=lines, failures=Failures())
                if known := journal.check(again, made_by, settings):
                    found = f"{count_documents(known['documents'])}, {known['failed']} failed"
                    typer.echo(f"Nothing to resume: {out_path} is complete ({found}).", err=True)
                    return
            if force:
                journal.unfinished.unlink(missing_ok=True)
            written = journal.write(run, texts, total, made_by)
            n_done = written["documents"]
            origin = {**made_by, **settings, **written, "failed": len(failures.reasons)}
            journal.finish(write, min_score, origin)
        report(n_done, failures, out_path)
    if failures and not n_done:
        raise typer.Exit(1)


def check_target(in_path: str, journal: Journal, *, resume: bool, force: bool) -> None:
    """Make sure that nothing is written over that may still be wanted.

    RAISES (ValueError): If the output is the input or a folder, or there and neither --resume nor --force was given.
    """
    out = journal.out
    if in_path != "-" and out.exists() and Path(in_path).exists() and out.samefile(in_path):
        raise ValueError(Errors.R122.format(path=out))
    if out.is_dir():
        raise ValueError(Errors.R105.format(path=out, problem="a folder has that name. Name a file to write."))
    if not resume and not force and journal.unfinished.exists():
        raise ValueError(Errors.R170.format(journal=journal.unfinished))
    if not resume and not force and out.exists():
        raise ValueError(Errors.R176.format(path=out))


# Work


def extract(
    nlp: Language,
    texts: Iterable[Text],
    total: Optional[int] = None,
    *,
    failures: Failures,
    batch_size: Optional[int] = None,
    n_process: int = 1,
) -> Iterator[Record]:
    """Run a pipeline over texts. One that fails is tried once more at the end, by itself, which tells why.

    nlp (Language): The pipeline. What it does on errors is changed.
    texts (Iterable[Text]): Read as the work goes on.
    total (Optional[int]): Their number, for the progress bar.
    failures (Failures): Gets the documents that could not be done.
    batch_size, n_process (int): As `nlp.pipe` has them.
    YIELDS (Record): A document as our JSONL has it, in order but for those tried again.
    """
    pending: Deque[Tuple[int, Text]] = deque()
    again: List[Text] = []
    n_done = 0
    names = find_names(nlp)

    def queue() -> Iterator[Tuple[str, int]]:
        for number, text in enumerate(texts):
            if len(text.text) > nlp.max_length:
                failures.add(text.name, Errors.R172.format(n=len(text.text), limit=nlp.max_length))
                continue
            pending.append((number, text))
            yield text.text, number

    nlp.set_error_handler(ignore_error)
    with tqdm(
        total=total, desc="Extracting", unit=" docs", bar_format=BAR, file=sys.stderr, smoothing=0.05
    ) as progress:

        def advance() -> None:
            progress.update(n_done + len(failures.reasons) - progress.n)

        for doc, number in nlp.pipe(queue(), as_tuples=True, batch_size=batch_size, n_process=n_process):
            while pending[0][0] != number:
                again.append(pending.popleft()[1])
            n_done += 1
            advance()
            yield make_record(doc, pending.popleft()[1], names)
        again.extend(text for _, text in pending)
        nlp.set_error_handler(raise_error)
        for text in again:
            try:
                doc = nlp(text.text)
            except Exception as e:
                failures.add(text.name, e)
            else:
                n_done += 1
                yield make_record(doc, text, names)
            advance()
        advance()


def make_record(doc: Doc, text: Text, names: Dict[str, str]) -> Record:
    """RETURNS (Record): The document as our JSONL has it."""
    doc._.set(TITLE_ATTR, text.name)
    return doc_to_record(doc, Places(names["key"], names["prefix"], names["attr"]))


def find_names(nlp: Language) -> Dict[str, str]:
    """RETURNS (Dict[str, str]): Where the pipeline's last relation component keeps what it reads and writes, as
    arguments of `doc_to_record`.

    RAISES (ValueError): If it has none.
    """
    for _, pipe in reversed(nlp.pipeline):
        cfg = getattr(pipe, "cfg", None)
        if isinstance(cfg, dict) and "relations_attr" in cfg:
            return {"key": cfg["spans_key"], "prefix": cfg["span_cluster_prefix"], "attr": cfg["relations_attr"]}
    raise ValueError(Errors.R173.format(names=", ".join(nlp.pipe_names)))


# Output


def find_writer(path: Path, base_iri: str) -> Callable[[Iterable[Record], Path], None]:
    """RETURNS (Callable[[Iterable[Record], Path], None]): Writes records to a file of that name's kind.

    RAISES (ValueError): If there is no such kind.
    """
    from ..writers import graph, rdf, table  # rdflib is slow to load

    writers: Dict[str, Callable[[Iterable[Record], Path], None]] = {
        ".jsonl": write_lines,
        ".csv": table.write_csv,
        ".ttl": partial(rdf.write_turtle, base=base_iri),
        ".nt": partial(rdf.write_ntriples, base=base_iri),
        ".graphml": graph.write_graphml,
    }
    if path.suffix not in writers:
        raise ValueError(Errors.R175.format(path=path, options=", ".join(writers)))
    return writers[path.suffix]


def write_lines(records: Iterable[Record], path: Path) -> None:
    with path.open("w", encoding="utf8", newline="\n") as file:
        for record in records:
            write_line(file, record)


def report(n_done: int, failures: Failures, out_path: str) -> None:
    """Say on stderr what was done, and what failed why."""
    place = "standard output" if out_path == "-" else out_path
    typer.echo(f"{count_documents(n_done)} written to {place}.", err=True)
    if failures:
        typer.echo(f"{count_documents(len(failures.reasons))} failed:", err=True)
        for name, reason in failures.reasons[:MAX_LISTED]:
            typer.echo(f"  {name}: {reason}", err=True)
        if len(failures.reasons) > MAX_LISTED:
            typer.echo(f"  and {len(failures.reasons) - MAX_LISTED} more", err=True)
