"""`annotate`: relations that models find, for documents that have none annotated."""

import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy
import spacy
import typer
from spacy.language import Language
from spacy.tokens import Doc
from tqdm import tqdm

from ..attributes import LAYERS, get_relation_data, has_clusters, has_relations, relation_record, set_relation_data
from ..errors import Errors
from ..readers.corpus import DocreCorpus
from ..readers.faults import Faults
from . import app
from .convert import convert_docs, one_line_errors
from .loading import CODE, find_relations, load_pipeline

IN = typer.Argument(..., metavar="IN", help="Documents with entities: .spacy, our .jsonl, a folder, several by commas.")
OUT = typer.Argument(..., metavar="OUT", help="File to write (.spacy or .jsonl), or a folder for .spacy shards.")
MODEL = typer.Option(..., "--model", "-m", help="Installed pipeline or folder. Repeatable: the mean score counts.")
MIN_SCORE = typer.Option(0.5, "--min-score", min=0.0, max=1.0, help="Lowest score of a relation that is written.")
TOP_K = typer.Option(4, "--top-k", min=1, help="Most relations of an ordered entity pair.")
BATCH_SIZE = typer.Option(16, "--batch-size", min=1, help="Documents worked on together.")
GPU_ID = typer.Option(-1, "--gpu-id", "-g", help="GPU to use; -1 for the CPU.")

FLOOR = 0.02  # a model's scores below count as 0
STEPS = numpy.arange(1, 20) / 20

Triple = Tuple[int, str, int]
Votes = Dict[Triple, float]


@app.command("annotate")
def annotate_cli(
    corpus: str = IN,
    out: Path = OUT,
    models: List[str] = MODEL,
    min_score: float = MIN_SCORE,
    top_k: int = TOP_K,
    batch_size: int = BATCH_SIZE,
    gpu_id: int = GPU_ID,
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
        if gpu_id >= 0:
            spacy.require_gpu(gpu_id)
        reader = DocreCorpus(corpus, given=LAYERS)
        docs = list(reader.read(spacy.blank("en")))
        rows = [i for i, doc in enumerate(docs) if has_clusters(doc)]
        votes: List[Votes] = [{} for _ in docs]
        kb_ids: Dict[str, str] = {}
        for name in models:
            nlp = load_pipeline(name, code)
            kb_ids.update(open_wide(nlp, name, kb_ids))
            inputs = [reader.make_predicted(nlp, docs[i]) for i in rows]
            found = tqdm(nlp.pipe(inputs, batch_size=batch_size), name, len(rows), unit=" docs", file=sys.stderr)
            for i, doc in zip(rows, found):
                for record in get_relation_data(doc, find_relations(nlp).cfg["relations_attr"]) or ():
                    triple = record["head"], record["label"], record["tail"]
                    votes[i][triple] = votes[i].get(triple, 0.0) + record["score"] / len(models)
        chosen = [choose(found, min_score, top_k) for found in votes]
        known = [i for i in rows if has_relations(docs[i])]
        report = score_steps([docs[i] for i in known], [votes[i] for i in known], top_k)
        n_new = 0
        for i in set(rows).difference(known):
            set_relation_data(docs[i], [relation_record(*t, kb_id=kb_ids[t[1]], score=s) for t, s in chosen[i].items()])
            n_new += len(chosen[i])
        convert_docs(docs, Path(corpus), out, Faults())
    typer.echo(f"{len(rows) - len(known):>10,}  documents annotated, with {n_new:,} relations")
    if len(rows) < len(docs):
        typer.echo(f"{len(docs) - len(rows):>10,}  documents without entities (left as they are)")
    if known:
        typer.echo(f"{len(known):>10,}  documents with annotated relations (kept)")
        typer.echo(f"\nWhat was found, against these:\n\n{report}")


def open_wide(nlp: Language, name: str, kb_ids: Dict[str, str]) -> Dict[str, str]:
    """Let a pipeline report all relations, and no evidence for them.

    kb_ids (Dict[str, str]): Labels of the pipelines before; empty for the first.
    RETURNS (Dict[str, str]): Its labels, and their identifiers.
    RAISES (ValueError): If it finds no relations, or others than the pipelines before.
    """
    pipe = find_relations(nlp)
    if pipe is None:
        raise ValueError(Errors.R165.format(model=name))
    if kb_ids and set(kb_ids) != set(pipe.labels):
        raise ValueError(Errors.R166.format(model=name, labels=sorted(set(kb_ids).symmetric_difference(pipe.labels))))
    pipe.cfg.update(threshold=FLOOR, top_k=max(1, len(pipe.labels)), evidence_mass=0.0)
    return pipe.label_data


def choose(votes: Votes, min_score: float, top_k: int) -> Votes:
    """RETURNS (Votes): The relations with at least that score, best first, and of each pair at most top_k."""
    chosen: Votes = {}
    counts: Dict[Tuple[int, int], int] = {}
    for (head, label, tail), score in sorted(votes.items(), key=lambda item: (-item[1], item[0])):
        pair = head, tail
        if score >= min_score and counts.get(pair, 0) < top_k:
            counts[pair] = counts.get(pair, 0) + 1
            chosen[head, label, tail] = score
    return chosen


def score_steps(docs: Sequence[Doc], votes: Sequence[Votes], top_k: int) -> str:
    """RETURNS (str): Table of precision, recall and F1 between the Docs' own entities, by lowest score."""
    gold: List[set] = [{(r["head"], r["label"], r["tail"]) for r in get_relation_data(doc) or ()} for doc in docs]
    lines: List[Any] = ["| min-score | P | R | F1 |", "|---:|---:|---:|---:|"]
    for step in STEPS:
        found = [choose(votes_of_doc, step, top_k).keys() for votes_of_doc in votes]
        n_right = sum(len(right & triples) for right, triples in zip(gold, found))
        n_found, n_gold = sum(map(len, found)), sum(map(len, gold))
        p, r = n_right / max(n_found, 1), n_right / max(n_gold, 1)
        f = 2 * n_right / max(n_found + n_gold, 1)
        lines.append(f"| {step:.2f} | {100 * p:.2f} | {100 * r:.2f} | {100 * f:.2f} |")
    return "\n".join(lines)
