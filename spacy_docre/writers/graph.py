"""Entities and relations as one directed graph."""

import re
from pathlib import Path
from typing import Iterable

import networkx

from .facts import Record, read_entities, read_sentences


def write_graphml(records: Iterable[Record], path: Path) -> None:
    """Write a GraphML file: a node for each entity of each document, an edge for each relation. It is held in memory.

    records (Iterable[Record]): Documents as our JSONL has them.
    path (Path): File to write.
    """
    graph = networkx.MultiDiGraph()
    for number, record in enumerate(records):
        document = record.get("id", str(number + 1))
        for i, entity in enumerate(read_entities(record)):
            graph.add_node(
                f"{number}/{i}",
                label=clean(entity.name),
                type=clean(entity.label),
                document=clean(document),
                mentions=len(entity.mentions),
            )
        for relation in record.get("relations", []):
            graph.add_edge(
                f"{number}/{relation['head']}",
                f"{number}/{relation['tail']}",
                label=clean(relation["label"]),
                kb_id=clean(relation["kb_id"]),
                score=relation["score"],
                sentences=clean(" ".join(read_sentences(record, relation))),
            )
    networkx.write_graphml(graph, path)


def clean(text: str) -> str:
    """Take the characters out of a text that no XML file may have."""
    return re.sub("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", text)
