"""`evaluate`: run a pipeline over a gold corpus and print what it gets right."""

from functools import partial
from pathlib import Path
from typing import List, Optional

import typer
from tqdm import tqdm

from ..doc.places import Places
from ..errors import Errors
from ..readers.checks import load_json
from ..readers.corpus import DocreCorpus
from ..scoring.evaluation import LabelCheck, predict, read_known, score, score_tasks
from ..scoring.report import table1, table_coref, table_cuts, table_per_type, table_tasks
from ..scoring.submission import make_submission
from ._util import (
    BATCH_SIZE,
    CODE,
    CORPUS,
    GIVEN,
    GPU_ID,
    MODEL,
    app,
    json_option,
    load_pipeline,
    one_line_errors,
    places_option,
    seed_option,
    split_names,
    use_gpu,
    write_json,
)

JSON = json_option("scores")
PLACES = places_option("Where CORPUS and --facts keep their layers, if not in the usual places")
ALL_TASKS = typer.Option(False, "--tasks", help="Score each task on gold input, too: four runs instead of one.")
FACTS = typer.Option(
    [],
    "--facts",
    help="For Ign F1, beside what the model keeps: training data (as CORPUS) or saved facts. Repeatable.",
)
PER_TYPE = typer.Option(False, "--per-type", help="Print the scores of each relation too.")
BOOTSTRAP = typer.Option(0, "--bootstrap", min=0, metavar="N", help="Confidence intervals from N draws of documents.")
SEED = seed_option("the documents of --bootstrap")
SUBMISSION = typer.Option(None, "--submission", metavar="OUT", help="Write DocRED's result file; needs --docred.")
DOCRED = typer.Option(None, "--docred", metavar="IN", help="The file of CORPUS in DocRED's format, for --submission.")


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
    places: str = PLACES,
    code: Optional[Path] = CODE,
) -> None:
    """Score a pipeline on gold documents, end to end or from given gold layers.

    Example: python -m spacy_docre evaluate en_docre dev.spacy --facts train.spacy --tasks --bootstrap 1000
    """
    with one_line_errors():
        if (submission is None) != (docred is None):
            raise ValueError(Errors.R131)
        records = None if docred is None else load_json(docred)
        reader = DocreCorpus(corpus, given=split_names(given), places=Places.parse(places))
        use_gpu(gpu_id)
        nlp = load_pipeline(model, code)
        settings = {**read_known(nlp, facts, reader.places), "bootstrap": bootstrap, "seed": seed}
        check = LabelCheck(nlp)
        bar = partial(tqdm, desc="Evaluating", unit=" docs")
        examples, speed = predict(nlp, check.watch(reader(nlp)), batch_size, bar)
        if warning := check.warning():
            typer.echo(warning, err=True)
        scores = {**score(nlp, examples, **settings), "speed": speed}
        report = [table1(scores)]
        if tasks:
            scores["tasks"] = score_tasks(nlp, reader, scores, batch_size, bar, **settings)
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
