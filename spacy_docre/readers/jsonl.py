"""Our own JSONL, one document a line. Offsets count code points; an absent key means "not annotated", [] "none"."""

from pathlib import Path
from typing import Any, Iterator, Optional, Tuple

import spacy
from spacy.language import Language
from spacy.tokens import Doc

from ..errors import Errors
from .checks import PathLike, parse_json
from .faults import Faults
from .records import read_records


def read_jsonl(
    path: PathLike, *, nlp: Optional[Language] = None, strict: bool = False, faults: Optional[Faults] = None
) -> Iterator[Doc]:
    """Read documents and tokenise their text; see `read_records`.

    path (PathLike): File with one JSON object a line; empty lines are passed over.
    nlp (Optional[Language]): Gives tokenizer and vocabulary; English by default.
    strict (bool): Raise at the first loss, such as a relation of an entity without mentions.
    faults (Optional[Faults]): Counts what was found wrong, as far as the file was read.
    YIELDS (Doc): A document, entities ordered by first mention and numbered anew in its relations.
    RAISES (ValueError): If the file is missing; with `strict`, if anything in it would be dropped.
    """
    nlp = spacy.blank("en") if nlp is None else nlp
    faults = Faults() if faults is None else faults
    yield from read_records(json_lines(path), nlp=nlp, strict=strict, faults=faults)


def json_lines(path: PathLike) -> Iterator[Tuple[str, Any]]:
    """YIELDS (Tuple[str, Any]): Path and line, and the object there, or a Malformed. Empty lines are passed over.
    RAISES (ValueError): If the file is missing.
    """
    if not Path(path).is_file():
        raise ValueError(Errors.R104.format(path=path))
    with Path(path).open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield f"{path}: line {number}", parse_json(line)
