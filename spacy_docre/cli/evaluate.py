"""`evaluate`: run a pipeline over a gold corpus and print what it gets right."""

import sys
from collections import deque
from itertools import chain
from pathlib import Path
from timeit import default_timer as timer
from typing import Any, Deque, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple, Union

import spacy
import srsly
import typer
from spacy.language import Language
from spacy.pipeline.functions import DocCleaner
from spacy.scorer import Scorer
from spacy.tokens import Doc
from spacy.training import Example
from tqdm import tqdm

from ..attributes import LAYERS
from ..doc.places import Places
from ..errors import Errors
from ..readers.checks import load_json
from ..readers.corpus import create_docre_corpus
from ..scoring.facts import NamedFact, collect_facts, count_labels, read_facts
from ..scoring.report import TASKS, table1, table_coref, table_cuts, table_per_type, table_tasks
from ..scoring.submission import make_submission
from . import app
from .convert import one_line_errors
from .loading import CODE, LabelCheck, find_relations, load_pipeline

MODEL = typer.Argument(..., metavar="MODEL", help="Installed pipeline or folder.")
CORPUS = typer.Argument(..., metavar="CORPUS", help="Gold documents: .spacy, our .jsonl, a folder, several by commas.")
GIVEN = typer.Option("", "--given", help=f"Gold layers to start from, by commas: {', '.join(LAYERS)}.")
ALL_TASKS = typer.Option(False, "--tasks", help="Score each task on gold input, too: four runs instead of one.")
JSON = typer.Option(None, "--json", metavar="OUT", help="Write all scores to this file.")
FACTS = typer.Option(
    [],
    "--facts",
    help="For Ign F1, beside what the model keeps: training data (as CORPUS) or saved facts. Repeatable.",
)
PER_TYPE = typer.Option(False, "--per-type", help="Print the scores of each relation too.")
BOOTSTRAP = typer.Option(0, "--bootstrap", min=0, metavar="N", help="Confidence intervals from N draws of documents.")
SEED = typer.Option(0, "--seed", min=0, help="Which draws: the same seed gives the same intervals.")
SUBMISSION = typer.Option(None, "--submission", metavar="OUT", help="Write DocRED's result file; needs --docred.")
DOCRED = typer.Option(None, "--docred", metavar="IN", help="The file of CORPUS in DocRED's format, for --submission.")
BATCH_SIZE = typer.Option(None, "--batch-size", min=1, help="Documents in a batch; the pipeline's own by default.")
GPU_ID = typer.Option(-1, "--gpu-id", "-g", help="GPU to use; -1 for the CPU.")


@app.command("evaluate")
def evaluate_cli(
    model: str = MODEL,
    corpus: str = CORPUS,
    given: str = GIVEN,
    tasks: bool = ALL_TASKS,
    json: Optional[Path] = JSON,
    facts: List[str] = FACTS,
    per_type: bool = PER_TYPE,
    bootstrap: int = BOOTSTRAP,
    seed: int = SEED,
    submission: Optional[Path] = SUBMISSION,
    docred: Optional[Path] = DOCRED,
    batch_size: Optional[int] = BATCH_SIZE,
    gpu_id: int = GPU_ID,
    code: Optional[Path] = CODE,
) -> None:
    """Score a pipeline on gold documents, end to end or from given gold layers.

    Example: python -m spacy_docre evaluate en_docre dev.spacy --facts train.spacy --tasks --bootstrap 1000
    """
    with one_line_errors():
        if (submission is None) != (docred is None):
            raise ValueError(Errors.R131)
        records = None if docred is None else load_json(docred)
        layers = [layer.strip() for layer in given.split(",") if layer.strip()]
        reader = create_docre_corpus(corpus, given=layers)
        if gpu_id >= 0:
            spacy.require_gpu(gpu_id)
        nlp = load_pipeline(model, code)
        settings = {**read_known(nlp, facts), "bootstrap": bootstrap, "seed": seed}
        check = LabelCheck(nlp)
        examples, speed = predict(nlp, check.watch(reader(nlp)), batch_size)
        check.report()
        scores = {**score(nlp, examples, **settings), "speed": speed}
        report = [table1(scores)]
        if tasks:
            scores["tasks"] = score_tasks(nlp, corpus, reader.given, scores, batch_size, settings)
            report.append(table_tasks(scores["tasks"]))
        report += [table_cuts(scores), table_coref(scores)]
        if tasks:
            report.insert(-1, table_cuts(scores["tasks"]["relations"], "Relations, given gold entities"))
        if per_type:
            report.append(table_per_type(scores))
        if scores.get("relations_f") is not None and scores.get("relations_ign_f") is None:
            report.append(
                "Ign F1, head, mid and tail need the training data (--facts): this model does not keep its facts."
            )
        if submission is not None:
            found, n_lost = make_submission(examples, records, places=Places.of_pipeline(nlp), path=docred)
            write_json(submission, found)
            report.append(f"{len(found):,} relations in {submission}; {n_lost:,} between entities that {docred} lacks")
    if reader.given:
        typer.echo(f"Given from gold: {', '.join(reader.given)}\n")
    typer.echo("\n\n".join(report))
    if json is not None:
        write_json(json, scores)


def write_json(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    srsly.write_json(path, data)


def evaluate(
    nlp: Language, examples: Iterable[Example], *, batch_size: Optional[int] = None, **settings: Any
) -> Dict[str, Any]:
    """Run the pipeline over the predicted side of examples, then let each component score.

    Unlike `nlp.evaluate` it reads the corpus as it goes, and lets go of each batch's tensors before the next.

    examples (Iterable[Example]): Read once. Their predicted Docs are replaced.
    batch_size (Optional[int]): Documents handed on together; None: the pipeline's.
    settings (Any): For the scorers: facts, frequencies, bootstrap, seed.
    RETURNS (Dict[str, Any]): Scores of all components; `speed` in words a second.
    """
    done, speed = predict(nlp, examples, batch_size)
    return {**score(nlp, done, **settings), "speed": speed}


def predict(
    nlp: Language, examples: Iterable[Example], batch_size: Optional[int] = None
) -> Tuple[List[Example], float]:
    """Run the pipeline; see `evaluate`.

    RETURNS (Tuple[List[Example], float]): The examples with what was predicted, and words a second.
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
    return done, sum(len(example.predicted) for example in done) / (timer() - start)


def score(nlp: Language, examples: Sequence[Example], **settings: Any) -> Dict[str, Any]:
    """RETURNS (Dict[str, Any]): Scores of all components.

    settings (Any): For the scorers. What is not among them, such as the facts that a component keeps, stays in force.
    """
    scorer = Scorer(nlp=nlp)
    scorer.cfg.update(settings)
    return scorer.score(examples)


def score_tasks(
    nlp: Language,
    corpus: str,
    given: Sequence[str],
    scores: Dict[str, Any],
    batch_size: Optional[int],
    settings: Dict[str, Any],
) -> Dict[str, Dict[str, Any]]:
    """Score each task on gold input.

    given (Sequence[str]): Gold layers that are given to all of them.
    scores (Dict[str, Any]): Scores with these layers alone, for the task that needs no others.
    RETURNS (Dict[str, Dict[str, Any]]): Scores of each task by its name in `TASKS`.

    Source: Eberts and Ulges (EACL 2021), table 4
    """
    found = {}
    for name, needed in TASKS.items():
        reader = create_docre_corpus(corpus, given=[*given, *needed])
        is_new = reader.given != list(given)
        run = score(nlp, predict(nlp, reader(nlp), batch_size)[0], **settings) if is_new else scores
        kept = (name, "evidence") if name == "relations" else (name,)
        found[name] = {key: value for key, value in run.items() if key.startswith(kept)}
    return found


def read_known(nlp: Language, paths: Iterable[str]) -> Dict[str, Any]:
    """Read what scores know of the training data beyond what the model keeps: facts of gold documents, and of files
    that `save_facts` wrote.

    nlp (Language): Its relation component says where relations and clusters lie on a Doc, and what it keeps itself.
    paths (Iterable[str]): Corpora as `evaluate` takes them, or files of facts, by any ending but .spacy.
    RETURNS (Dict[str, Any]): Settings for the scorers: `facts`, all of them and the model's, and `frequencies`: the
        model's, else sums over the paths, if each of them has some. Empty without paths.
    """
    relations = find_relations(nlp)
    cfg = getattr(relations, "cfg", {})
    facts: Set[Union[int, NamedFact]] = set(getattr(relations, "facts", None) or ())
    counts: List[Optional[Dict[str, int]]] = []
    for path in paths:
        if Path(path).is_file() and Path(path).suffix != ".spacy":
            hashes, counted = read_facts(path)
            facts |= hashes
        else:
            counted = {}
            docs = count_labels(create_docre_corpus(path).read(nlp), counted)
            facts |= collect_facts(docs)
        counts.append(counted)
    if not counts:
        return {}
    frequencies = cfg.get("frequencies")
    if not frequencies and None not in counts:
        labels = {*cfg.get("labels", ()), *chain.from_iterable(counts)}  # type: ignore[arg-type]
        frequencies = {label: sum(found.get(label, 0) for found in counts if found) for label in labels}
    return {"facts": facts, "frequencies": frequencies}
