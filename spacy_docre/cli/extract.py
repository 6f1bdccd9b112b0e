"""`extract IN OUT`: texts in, relations out, in the formats people have and want."""

import codecs
import hashlib
import json
import os
import sys
from collections import Counter, deque
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, Any, Callable, Deque, Dict, Iterable, Iterator, List, Optional, Tuple

import spacy
import typer
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import ignore_error, raise_error
from tqdm import tqdm

from ..attributes import TITLE_ATTR
from ..errors import Errors
from ..readers.checks import is_text
from ..readers.jsonl import doc_to_record
from ..writers.facts import Record
from . import app
from .convert import one_line_errors
from .loading import CODE, load_pipeline

MAX_LISTED = 100
BASE_IRI = "http://example.org/docre/"

IN = typer.Argument(..., metavar="IN", help="A .txt file, a folder of them, a .jsonl file, or - for standard input.")
OUT = typer.Argument(..., metavar="OUT", help=".jsonl, .csv, .ttl, .nt or .graphml; - writes JSONL to standard output.")
MODEL = typer.Option("en_docre", "--model", "-m", help="Installed pipeline or folder.")
MIN_SCORE = typer.Option(0.0, "--min-score", min=0.0, max=1.0, help="Leave out relations that score less.")
LINES = typer.Option(False, "--lines", help="Take each line of a text for a document.")
RESUME = typer.Option(False, "--resume", help="Go on where an earlier run was interrupted.")
FORCE = typer.Option(False, "--force", help="Start anew, and drop what an interrupted run has done.")
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
    an interruption --resume goes on from there. A document that fails is listed at the end with its reason and stops
    nothing; the exit code is 1 if none could be read. A complete OUT that is there already is replaced.

    Example: python -m spacy_docre extract articles/ relations.csv --min-score 0.5
    """
    with one_line_errors():
        to_stdout = out_path == "-"
        write = find_writer(Path(out_path), base_iri) if not to_stdout else None
        if in_path != "-" and not to_stdout and Path(in_path).absolute() == Path(out_path).absolute():
            raise ValueError(Errors.R122.format(path=out_path))
        journal = Path(out_path + ".unfinished")
        if not to_stdout and not resume and not force and journal.exists():
            raise ValueError(Errors.R170.format(journal=journal))
        if resume and not to_stdout and not journal.exists() and Path(out_path).exists():
            typer.echo(f"Nothing to resume: {out_path} is complete, of whatever it was made.", err=True)
            return
        failures = Failures()
        texts, total = read_texts(in_path, lines=lines, failures=failures)
        if gpu_id >= 0:
            spacy.require_gpu(gpu_id)
        nlp = load_pipeline(model, code)
        run = partial(extract, nlp, failures=failures, batch_size=batch_size, n_process=n_process)
        if write is None:
            n_done = sum(write_line(sys.stdout, drop_weak(record, min_score)) for record in run(texts, total=total))
        else:
            n_done = extract_to(journal, run, texts, total, nlp, resume=resume)
            finished = Path(out_path + ".finished")  # never half a file under the name that was asked for
            write(read_journal(journal, min_score), finished)
            os.replace(finished, out_path)
            journal.unlink()
        report(n_done, failures, out_path)
    if failures and not n_done:
        raise typer.Exit(1)


# Input


@dataclass(frozen=True)
class Text:
    """A document to read.

    name (str): Its id, or where it was found.
    """

    name: str
    text: str

    @property
    def key(self) -> Tuple[str, str]:
        """What tells documents apart when a run is resumed."""
        return self.name, hashlib.sha1(self.text.encode("utf8", "replace")).hexdigest()


@dataclass
class Failures:
    """Documents that could not be done, with their reasons."""

    reasons: List[Tuple[str, str]] = field(default_factory=list)

    def add(self, name: str, reason: Any) -> None:
        self.reasons.append((name, " ".join(str(reason).split()) or type(reason).__name__))

    def __bool__(self) -> bool:
        return bool(self.reasons)


def read_texts(path: str, *, lines: bool, failures: Failures) -> Tuple[Iterator[Text], Optional[int]]:
    """Find the documents of a path. Those that can't be read are left out.

    path (str): A .txt or .jsonl file, a folder with .txt files at any depth, or "-": JSONL if it begins with "{".
    lines (bool): Whether each line of a text is a document.
    failures (Failures): Gets what could not be read, as far as the documents were taken.
    RETURNS (Tuple[Iterator[Text], Optional[int]]): The documents, read one by one, and how many, where that is known.
    RAISES (ValueError): If there is nothing of that name, or of another kind.
    """
    if path == "-":
        stream = sys.stdin.buffer
        first = stream.readline()
        while first and not first.strip():
            first = stream.readline()
        if first.lstrip(codecs.BOM_UTF8).lstrip().startswith(b"{"):
            return _read_jsonl("stdin", chain([first], stream), failures), None
        return _read_plain("stdin", lambda: first + stream.read(), lines, failures), None
    place = Path(path)
    if place.is_dir():
        files = sorted(p for p in place.rglob("*.txt") if p.is_file())
        if not files:
            raise ValueError(Errors.R171.format(path=path, problem="the folder has no .txt file"))
        names = [file.relative_to(place).as_posix() for file in files]
        texts = (_read_plain(name, file.read_bytes, lines, failures) for name, file in zip(names, files))
        return chain.from_iterable(texts), None if lines else len(files)
    if not place.is_file():
        raise ValueError(Errors.R104.format(path=path))
    if place.suffix == ".txt":
        return _read_plain(place.name, place.read_bytes, lines, failures), None if lines else 1
    if place.suffix != ".jsonl":
        raise ValueError(Errors.R171.format(path=path, problem=f"its name ends in {place.suffix!r}"))
    return _read_jsonl(place.name, _read_lines(place), failures), None


def _read_lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file


def _read_plain(name: str, read: Callable[[], bytes], lines: bool, failures: Failures) -> Iterator[Text]:
    try:
        text = read().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        failures.add(name, e)
        return
    if not lines:
        yield Text(name, text)
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield Text(f"{name}:{number}", line.rstrip("\r"))


def _read_jsonl(name: str, lines: Iterable[bytes], failures: Failures) -> Iterator[Text]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{name}:{number}"
        try:
            record = json.loads(line.decode("utf-8-sig"))
        except (ValueError, RecursionError) as e:
            failures.add(where, f"it is no JSON in UTF-8 ({e})")
            continue
        if not isinstance(record, dict) or not is_text(record.get("text")):
            failures.add(where, "the key text is missing or no text")
            continue
        label = record.get("id")
        yield Text(where if label is None else str(label), record["text"])


# Work


def extract(
    nlp: Language,
    texts: Iterable[Text],
    *,
    total: Optional[int] = None,
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
    names = find_names(nlp)

    def queue() -> Iterator[Tuple[str, int]]:
        for number, text in enumerate(texts):
            if len(text.text) > nlp.max_length:
                failures.add(text.name, Errors.R172.format(n=len(text.text), limit=nlp.max_length))
                progress.update()
                continue
            pending.append((number, text))
            yield text.text, number

    nlp.set_error_handler(ignore_error)
    with tqdm(total=total, unit=" docs", desc="Extracting", file=sys.stderr, smoothing=0.05) as progress:
        for doc, number in nlp.pipe(queue(), as_tuples=True, batch_size=batch_size, n_process=n_process):
            while pending[0][0] != number:
                again.append(pending.popleft()[1])
            progress.update()
            yield make_record(doc, pending.popleft()[1], names)
        again.extend(text for _, text in pending)
        nlp.set_error_handler(raise_error)
        for text in again:
            progress.update()
            try:
                doc = nlp(text.text)
            except Exception as e:
                failures.add(text.name, e)
            else:
                yield make_record(doc, text, names)


def make_record(doc: Doc, text: Text, names: Dict[str, str]) -> Record:
    """RETURNS (Record): The document as our JSONL has it."""
    doc._.set(TITLE_ATTR, text.name)
    return doc_to_record(doc, **names)


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


# What is done already


def extract_to(
    journal: Path,
    run: Callable[..., Iterator[Record]],
    texts: Iterable[Text],
    total: Optional[int],
    nlp: Language,
    *,
    resume: bool,
) -> int:
    """Write records to a file as they come, each whole line of which outlives the process.

    journal (Path): The file.
    run (Callable): From texts to records.
    texts, total: See `extract`.
    nlp (Language): The pipeline; who resumes has to have the same.
    resume (bool): Go on behind what the file holds.
    RETURNS (int): Number of documents in the file.
    RAISES (ValueError): If the file is of another pipeline.
    """
    header = {"made_by": "{lang}_{name} {version}".format(**{**nlp.meta, "name": nlp.meta.get("name") or "pipeline"})}
    done = read_done(journal, header) if resume and journal.exists() else Counter()
    n_done = done.total()
    if n_done:
        typer.echo(f"{n_done} documents are done already.", err=True)

    def left() -> Iterator[Text]:
        for text in texts:
            if done[text.key]:
                done[text.key] -= 1
            else:
                yield text

    journal.parent.mkdir(parents=True, exist_ok=True)
    with journal.open("a" if resume else "w", encoding="utf8", newline="\n") as file:
        if not file.tell():
            write_line(file, header)
        for record in run(left(), total=None if total is None else max(total - n_done, 0)):
            n_done += write_line(file, record)
    return n_done


def write_line(file: IO[str], record: Dict[str, Any]) -> bool:
    """Write a record so that it is there should the process end. RETURNS (bool): True."""
    file.write(json.dumps(record, ensure_ascii=False) + "\n")
    file.flush()
    return True


def read_done(journal: Path, header: Dict[str, str]) -> "Counter[Tuple[str, str]]":
    """Cut off a line that was not finished, and count the documents before it.

    RAISES (ValueError): If the file's header is another.
    """
    with journal.open("rb+") as file:
        whole = 0
        done: Counter[Tuple[str, str]] = Counter()
        for number, line in enumerate(file):
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            record = json.loads(line)
            if number:
                done[Text(record["id"], record["text"]).key] += 1
            elif record != header:
                problem = f"it was made by {record.get('made_by')}, and this is {header['made_by']}"
                raise ValueError(Errors.R174.format(journal=journal, problem=problem))
        file.truncate(whole)
    return done


def read_journal(journal: Path, min_score: float) -> Iterator[Record]:
    """YIELDS (Record): The documents of a file of `extract_to`."""
    with journal.open(encoding="utf8") as file:
        next(file)
        for line in file:
            yield drop_weak(json.loads(line), min_score)


def drop_weak(record: Record, min_score: float) -> Record:
    """RETURNS (Record): The same without relations that score less."""
    relations = [relation for relation in record.get("relations", []) if relation["score"] >= min_score]
    return {**record, "relations": relations}


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
    typer.echo(f"{n_done} {'document' if n_done == 1 else 'documents'} written to {place}.", err=True)
    if failures:
        typer.echo(f"{len(failures.reasons)} documents failed:", err=True)
        for name, reason in failures.reasons[:MAX_LISTED]:
            typer.echo(f"  {name}: {reason}", err=True)
        if len(failures.reasons) > MAX_LISTED:
            typer.echo(f"  and {len(failures.reasons) - MAX_LISTED} more", err=True)
