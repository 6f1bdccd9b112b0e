"""`noise`: leave relations out of a corpus, to see how training fares with incomplete annotation."""

from pathlib import Path

import spacy
import typer

from ..doc.places import Places
from ..readers.corpus import DocreCorpus
from ..readers.faults import Faults
from ..training.noise import drop_relations
from ._util import CORPUS, OUT_CORPUS, app, convert_docs, one_line_errors, places_option, seed_option, show_progress

PLACES = places_option("Where CORPUS and OUT keep their layers, if not in the usual places")
DROP = typer.Option(0.6, "--drop", min=0.0, max=1.0, help="Share of the relations to leave out.")
SEED = seed_option("the relations to leave out")


@app.command("noise")
def noise_cli(
    corpus: str = CORPUS, out: Path = OUT_CORPUS, drop: float = DROP, seed: int = SEED, places: str = PLACES
) -> None:
    """Leave out a share of a corpus's relations, drawn over all documents together; all else stays.

    Example: python -m spacy_docre noise corpus/train.spacy corpus/train_noisy.spacy --drop 0.6 --seed 0
    """
    with one_line_errors():
        kept_at = Places.parse(places)
        docs = list(show_progress(DocreCorpus(corpus, places=kept_at).read(spacy.blank("en")), desc="Reading"))
        n_relations, n_pairs = drop_relations(docs, drop, seed, kept_at)
        convert_docs(docs, Path(corpus), out, Faults(), places=kept_at)
    typer.echo(f"{n_relations:>10,}  relations left out")
    typer.echo(f"{n_pairs:>10,}  entity pairs left without a relation")
