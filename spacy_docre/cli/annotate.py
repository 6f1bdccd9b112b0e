"""`annotate`: relations that models find, for documents that have none annotated."""

from functools import partial
from pathlib import Path
from typing import Dict, List, Optional

import spacy
import typer
from tqdm import tqdm

from ..doc.layers import has_clusters
from ..doc.places import Places
from ..doc.records import has_relations, relation_record, set_relation_data
from ..errors import Errors
from ..finding import require_relations
from ..readers.corpus import DocreCorpus
from ..readers.faults import Faults
from ..training.annotation import Votes, choose, find_votes, score_steps
from ._util import (
    BATCH_SIZE_16,
    CODE,
    GPU_ID,
    OUT_CORPUS,
    app,
    convert_docs,
    load_pipeline,
    one_line_errors,
    places_option,
    use_gpu,
)

PLACES = places_option("Where IN and OUT keep their layers, if not in the usual places")
IN = typer.Argument(..., metavar="IN", help="Documents with entities: .spacy, our .jsonl, a folder, several by commas.")
MODELS = typer.Option(..., "--model", "-m", help="Installed pipeline or folder. Repeatable: the mean score counts.")
MIN_SCORE = typer.Option(0.5, "--min-score", min=0.0, max=1.0, help="Lowest score of a relation that is written.")
TOP_K = typer.Option(4, "--top-k", min=1, help="Most relations of an ordered entity pair.")


@app.command("annotate")
def annotate_cli(
    corpus: str = IN,
    out: Path = OUT_CORPUS,
    models: List[str] = MODELS,
    min_score: float = MIN_SCORE,
    top_k: int = TOP_K,
    batch_size: int = BATCH_SIZE_16,
    gpu_id: int = GPU_ID,
    places: str = PLACES,
    code: Optional[Path] = CODE,
) -> None:
    """Write the relations that models find between annotated entities, to train another model on them.

    With one model this is self-training, with several the distillation of an ensemble. Documents whose relations are
    annotated keep them: on these, the printed table says what each --min-score would be worth. Documents without
    entities stay as they are.

    Example: python -m spacy_docre annotate entities.spacy found.spacy --model training/atlop --model training/pemscl
    """
    with one_line_errors():
        if out.exists() and any(Path(part).exists() and out.samefile(part) for part in corpus.split(",")):
            raise ValueError(Errors.R122.format(path=out))
        use_gpu(gpu_id)
        kept_at = Places.parse(places)
        docs = list(DocreCorpus(corpus, places=kept_at).read(spacy.blank("en")))
        rows = [i for i, doc in enumerate(docs) if has_clusters(doc, kept_at)]
        votes: List[Votes] = [{} for _ in docs]
        kb_ids: Dict[str, str] = {}
        for model in models:
            nlp = load_pipeline(model, code)
            labels = require_relations(nlp).label_data
            if kb_ids and kb_ids.keys() != labels.keys():
                raise ValueError(Errors.R166.format(model=model, labels=sorted(kb_ids.keys() ^ labels.keys())))
            kb_ids.update(labels)
            bar = partial(tqdm, desc=model, total=len(rows), unit=" docs")
            inputs = [docs[i] for i in rows]
            for i, found in zip(rows, find_votes(nlp, inputs, places=kept_at, batch_size=batch_size, progress=bar)):
                for triple, score in found.items():
                    votes[i][triple] = votes[i].get(triple, 0.0) + score / len(models)
        known = [i for i in rows if has_relations(docs[i], kept_at)]
        report = score_steps([docs[i] for i in known], [votes[i] for i in known], top_k, kept_at)
        n_new = 0
        for i in set(rows).difference(known):
            chosen = choose(votes[i], min_score, top_k)
            records = [relation_record(*t, kb_id=kb_ids[t[1]], score=s) for t, s in chosen.items()]
            set_relation_data(docs[i], records, kept_at)
            n_new += len(chosen)
        convert_docs(docs, Path(corpus), out, Faults(), places=kept_at)
    typer.echo(f"{len(rows) - len(known):>10,}  documents annotated, with {n_new:,} relations")
    if len(rows) < len(docs):
        typer.echo(f"{len(docs) - len(rows):>10,}  documents without entities (left as they are)")
    if known:
        typer.echo(f"{len(known):>10,}  documents with annotated relations (kept)")
        typer.echo(f"\nWhat was found, against these:\n\n{report}")
