"""The files beside an output of `extract`: what is done already, and of what a complete file was made."""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import IO, Any, Callable, Dict, Iterable, Iterator, Optional, Tuple

from spacy.language import Language

from ..errors import Errors
from ..writers.facts import Record
from ..writers.formats import Write
from .texts import Text

CHUNK = 1 << 20  # bytes

Run = Callable[[Iterable[Text]], Iterator[Record]]
Done = Counter[Tuple[str, str]]  # keys of texts


class Journal:
    """The files beside an output: `.unfinished` outlives a killed process; `.origin` takes its place once the output is
    complete.

    out (Path): The output.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.unfinished = out.with_name(out.name + ".unfinished")
        self.origin = out.with_name(out.name + ".origin")

    def write(self, run: Run, texts: Iterable[Text], made_by: Dict[str, str], done: Done) -> Dict[str, Any]:
        """Append records as they come. Each whole line outlives the process.

        run (Run): From texts to records.
        texts (Iterable[Text]): The documents, those that are done among them.
        made_by (Dict[str, str]): See `identify`.
        done (Done): What `read_done` has found. It is used up.
        RETURNS (Dict[str, Any]): What was written: `documents`, their number, and `texts`, a digest of all texts.
        """
        n_done = done.total()
        digest = hashlib.sha1()

        def left() -> Iterator[Text]:
            for text in watch(texts, digest):
                if done[text.key]:
                    done[text.key] -= 1
                else:
                    yield text

        self.out.parent.mkdir(parents=True, exist_ok=True)
        with self.unfinished.open("a", encoding="utf8", newline="\n") as file:
            if not file.tell():
                write_line(file, made_by)
            for record in run(left()):
                write_line(file, record)
                n_done += 1
        return {"documents": n_done, "texts": digest.hexdigest()}

    def read_done(self, made_by: Dict[str, str]) -> Done:
        """Cut off a line that was not finished, and count the documents before it.

        RETURNS (Done): How often each text is done.
        RAISES (ValueError): If the file is of another pipeline.
        """
        done: Done = Counter()
        if not self.unfinished.exists():
            return done
        with self.unfinished.open("rb+") as file:
            whole = 0
            for number, line in enumerate(file):
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                record = json.loads(line)
                if number:
                    done[Text(record["id"], record["text"]).key] += 1
                else:
                    self._check_pipeline(record, made_by)
            file.truncate(whole)
        return done

    def check(
        self, texts: Iterable[Text], made_by: Dict[str, str], settings: Dict[str, Any]
    ) -> Optional[Dict[str, Any]]:
        """Make sure that what is there can be gone on with.

        texts (Iterable[Text]): All documents.
        made_by (Dict[str, str]): See `identify`.
        settings (Dict[str, Any]): What else a complete output depends on.
        RETURNS (Optional[Dict[str, Any]]): What is known of the output if it is complete; None if there is work to do.
        RAISES (ValueError): If it was made of other documents, by another pipeline or with other settings, or if its
            origin is not known.
        """
        if self.unfinished.exists():
            self._check_done(self.read_done(made_by), texts)
            return None
        if not self.out.exists():
            return None
        known = self._read_origin()
        self._check_pipeline(known, made_by)
        digest = hashlib.sha1()
        for _ in watch(texts, digest):
            pass
        if known.get("texts") != digest.hexdigest():
            self._refuse(f"it is complete, and was made of other documents ({known.get('input')})")
        for name, value in settings.items():
            if known.get(name) != value:
                self._refuse(f"it is complete, and was made with {name} {known.get(name)}, not {value}")
        return known

    def finish(self, write: Write, min_score: float, origin: Dict[str, Any]) -> None:
        """Make the output of what is done. There is never half a file under its name.

        write (Callable[[Iterable[Record], Path], None]): Writes records to a file.
        min_score (float): See `drop_weak`.
        origin (Dict[str, Any]): What is known of it, to be kept.
        """
        finished = self.out.with_name(self.out.name + ".finished")
        write(self._read_records(min_score), finished)
        line = json.dumps({**origin, "bytes": finished.stat().st_size}, ensure_ascii=False)
        self.origin.write_text(line + "\n", encoding="utf8", newline="\n")
        finished.replace(self.out)
        self.unfinished.unlink()

    def _read_records(self, min_score: float) -> Iterator[Record]:
        with self.unfinished.open(encoding="utf8") as file:
            next(file)
            for line in file:
                yield drop_weak(json.loads(line), min_score)

    def _read_origin(self) -> Dict[str, Any]:
        try:
            known = json.loads(self.origin.read_text(encoding="utf8"))
        except (OSError, ValueError):
            known = {}
        if known.get("bytes") != self.out.stat().st_size:
            self._refuse("it is there, but of what it was made is not known")
        return known

    def _check_pipeline(self, known: Dict[str, str], made_by: Dict[str, str]) -> None:
        if known.get("pipeline") != made_by["pipeline"]:
            self._refuse(f"it was made by {known.get('pipeline')}, and this is {made_by['pipeline']}")
        if known.get("weights") != made_by["weights"]:
            self._refuse(f"it was made by {made_by['pipeline']} with other weights or settings")
        if known.get("places", "") != made_by.get("places", ""):  # version 0.1 had no places
            self._refuse(f"it was made with --places {known.get('places') or 'of the pipeline'}")

    def _check_done(self, done: Done, texts: Iterable[Text]) -> None:
        total, names = done.total(), {name for name, _ in done}
        done -= Counter(text.key for text in texts if text.name in names)
        if done:
            name = next(iter(done))[0]
            self._refuse(f"{done.total()} of the {count_documents(total)} done are not in the input, such as {name!r}")

    def _refuse(self, problem: str) -> None:
        raise ValueError(Errors.R174.format(path=self.out, problem=problem))


def identify(nlp: Language, in_path: str) -> Dict[str, str]:
    """Say what a run is made by.

    RETURNS (Dict[str, str]): Name and version of the pipeline, a digest of its files, and where texts come from.
    """
    name = "{lang}_{name} {version}".format(**{**nlp.meta, "name": nlp.meta.get("name") or "pipeline"})
    return {"pipeline": name, "weights": digest_folder(nlp.path) if nlp.path else "", "input": in_path}


def digest_folder(folder: Path) -> str:
    """Compute a digest of the names and contents of all files, compiled Python left out."""
    digest = hashlib.sha1()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".pyc"):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def watch(texts: Iterable[Text], digest: Any) -> Iterator[Text]:
    """YIELDS (Text): The documents as they pass, while a digest takes in what tells them apart."""
    for text in texts:
        digest.update("\0".join(text.key).encode("utf8", "replace") + b"\0")
        yield text


def write_line(file: IO[str], record: Dict[str, Any]) -> None:
    """Write a record so that it outlives the process."""
    file.write(json.dumps(record, ensure_ascii=False) + "\n")
    file.flush()


def drop_weak(record: Record, min_score: float) -> Record:
    """Leave out the relations of a record that score less."""
    if "relations" not in record:
        return record
    return {**record, "relations": [r for r in record["relations"] if r["score"] >= min_score]}


def count_documents(n: int) -> str:
    """Write a number of documents: "1 document", "2 documents"."""
    return f"{n} document{'' if n == 1 else 's'}"
