"""`evaluate`: run a pipeline over a gold corpus and print what it gets right."""

import sys
from collections import deque
from pathlib import Path
from timeit import default_timer as timer
from typing import Any, Deque, Dict, Iterable, Iterator, List, Optional, Set, Union

import spacy
import srsly
import typer
from spacy.language import Language
from spacy.pipeline.functions import DocCleaner
from spacy.scorer import Scorer
from spacy.tokens import Doc
from spacy.training import Example
from tqdm import tqdm

from ..attributes import CLUSTER_PREFIX, LAYERS, RELATIONS_ATTR
from ..readers.corpus import create_docre_corpus
from ..scoring.facts import Facts, NamedFact, collect_facts, load_facts
from ..scoring.report import table1, table_cuts, table_per_type
from . import app
from .convert import one_line_errors
from .loading import CODE, load_pipeline

MODEL = typer.Argument(..., metavar="MODEL", help="Installed pipeline or folder.")
CORPUS = typer.Argument(..., metavar="CORPUS", help="Gold documents: .spacy, a folder of them, or several by commas.")
GIVEN = typer.Option("", "--given", help=f"Gold layers to start from, by commas: {', '.join(LAYERS)}.")
JSON = typer.Option(None, "--json", metavar="OUT", help="Write all scores to this file.")
FACTS = typer.Option([], "--facts", help="For Ign F1: training data (as CORPUS), or saved facts. May be repeated.")
PER_TYPE = typer.Option(False, "--per-type", help="Print the scores of each relation too.")
BATCH_SIZE = typer.Option(None, "--batch-size", min=1, help="Documents in a batch; the pipeline's own by default.")
GPU_ID = typer.Option(-1, "--gpu-id", "-g", help="GPU to use; -1 for the CPU.")


@app.command("evaluate")
def evaluate_cli(
    model: str = MODEL,
    corpus: str = CORPUS,
    given: str = GIVEN,
    json: Optional[Path] = JSON,
    facts: List[str] = FACTS,
    per_type: bool = PER_TYPE,
    batch_size: Optional[int] = BATCH_SIZE,
    gpu_id: int = GPU_ID,
    code: Optional[Path] = CODE,
) -> None:
    """Score a pipeline on gold documents, end to end or from given gold layers.

    Example: python -m spacy_docre evaluate en_docre dev.spacy --given mentions,clusters,types --facts train.spacy
    """
    with one_line_errors():
        layers = [layer.strip() for layer in given.split(",") if layer.strip()]
        reader = create_docre_corpus(corpus, given=layers)
        if gpu_id >= 0:
            spacy.require_gpu(gpu_id)
        nlp = load_pipeline(model, code)
        known = read_facts(nlp, facts) if facts else None
        scores = evaluate(nlp, reader(nlp), facts=known, batch_size=batch_size)
    if reader.given:
        typer.echo(f"Given from gold: {', '.join(reader.given)}\n")
    typer.echo(table1(scores))
    typer.echo("\n" + table_cuts(scores))
    if per_type:
        typer.echo("\n" + table_per_type(scores))
    if json is not None:
        json.parent.mkdir(parents=True, exist_ok=True)
        srsly.write_json(json, scores)


def evaluate(
    nlp: Language,
    examples: Iterable[Example],
    *,
    facts: Optional[Facts] = None,
    batch_size: Optional[int] = None,
) -> Dict[str, Any]:
    """Run the pipeline over the predicted side of examples, then let each component score.

    Unlike `nlp.evaluate` it reads the corpus as it goes, and lets go of each batch's tensors before the next.

    examples (Iterable[Example]): Read once. Their predicted Docs are replaced.
    facts (Optional[Facts]): Facts of the training data for Ign F1, see `scoring/facts.py`.
    batch_size (Optional[int]): Documents handed on together; None: the pipeline's.
    RETURNS (Dict[str, Any]): Scores of all components; `speed` in words a second.
    """
    pending: Deque[Example] = deque()
    done: List[Example] = []
    clean = DocCleaner({"tensor": None, "_.trf_data": None})

    def predicted() -> Iterator[Doc]:
        for example in examples:
            pending.append(example)
            yield example.predicted

    start = timer()
    with tqdm(unit=" docs", desc="Evaluating", file=sys.stderr) as progress:
        for doc in nlp.pipe(predicted(), batch_size=batch_size):
            example = pending.popleft()
            example.predicted = clean(doc)
            done.append(example)
            progress.update()
    seconds = timer() - start
    scorer = Scorer(nlp=nlp)
    if facts is not None:  # else facts that a component keeps itself stay in force
        scorer.cfg["facts"] = facts
    scores = scorer.score(done)
    scores["speed"] = sum(len(example.predicted) for example in done) / seconds
    return scores


def read_facts(nlp: Language, paths: Iterable[str]) -> Facts:
    """Read facts of gold documents, and of files that `save_facts` wrote.

    nlp (Language): Its relation component says where relations and clusters lie on a Doc.
    paths (Iterable[str]): Corpora as `evaluate` takes them, or files of facts, by any ending but .spacy.
    RETURNS (Facts): All of them together.
    """
    configs = [getattr(component, "cfg", None) for _, component in nlp.pipeline]
    cfg = next((c for c in configs if isinstance(c, dict) and "relations_attr" in c), {})
    prefix, attr = cfg.get("span_cluster_prefix", CLUSTER_PREFIX), cfg.get("relations_attr", RELATIONS_ATTR)
    facts: Set[Union[int, NamedFact]] = set()
    for path in paths:
        if Path(path).is_file() and Path(path).suffix != ".spacy":
            facts |= load_facts(path)
        else:
            facts |= collect_facts(create_docre_corpus(path).read(nlp), prefix=prefix, attr=attr)
    return facts
