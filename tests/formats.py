"""One small corpus in each format that is read, and how it becomes files."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, List

from tool_exports import arrow, label_studio_answer, label_studio_task, region, write_brat

from spacy_docre.readers.brat import read_brat
from spacy_docre.readers.docred import read_docred
from spacy_docre.readers.dwie import read_dwie
from spacy_docre.readers.jsonl import read_jsonl
from spacy_docre.readers.label_studio import read_label_studio
from spacy_docre.readers.prodigy import read_prodigy
from spacy_docre.readers.pubtator import read_pubtator

TEXT = "Ada 🌍 Berg left Oslo. Berg's home burnt."

DOCRED = {
    "title": "Ada Berg",
    "sents": [["Ada", "Berg", "was", "born", "in", "Oslo", "."], ["Berg", "'s", "home", "burnt", "."]],
    "vertexSet": [
        [{"name": "Berg", "sent_id": 1, "pos": [0, 1], "type": "PER"}, {"sent_id": 0, "pos": [0, 2], "type": "PER"}],
        [{"name": "Oslo", "sent_id": 0, "pos": [5, 6], "type": "LOC"}],
    ],
    "labels": [{"h": 0, "t": 1, "r": "P19", "evidence": [0, 1]}],
}
JSONL = {
    "id": "a1",
    "text": TEXT,
    "sents": [[0, 21], [22, 40]],
    "entities": [{"label": "PER", "mentions": [[0, 10], [22, 26]]}, {"label": "LOC", "mentions": [[16, 20]]}],
    "relations": [
        {
            "head": 0,
            "label": "residence",
            "kb_id": "P551",
            "tail": 1,
            "score": 0.75,
            "sentences": [0],
            "evidence": [{"head": [0, 10], "tail": [16, 20], "weight": 0.5}],
        }
    ],
}
DWIE = {
    "id": "DW_1",
    "content": TEXT,
    "tags": ["all", "train"],
    "mentions": [
        {"begin": 0, "end": 10, "text": "Ada 🌍 Berg", "concept": 0},
        {"begin": 16, "end": 20, "text": "Oslo", "concept": 3},
        {"begin": 22, "end": 26, "text": "Berg", "concept": 0},
    ],
    "concepts": [
        {"concept": 0, "tags": ["type::entity", "type::person", "type::writer"]},
        {"concept": 3, "tags": ["type::entity", "type::gpe", "type::location"]},
    ],
    "relations": [{"s": 0, "p": "based_in", "o": 3}],
}
PUBTATOR = """7|t|Ada 🌍 Berg left Oslo.
7|a|Berg's home burnt.
7\t0\t10\tAda 🌍 Berg\tPerson\tA1
7\t16\t20\tOslo\tPlace\tO2
7\t22\t26\tBerg\tPerson\tA1
7\tresidence\tA1\tO2\tNovel
"""
SPANS = [
    {"start": 0, "end": 10, "token_start": 0, "token_end": 2, "label": "PER"},
    {"start": 16, "end": 20, "token_start": 4, "token_end": 4, "label": "LOC"},
    {"start": 22, "end": 26, "token_start": 6, "token_end": 6, "label": "PER"},
]
PRODIGY = {
    "text": TEXT,
    "meta": {"title": "Ada Berg"},
    "tokens": [{"text": "Ada", "start": 0, "end": 3, "id": 0, "ws": True}],
    "spans": SPANS,
    "relations": [
        {"head": 6, "child": 2, "head_span": SPANS[2], "child_span": SPANS[0], "label": "COREF"},
        {"head": 2, "child": 4, "label": "residence"},
    ],
    "answer": "accept",
}
REGIONS = [region(i, s["start"], s["end"], s["label"], text=TEXT[s["start"] : s["end"]]) for i, s in zip("abc", SPANS)]
ARROWS = [arrow("c", "a", "COREF"), arrow("a", "b", "residence")]
LABEL_STUDIO = label_studio_task(label_studio_answer([*REGIONS, *ARROWS]), data={"text": TEXT})
BRAT = """T1\tPER 0 10\tAda 🌍 Berg
T2\tLOC 16 20\tOslo
T3\tPER 22 26\tBerg
*\tEquiv T1 T3
R1\tresidence Arg1:T1 Arg2:T2
"""


@dataclass
class Format:
    """document: one in the shape of the format; write: puts several to a path; read: yields Docs from there."""

    name: str
    document: Any
    write: Callable[[Path, List[Any]], None]
    read: Callable[..., Any]
    is_folder: bool = False


def dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=True).encode()


def write_array(path: Path, documents: List[Any]) -> None:
    path.write_bytes(dump(documents))


def write_lines(path: Path, documents: List[Any]) -> None:
    path.write_bytes(b"\n".join(map(dump, documents)))


def write_files(path: Path, documents: List[Any]) -> None:
    path.mkdir(exist_ok=True)
    for old in path.iterdir():
        old.unlink()
    for i, document in enumerate(documents):
        (path / f"{i}.json").write_bytes(dump(document))


def write_blocks(path: Path, documents: List[str]) -> None:
    path.write_bytes("\n".join(documents).encode("utf8", errors="surrogatepass"))


def write_pairs(path: Path, documents: List[str]) -> None:
    for old in path.glob("*"):
        old.unlink()
    for i, document in enumerate(documents):
        write_brat(path, document, TEXT, str(i))


FORMATS = [
    Format("docred", DOCRED, write_array, read_docred),
    Format("jsonl", JSONL, write_lines, read_jsonl),
    Format("dwie", DWIE, write_files, read_dwie, is_folder=True),
    Format("pubtator", PUBTATOR, write_blocks, read_pubtator),
    Format("prodigy", PRODIGY, write_lines, read_prodigy),
    Format("labelstudio", LABEL_STUDIO, write_array, read_label_studio),
    Format("brat", BRAT, write_pairs, read_brat, is_folder=True),
]
