"""Read texts: files, folders, lines, standard input."""

import codecs
import hashlib
import json
import sys
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, List, Optional, Tuple

from ..doc.names import normalize_space
from ..errors import Errors
from ..readers.checks import is_text


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
        self.reasons.append((name, normalize_space(str(reason)) or type(reason).__name__))

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
        names = [make_printable(file.relative_to(place).as_posix()) for file in files]
        texts = (_read_plain(name, file.read_bytes, lines, failures) for name, file in zip(names, files))
        return chain.from_iterable(texts), None if lines else len(files)
    if not place.is_file():
        raise ValueError(Errors.R104.format(path=path))
    if place.suffix == ".txt":
        return _read_plain(place.name, place.read_bytes, lines, failures), _count_lines(place) if lines else 1
    if place.suffix != ".jsonl":
        raise ValueError(Errors.R171.format(path=path, problem=f"its name ends in {place.suffix!r}"))
    return _read_jsonl(place.name, _read_lines(place), failures), _count_lines(place)


def _read_lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file


def _count_lines(path: Path) -> int:
    return sum(bool(line.strip()) for line in _read_lines(path))


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
            failures.add(where, f"it is not JSON in UTF-8 ({e})")
            continue
        if not isinstance(record, dict) or not is_text(record.get("text")):
            failures.add(where, "the key text is missing or no text")
            continue
        label = record.get("id")
        yield Text(where if label is None else make_printable(label), record["text"])


def make_printable(name: Any) -> str:
    """Escape lone surrogates, which names of files and JSON may have but no file can hold."""
    return str(name).encode("utf8", "backslashreplace").decode("utf8")
