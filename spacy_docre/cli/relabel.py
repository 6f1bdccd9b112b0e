"""`relabel`: documents of one corpus with the relations that another has for them."""

import sys
from bisect import bisect_right
from collections import Counter
from pathlib import Path
from typing import Dict, FrozenSet, Iterable, Iterator, List, Optional, Sequence, Tuple

import spacy
import typer
from spacy.tokens import Doc
from tqdm import tqdm

from ..attributes import get_relation_data, get_sentences, get_title, set_relation_data
from ..doc.records import RelationRecord
from ..doc.sets import entity_list
from ..errors import Errors
from ..readers.corpus import create_docre_corpus
from ..readers.docred import read_docred, read_rel_info
from ..readers.faults import MAX_MESSAGES, Faults
from . import app
from .convert import REL_INFO, convert_docs, one_line_errors

CLEAN = typer.Argument(..., metavar="CLEAN", help="Documents to relabel: .spacy files, or .json in DocRED's format.")
ORIGINAL = typer.Argument(..., metavar="ORIGINAL", help="Documents of the same titles with the relations to take.")
OUT = typer.Argument(..., metavar="OUT", help="File to write (.spacy or .jsonl), or a folder for .spacy shards.")

Entity = FrozenSet[Tuple[int, int]]  # first and last characters of the mentions


@app.command("relabel")
def relabel_cli(
    clean: str = CLEAN, original: str = ORIGINAL, out: Path = OUT, rel_info: Optional[Path] = REL_INFO
) -> None:
    """Give the documents of CLEAN the relations of ORIGINAL, paired by title; text and entities stay those of CLEAN.

    Titles that only one of them has are left out, counted, and listed on standard error.

    Example: python -m spacy_docre relabel redocred/dev.json docred/dev.json dev_original.spacy --rel-info rel_info.json
    """
    with one_line_errors():
        if out.exists() and Path(original).exists() and out.samefile(original):
            raise ValueError(Errors.R122.format(path=out))
        names = read_rel_info(rel_info) if rel_info else None
        faults = Faults()
        labelled: Dict[str, Doc] = {}
        for doc in read_corpus(original, names, faults):
            labelled.setdefault(get_title(doc), doc)
        found: Counter = Counter()
        lists: Dict[str, List[str]] = {"only in CLEAN": [], "only in ORIGINAL": [], "with another text": []}
        docs = relabel(read_corpus(clean, names, faults), labelled, found, lists)
        convert_docs(docs, Path(clean), out, faults)
    for text in FOUND:
        typer.echo(f"{found[text]:>10,}  {text}")
    for text, titles in lists.items():
        typer.echo(f"{len(titles):>10,}  titles {text} (left out)")
        for title in titles[:MAX_MESSAGES]:
            typer.echo(f"{text}: {title}", err=True)
        if len(titles) > MAX_MESSAGES:
            typer.echo(f"{text}: {len(titles) - MAX_MESSAGES} more", err=True)


PARTLY = "entities of ORIGINAL that share some mentions with one of CLEAN (taken for it)"
LOST = "entities of ORIGINAL that share no mention with any of CLEAN"
DROPPED = "relations of ORIGINAL whose entities are not in CLEAN, or are one there (dropped)"
FOUND = (PARTLY, LOST, DROPPED)


def read_corpus(path: str, names: Optional[Dict[str, str]], faults: Faults) -> Iterator[Doc]:
    """RETURNS (Iterator[Doc]): Gold documents of a .json file in DocRED's format, or of .spacy files."""
    nlp = spacy.blank("en")
    is_json = path.endswith(".json")
    docs = read_docred(path, nlp=nlp, rel_info=names, faults=faults) if is_json else create_docre_corpus(path).read(nlp)
    return iter(tqdm(docs, desc=f"Reading {path}", unit=" docs", delay=0.5, file=sys.stderr))


def relabel(
    docs: Iterable[Doc], labelled: Dict[str, Doc], found: Counter, lists: Dict[str, List[str]]
) -> Iterator[Doc]:
    """Put other relations on documents.

    docs (Iterable[Doc]): Changed in place.
    labelled (Dict[str, Doc]): Documents with the relations to take, by title. Those used are taken out.
    found (Counter): Filled with the counts of `FOUND`.
    lists (Dict[str, List[str]]): Filled with titles that were left out.
    YIELDS (Doc): Documents whose title and text are in both.
    """
    for doc in docs:
        title = get_title(doc)
        other = labelled.pop(title, None)
        if other is None:
            lists["only in CLEAN"].append(title)
        elif other.text != doc.text:
            lists["with another text"].append(title)
        else:
            set_relation_data(doc, translate(doc, other, found))
            yield doc
    lists["only in ORIGINAL"].extend(labelled)


def translate(doc: Doc, other: Doc, found: Counter) -> Optional[List[RelationRecord]]:
    """RETURNS (Optional[List[RelationRecord]]): Relations of a Doc as those of another with the same text; None where
    they are not annotated. Sentences stay, mention pairs that support a relation do not."""
    records = get_relation_data(other)
    if records is None:
        return None
    place = match_entities(list_entities(doc), list_entities(other), found)
    starts = [sent.start_char for sent in get_sentences(doc)]
    sentences = [bisect_right(starts, sent.start_char) - 1 for sent in get_sentences(other)]
    translated: Dict[Tuple[int, str, int], RelationRecord] = {}
    for record in records:
        head, tail = place[record["head"]], place[record["tail"]]
        if head is None or tail is None or head == tail:
            found[DROPPED] += 1
            continue
        support = sorted({sentences[s] for s in record["sentences"]})
        key = (head, record["label"], tail)
        translated.setdefault(key, {**record, "head": head, "tail": tail, "sentences": support, "evidence": []})
    return list(translated.values())


def list_entities(doc: Doc) -> List[Entity]:
    """RETURNS (List[Entity]): Mentions of each entity, by characters."""
    return [cluster for cluster, _ in entity_list(doc)]


def match_entities(entities: Sequence[Entity], others: Sequence[Entity], found: Counter) -> List[Optional[int]]:
    """RETURNS (List[Optional[int]]): Which entity each of the others is: the one with exactly its mentions, else that
    with most of them, the first on ties; None where none shares a mention."""
    place: List[Optional[int]] = []
    for other in others:
        if other in entities:
            place.append(entities.index(other))
            continue
        shared = [len(entity & other) for entity in entities]
        most = max(shared, default=0)
        place.append(shared.index(most) if most else None)
        found[PARTLY if most else LOST] += 1
    return place
