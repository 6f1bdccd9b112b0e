"""`extract IN OUT`: texts in, relations out, in the formats people have and want."""

import sys
from functools import partial
from itertools import tee
from pathlib import Path
from typing import Iterable, Iterator, Optional, Tuple

import typer
from tqdm import tqdm

from ..doc.places import Places
from ..errors import Errors
from ..extraction import Failures, Journal, Text, extract, identify, read_texts
from ..extraction.journal import count_documents, drop_weak, write_line
from ..finding import require_relations
from ..writers.facts import BASE_IRI, Record
from ..writers.formats import find_writer
from ._util import BATCH_SIZE, CODE, GPU_ID, MODEL_OPTION, app, load_pipeline, one_line_errors, places_option, use_gpu

MAX_LISTED = 100
# Never seconds per document, as the progress bar has it by itself where that is slow.
BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}]"

PLACES = places_option("Which layers to write, where the pipeline writes to several places")
IN = typer.Argument(..., metavar="IN", help="A .txt file, a folder of them, a .jsonl file, or - for standard input.")
OUT = typer.Argument(..., metavar="OUT", help=".jsonl, .csv, .ttl, .nt or .graphml; - writes JSONL to standard output.")
MIN_SCORE = typer.Option(0.0, "--min-score", min=0.0, max=1.0, help="Leave out relations that score less.")
LINES = typer.Option(False, "--lines", help="Take each line of a text for a document.")
RESUME = typer.Option(False, "--resume", help="Go on where a run with the same IN and model was interrupted.")
FORCE = typer.Option(False, "--force", help="Replace OUT, and drop what an interrupted run has done.")
N_PROCESS = typer.Option(1, "--n-process", min=1, help="Processes, on the CPU.")
BASE = typer.Option(BASE_IRI, "--base-iri", help="What IRIs begin with (.ttl, .nt).")


@app.command("extract")
def extract_cli(
    in_path: str = IN,
    out_path: str = OUT,
    model: str = MODEL_OPTION,
    min_score: float = MIN_SCORE,
    lines: bool = LINES,
    resume: bool = RESUME,
    force: bool = FORCE,
    batch_size: Optional[int] = BATCH_SIZE,
    n_process: int = N_PROCESS,
    base_iri: str = BASE,
    gpu_id: int = GPU_ID,
    places: str = PLACES,
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
        journal = None if out_path == "-" else Journal(Path(out_path))
        if journal is not None:
            write = find_writer(journal.out, base_iri)
            check_target(in_path, journal, resume=resume, force=force)
        failures = Failures()
        texts, total = read_texts(in_path, lines=lines, failures=failures)
        use_gpu(gpu_id)
        nlp = load_pipeline(model, code)
        require_relations(nlp)  # before anything is written
        found_at = Places.parse(places) if places else Places.of_pipeline(nlp)

        def run(texts: Iterable[Text], n_known: int = 0) -> Iterator[Record]:
            left = None if total is None else max(total - n_known, 0)
            bar = partial(tqdm, total=left, desc="Extracting", unit=" docs", bar_format=BAR, smoothing=0.05)
            work = partial(extract, nlp, failures=failures, places=found_at, progress=bar)
            return work(texts, batch_size=batch_size, n_process=n_process)

        if journal is None:
            n_done = print_records(run(texts), min_score)
        else:
            made_by = {**identify(nlp, in_path), "places": places}
            settings = {"min_score": min_score, "base_iri": base_iri}
            if resume:
                texts, again = read_twice(texts, in_path, lines)
                if known := journal.check(again, made_by, settings):
                    found = f"{count_documents(known['documents'])}, {known['failed']} failed"
                    typer.echo(f"Nothing to resume: {out_path} is complete ({found}).", err=True)
                    return
            if force:
                journal.unfinished.unlink(missing_ok=True)
            done = journal.read_done(made_by)
            if done:
                typer.echo(f"{count_documents(done.total())} done already.", err=True)
            written = journal.write(partial(run, n_known=done.total()), texts, made_by, done)
            origin = {**made_by, **settings, **written, "failed": len(failures.reasons)}
            journal.finish(write, min_score, origin)
            n_done = written["documents"]
        report(n_done, failures, out_path)
    if failures and not n_done:
        raise typer.Exit(1)


def print_records(records: Iterable[Record], min_score: float) -> int:
    """Write records to standard output as they come. RETURNS (int): How many there were."""
    n = 0
    for record in records:
        write_line(sys.stdout, drop_weak(record, min_score))
        n += 1
    return n


def read_twice(texts: Iterator[Text], in_path: str, lines: bool) -> Tuple[Iterator[Text], Iterator[Text]]:
    """RETURNS (Tuple[Iterator[Text], Iterator[Text]]): The texts twice, to compare and to work on."""
    if in_path == "-":  # it can be read only once, so it is held in memory
        one, other = tee(texts)
        return one, other
    return texts, read_texts(in_path, lines=lines, failures=Failures())[0]


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
