"""Relations as rows of a CSV file."""

import csv
from pathlib import Path
from typing import Iterable

from .facts import Record, read_entities, read_sentences

COLUMNS = ["document", "head", "head_type", "relation", "kb_id", "tail", "tail_type", "score", "sentences"]


def write_csv(records: Iterable[Record], path: Path) -> None:
    """Write one row a relation, best first within a document, in UTF-8; a document without relations has none.

    records (Iterable[Record]): Documents as our JSONL has them.
    path (Path): File to write. Its columns: COLUMNS.
    """
    with path.open("w", encoding="utf8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for record in records:
            entities = read_entities(record)
            for relation in record.get("relations", []):
                head, tail = entities[relation["head"]], entities[relation["tail"]]
                found = [relation["label"], relation["kb_id"], tail.name, tail.label, f"{relation['score']:.4f}"]
                sentences = " ".join(read_sentences(record, relation))
                rows.writerow([record.get("id", ""), head.name, head.label, *found, sentences])
