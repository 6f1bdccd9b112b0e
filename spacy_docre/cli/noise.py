"""`noise`: leave relations out of a corpus, to see how training fares with incomplete annotation."""

import sys
from pathlib import Path
from typing import List, Tuple

import numpy
import spacy
import typer
from spacy.tokens import Doc
from tqdm import tqdm

from ..attributes import get_relation_data, set_relation_data
from ..readers.corpus import DocreCorpus
from ..readers.faults import Faults
from . import app
from .convert import convert_docs, one_line_errors

IN = typer.Argument(..., metavar="IN", help="Gold documents: .spacy, a folder of them, or several by commas.")
OUT = typer.Argument(..., metavar="OUT", help="File to write (.spacy or .jsonl), or a folder for .spacy shards.")
DROP = typer.Option(0.6, "--drop", min=0.0, max=1.0, help="Share of the relations to leave out.")
SEED = typer.Option(0, "--seed", help="Which ones: the same seed leaves out the same.")


@app.command("noise")
def noise_cli(corpus: str = IN, out: Path = OUT, drop: float = DROP, seed: int = SEED) -> None:
    """Leave out a share of a corpus's relations, drawn over all documents together; all else stays.

    Example: python -m spacy_docre noise corpus/train.spacy corpus/train_noisy.spacy --drop 0.6 --seed 0
    """
    with one_line_errors():
        found = DocreCorpus(corpus).read(spacy.blank("en"))
        docs = list(tqdm(found, desc="Reading", unit=" docs", delay=0.5, file=sys.stderr))
        n_relations, n_pairs = drop_relations(docs, drop, seed)
        convert_docs(docs, Path(corpus), out, Faults())
    typer.echo(f"{n_relations:>10,}  relations left out")
    typer.echo(f"{n_pairs:>10,}  entity pairs left without a relation")


def drop_relations(docs: List[Doc], share: float, seed: int) -> Tuple[int, int]:
    """Leave out relations of Docs, in place. Documents whose relations are not annotated stay so.

    share (float): Of all relations.
    RETURNS (Tuple[int, int]): Relations left out, and ordered entity pairs that have none any more.
    """
    records = [get_relation_data(doc) for doc in docs]
    pairs = [(d, record["head"], record["tail"]) for d, known in enumerate(records) for record in known or ()]
    n_dropped = round(share * len(pairs))
    kept = numpy.ones(len(pairs), dtype=bool)
    kept[numpy.random.default_rng(seed).choice(len(pairs), n_dropped, replace=False)] = False
    rest = iter(kept.tolist())
    for doc, known in zip(docs, records):
        if known:
            set_relation_data(doc, [record for record in known if next(rest)])
    return n_dropped, len(set(pairs)) - len({pair for pair, keep in zip(pairs, kept) if keep})
