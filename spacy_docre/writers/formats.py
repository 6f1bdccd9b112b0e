"""Which writer a path asks for, by its ending."""

from functools import partial
from pathlib import Path
from typing import Callable, Dict, Iterable

from ..errors import Errors
from .facts import BASE_IRI, Record
from .jsonl import write_records

Write = Callable[[Iterable[Record], Path], None]


def find_writer(path: Path, base_iri: str = BASE_IRI) -> Write:
    """Choose the writer for a file: JSONL, CSV, RDF or GraphML.

    path (Path): The file; its ending counts.
    base_iri (str): What IRIs begin with (.ttl, .nt).
    RETURNS (Write): Writes records to a file.
    RAISES (ValueError): If no writer has that ending.
    """
    from . import graph, rdf, table  # rdflib is slow to load

    writers: Dict[str, Write] = {
        ".jsonl": write_records,
        ".csv": table.write_csv,
        ".ttl": partial(rdf.write_turtle, base=base_iri),
        ".nt": partial(rdf.write_ntriples, base=base_iri),
        ".graphml": graph.write_graphml,
    }
    if path.suffix not in writers:
        raise ValueError(Errors.R175.format(path=path, options=", ".join(writers)))
    return writers[path.suffix]
