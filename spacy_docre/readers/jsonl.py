"""Our own JSONL, one document a line. Offsets count code points; an absent key means "not annotated", [] "none"."""

import json
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

import spacy
from spacy.language import Language
from spacy.tokens import Doc

from ..doc.align import token_offsets
from ..doc.layers import get_clusters, get_types, has_clusters
from ..doc.notes import TITLE_ATTR
from ..doc.places import DEFAULT, Places
from ..doc.records import get_relation_data
from ..doc.sentences import has_sentences
from ..errors import Errors
from .checks import PathLike, parse_json
from .faults import Faults
from .records import read_records

# Writing


def write_jsonl(docs: Iterable[Doc], path: PathLike, places: Places = DEFAULT) -> None:
    """Write one document a line; see `doc_to_record`."""
    with Path(path).open("w", encoding="utf8", newline="\n") as file:
        for doc in docs:
            file.write(json.dumps(doc_to_record(doc, places), ensure_ascii=False) + "\n")


def doc_to_record(doc: Doc, places: Places = DEFAULT) -> Dict[str, Any]:
    """Turn a Doc into plain data. Mentions outside of any cluster have no place in it.

    places (Places): Where the layers are kept.
    RETURNS (Dict[str, Any]): One line of JSONL. Layers the Doc lacks are absent.
    """
    record: Dict[str, Any] = {}
    if doc._.get(TITLE_ATTR) is not None:
        record["id"] = doc._.get(TITLE_ATTR)
    record["text"] = doc.text
    if has_sentences(doc):
        record["sents"] = [[sent.start_char, sent.end_char] for sent in doc.sents]
    starts, ends = (offsets.tolist() for offsets in token_offsets(doc))

    def chars(span: Sequence[int]) -> List[int]:
        return [starts[span[0]], ends[span[1] - 1]]

    if has_clusters(doc, places):
        labels = get_types(doc, places)
        record["entities"] = [
            {**({"label": label} if label else {}), "mentions": [chars(span) for span in spans]}
            for label, spans in zip(labels, get_clusters(doc, places))
        ]
    relations = get_relation_data(doc, places)
    if relations is not None:
        record["relations"] = [
            {
                **relation,
                "sentences": list(relation["sentences"]),
                "evidence": [
                    {"head": chars(e["head"]), "tail": chars(e["tail"]), "weight": e["weight"]}
                    for e in relation["evidence"]
                ],
            }
            for relation in relations
        ]
    return record


# Reading


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
