"""`convert folder`: all that `spacy train` needs, from a folder of a known layout."""

from itertools import chain
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Set, Tuple

import spacy
import srsly
import typer
from spacy.tokens import Doc

from ..doc.records import get_relation_data
from ..errors import Errors
from ..readers.docred import read_docred, read_rel_info
from ..readers.faults import Faults
from ..readers.jsonl import read_jsonl
from ._util import convert_docs, one_line_errors
from .convert import convert

FOLDER = typer.Argument(
    ..., metavar="IN", help="Folder with Re-DocRED (see below), or with *train.jsonl and *dev.jsonl."
)
OUT_DIR = typer.Argument(..., metavar="OUT", help="Folder for train.spacy, dev.spacy and relation_labels.json.")


@convert.command("folder")
def convert_folder(in_path: Path = FOLDER, out_path: Path = OUT_DIR) -> None:
    """Convert a folder of data into train.spacy, dev.spacy and relation_labels.json.

    Either it has redocred/train.json, redocred/dev.json, docred/rel_info.json and, if wanted,
    docred/entities_only.json (documents without relations, joined to the training data); or *train.jsonl and
    *dev.jsonl in our own format.

    Example: python -m spacy_docre convert folder assets corpus
    """
    with one_line_errors():
        if not in_path.is_dir():
            raise ValueError(Errors.R104.format(path=in_path))
        if (in_path / "redocred" / "train.json").is_file():
            labels = convert_redocred(in_path, out_path)
        else:
            labels = convert_own(in_path, out_path)
        srsly.write_json(out_path / "relation_labels.json", labels)
    typer.echo(f"{len(labels):>10,}  relation labels")


def convert_redocred(in_path: Path, out_path: Path) -> Dict[str, str]:
    """Write the corpora of a folder with Re-DocRED.

    RETURNS (Dict[str, str]): Identifier of each relation label in rel_info.json.
    """
    names = read_rel_info(in_path / "docred" / "rel_info.json")
    for name in ("train", "dev"):
        paths = [in_path / "redocred" / f"{name}.json"]
        if name == "train" and (in_path / "docred" / "entities_only.json").is_file():
            paths.append(in_path / "docred" / "entities_only.json")
        faults, nlp = Faults(), spacy.blank("en")
        docs = chain.from_iterable(read_docred(path, nlp=nlp, rel_info=names, faults=faults) for path in paths)
        write(docs, paths, out_path / f"{name}.spacy", faults)
    return unique_labels((label, kb_id) for kb_id, label in names.items())


def convert_own(in_path: Path, out_path: Path) -> Dict[str, str]:
    """Write the corpora of a folder with our JSONL.

    RETURNS (Dict[str, str]): Identifier of each relation label of the documents.
    RAISES (ValueError): If the files for training or dev are missing, or a label has two identifiers.
    """
    found: Set[Tuple[str, str]] = set()

    def collect(docs: Iterable[Doc]) -> Iterator[Doc]:
        for doc in docs:
            found.update((record["label"], record["kb_id"]) for record in get_relation_data(doc) or ())
            yield doc

    for name in ("train", "dev"):
        paths = sorted(in_path.glob(f"*{name}.jsonl"))
        if not paths:
            raise ValueError(Errors.R157.format(path=in_path))
        faults, nlp = Faults(), spacy.blank("en")
        docs = chain.from_iterable(read_jsonl(path, nlp=nlp, faults=faults) for path in paths)
        write(collect(docs), paths, out_path / f"{name}.spacy", faults)
    return unique_labels(sorted(found))


def write(docs: Iterable[Doc], paths: List[Path], out_path: Path, faults: Faults) -> None:
    """Write documents and print what they hold; of documents with one text the first counts."""
    typer.echo(f"{out_path}: {', '.join(map(str, paths))}")
    convert_docs(first_of_text(docs), paths[0], out_path, faults)


def first_of_text(docs: Iterable[Doc]) -> Iterator[Doc]:
    texts: Set[str] = set()
    for doc in docs:
        if doc.text not in texts:
            texts.add(doc.text)
            yield doc


def unique_labels(pairs: Iterable[Tuple[str, str]]) -> Dict[str, str]:
    """Map labels to their identifiers. RAISES (ValueError): If a label has two."""
    labels: Dict[str, str] = {}
    for label, kb_id in pairs:
        if labels.setdefault(label, kb_id) != kb_id:
            raise ValueError(Errors.R156.format(label=label, first=labels[label], second=kb_id))
    return labels
