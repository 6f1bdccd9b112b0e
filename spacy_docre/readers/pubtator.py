"""Read PubTator files with relations: BioCreative V CDR, GDA, BioRED."""

import re
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple, Union

import spacy
from spacy.language import Language
from spacy.tokens import Doc

from ..errors import Errors
from .annotate import choose_type
from .checks import Malformed, PathLike, expect, is_text
from .faults import Faults
from .records import read_records

TEXT_LINE = re.compile(r"([^|\t]+)\|([ta])\|(.*)", flags=re.DOTALL)
NO_CONCEPT = ("", "-", "-1")
# A variant's own bars part its kind, change, place: "c|SUB|A|1|G", "p|DEL|439_443|", "|Allele|T|79".
VARIANT = re.compile(r"[A-Za-z]?\|[A-Za-z]+\|")

NUMBER = re.compile(r"[0-9]{1,9}")

Lines = List[Tuple[int, str]]
TypedMention = Tuple[int, int, str, str]  # characters [start, end), type, concepts


def read_pubtator(
    path: PathLike, *, nlp: Optional[Language] = None, strict: bool = False, faults: Optional[Faults] = None
) -> Iterator[Doc]:
    """Read documents: title and abstract, joined by a space, are one text, and an entity is a concept that has
    mentions. A mention of several concepts is one of each; without a concept it is an entity of its own.

    path (PathLike): File of documents with an empty line between them.
    nlp (Optional[Language]): Gives tokenizer and vocabulary; English by default.
    strict (bool): Raise at the first loss.
    faults (Optional[Faults]): Counts what was found wrong, as far as the file was read.
    YIELDS (Doc): A document; its title is its number. One without relation lines has no relations.
    RAISES (ValueError): If the file is missing or not in UTF-8; with `strict`, if anything would be dropped.
    """
    nlp = spacy.blank("en") if nlp is None else nlp
    faults = Faults() if faults is None else faults
    if not Path(path).is_file():
        raise ValueError(Errors.R104.format(path=path))
    records = _make_records(path, strict, faults)
    yield from read_records(records, nlp=nlp, strict=strict, faults=faults)


def split_concepts(field: str, related: Set[str]) -> List[str]:
    """Split what names the concepts of a mention: an identifier that a relation of the document names is never split;
    all others are split at ";" and ",", and at "|" unless they are a variant.

    related (Set[str]): Identifiers that the document's relations name.
    RETURNS (List[str]): Identifiers, each once; none for a mention without a concept.
    """
    if field in related:
        return [field]
    parts: List[str] = []
    for part in re.split("[;,]", field):
        is_whole = part in related or VARIANT.match(part)
        parts.extend([part] if is_whole else part.split("|"))
    return list(dict.fromkeys(part.strip() for part in parts if part.strip() not in NO_CONCEPT))


def _make_records(
    path: PathLike, strict: bool, faults: Faults
) -> Iterator[Tuple[str, Union[Dict[str, Any], Malformed]]]:
    """YIELDS (Tuple[str, Union[Dict[str, Any], Malformed]]): Where it begins, and its content as our JSONL has it."""
    for lines in _blocks(path):
        where = f"{path}: line {lines[0][0]}"
        try:
            yield where, _make_record(lines, where, strict, faults)
        except Malformed as e:
            yield where, e


def _blocks(path: PathLike) -> Iterator[Lines]:
    """YIELDS (Lines): The numbered lines of each document: up to an empty line, or the title line of the next."""
    lines: Lines = []
    with Path(path).open("rb") as file:
        for number, data in enumerate(file, start=1):
            line = _decode(data)
            if lines and (not line.strip() or re.match(r"[^|\t]+\|t\|", line)):
                yield lines
                lines = []
            if line.strip():
                lines.append((number, line))
    if lines:
        yield lines


def _decode(data: bytes) -> str:
    """Decode a line, without its end. Bytes that are not UTF-8 become lone surrogates, which `is_text` refuses."""
    return data.decode("utf8", errors="surrogateescape").removeprefix("\ufeff").rstrip("\r\n")


def _make_record(lines: Lines, where: str, strict: bool, faults: Faults) -> Dict[str, Any]:
    """Turn a document into a record of our JSONL. RAISES (Malformed): Naming the first problem."""
    first = TEXT_LINE.match(lines[0][1])
    if first is None or first[2] != "t":
        raise Malformed("it does not begin with a title line (ID|t|...)")
    title, parts = first[1], {}
    mentions: List[List[str]] = []
    relations: List[List[str]] = []
    for number, line in lines:
        expect(is_text(line), f"line {number} is not in UTF-8")
        text_line, fields = TEXT_LINE.match(line), line.split("\t")
        expect((text_line[1] if text_line else fields[0]) == title, f"line {number} is of another document")
        if text_line:
            expect(text_line[2] not in parts, f"line {number} is a second title or abstract")
            parts[text_line[2]] = text_line[3]
        elif len(fields) >= 5 and all(NUMBER.fullmatch(field) for field in fields[1:3]):
            mentions.append(fields)
        else:
            is_relation = len(fields) in (4, 5) and all(map(str.strip, fields[1:4]))
            expect(is_relation, f"line {number} is neither title, abstract, mention nor relation: {line!r:.60}")
            relations.append([field.strip() for field in fields])
    text = " ".join(parts[key] for key in "ta" if key in parts)
    checked: List[TypedMention] = []
    for _, start, end, mention, *rest in mentions:
        if mention and text[int(start) : int(end)] == mention:
            checked.append((int(start), int(end), rest[0], rest[1].strip() if rest[1:] else ""))
        else:
            found = text[int(start) : int(end)]
            problem = f"at {start} stands {found!r:.60}, not {mention!r:.60}, so this mention is dropped"
            faults.drop("wrong_offsets", Errors.R116.format(where=where, title=title, problem=problem), strict)
    related = {concept for fields in relations for concept in fields[2:4]}
    entities, numbers = _join_mentions(checked, related, faults)
    joined = [{"head": numbers[head], "label": label, "tail": numbers[tail]} for _, label, head, tail, *_ in relations]
    return {"id": title, "text": text, "entities": entities, "relations": joined}


def _join_mentions(
    mentions: Iterable[TypedMention], related: Set[str], faults: Faults
) -> Tuple[List[Dict[str, Any]], Dict[Union[str, int], int]]:
    """Join the mentions of a concept to an entity. One that only relations name becomes an entity without mentions.

    RETURNS (Tuple[List[Dict[str, Any]], Dict[Union[str, int], int]]): Entities as our JSONL has them, and the number of
        each concept.
    """
    joined: Dict[Union[str, int], List[TypedMention]] = {concept: [] for concept in sorted(related)}
    for i, mention in enumerate(sorted(mentions)):
        concepts: Sequence[Union[str, int]] = split_concepts(mention[3], related) or [i]
        for concept in concepts:
            joined.setdefault(concept, []).append(mention)
    entities = []
    for group in joined.values():
        labels = [label for _, _, label, _ in group]
        faults.mixed_types += len(set(labels)) > 1
        spans = [[start, end] for start, end, _, _ in group]
        entities.append({"label": choose_type(labels) if labels else "", "mentions": spans})
    return entities, {concept: i for i, concept in enumerate(joined)}
