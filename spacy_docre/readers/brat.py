"""Read brat's standoff files: a folder with pairs of NAME.txt and NAME.ann."""

import re
from pathlib import Path
from typing import Iterator, Optional, Tuple, Union

from spacy.language import Language
from spacy.tokens import Doc

from ..errors import Errors
from .checks import Malformed, PathLike, expect
from .faults import Faults
from .lift import Annotation, Lift, read_annotations
from .offsets import Mention

RANGES = re.compile(r"(\S+) (\d{1,15} \d{1,15}(?:;\d{1,15} \d{1,15})*)")
RELATION = re.compile(r"(\S+)\s+[^\s:]+:(\S+)\s+[^\s:]+:(\S+)\s*")
REVERSED = re.compile(r"\sArg2:\S+\s+Arg1:")
EQUIV = re.compile(r"Equiv((?:\s+\S+){2,})\s*")
IGNORED = "EAMN#*"  # events, attributes and what they were called before, norms, notes, other sets


def read_brat(
    path: PathLike,
    *,
    nlp: Optional[Language] = None,
    lift: Optional[Lift] = None,
    strict: bool = False,
    faults: Optional[Faults] = None,
) -> Iterator[Doc]:
    """Read mentions (T), relations (R) and what is equivalent (*); see `read_annotations`. A mention in pieces, which
    brat makes of one that runs over a line end too, is taken from the first piece to the last.

    path (PathLike): Folder, searched with all folders in it.
    nlp, lift, strict, faults: See `read_annotations`.
    YIELDS (Doc): A document without sentences: brat has none. Its title is the path within the folder, without ending.
    RAISES (ValueError): If there is no such folder; with `strict`, if anything would be dropped.
    """
    if not Path(path).is_dir():
        raise ValueError(Errors.R104.format(path=path))
    faults = Faults() if faults is None else faults
    annotations = _read_folder(Path(path), faults)
    yield from read_annotations(annotations, nlp=nlp, lift=lift, strict=strict, faults=faults)


def _read_folder(folder: Path, faults: Faults) -> Iterator[Tuple[str, Union[Annotation, Malformed]]]:
    stems = {path.with_suffix("") for ending in ("*.txt", "*.ann") for path in folder.rglob(ending)}
    for stem in sorted(stems):
        ann, txt = (stem.with_name(f"{stem.name}.{ending}") for ending in ("ann", "txt"))
        if not ann.is_file():
            faults.unanswered_texts += 1
            continue
        try:
            yield str(ann), _read_pair(txt, ann, stem.relative_to(folder).as_posix(), faults)
        except Malformed as e:
            yield str(ann), e


def _read_pair(txt: Path, ann: Path, title: str, faults: Faults) -> Annotation:
    """RAISES (Malformed): If there is no text file, or a line of the annotation is not in brat's format."""
    expect(txt.is_file(), f"there is no {txt.name} beside it")
    # Line ends and a byte order mark stay as they are: brat's offsets count them.
    annotation = Annotation(_read_text(txt), title)
    for number, line in enumerate(_read_text(ann).removeprefix("\ufeff").split("\n"), start=1):
        if line.strip():
            _read_line(annotation, line.rstrip("\r"), number, faults)
    return annotation


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf8")
    except UnicodeDecodeError as e:
        raise Malformed(f"{path.name} is not in UTF-8 ({e})") from None


def _read_line(annotation: Annotation, line: str, number: int, faults: Faults) -> None:
    """Add what a line says. RAISES (Malformed): If it is not in brat's format."""
    name, _, content = line.partition("\t")
    problem = f"line {number} is not in brat's format, or names a mention twice: {line!r:.80}"
    equiv = EQUIV.fullmatch(content) if name == "*" else None
    if name.startswith("T"):
        ranges, _, text = content.partition("\t")
        match = RANGES.fullmatch(ranges)
        if match is None or name in annotation.mentions:
            raise Malformed(problem)
        pieces = [(int(start), int(end)) for start, end in (piece.split() for piece in match[2].split(";"))]
        annotation.mentions[name] = Mention(pieces, [match[1]], text)
    elif name.startswith("R"):
        match = RELATION.fullmatch(content)
        if match is None:
            raise Malformed(problem)
        head, tail = (match[3], match[2]) if REVERSED.search(content) else (match[2], match[3])
        annotation.pairs.append((head, match[1], tail))
    elif equiv:
        names = equiv[1].split()
        annotation.pairs += [(first, None, other) for first, other in zip(names, names[1:])]
    else:
        expect(name[:1] in tuple(IGNORED), problem)
        faults.ignored_annotations += 1
