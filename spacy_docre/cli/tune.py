"""`tune`: choose thresholds on gold documents."""

from functools import partial
from pathlib import Path
from typing import Any, Iterable, List, Optional, Tuple

import typer
from tqdm import tqdm

from ..doc.places import Places
from ..errors import Errors
from ..finding import find_component
from ..readers.corpus import DocreCorpus
from ..scoring.evaluation import LabelCheck
from ._util import (
    BATCH_SIZE_16,
    CODE,
    CORPUS,
    GIVEN,
    GPU_ID,
    MODEL,
    app,
    load_pipeline,
    one_line_errors,
    places_option,
    split_names,
    use_gpu,
)

PLACES = places_option("Where CORPUS keeps its layers, if not in the usual places")
OUTPUT = typer.Option(None, "--output", "-o", help="Folder to write the tuned pipeline to; none: only report.")
CALIBRATE = typer.Option(
    False,
    "--calibrate",
    help="Fit a temperature, too, so that scores come near to probabilities; relations stay the same.",
)


@app.command("tune")
def tune_cli(
    model: str = MODEL,
    corpus: str = CORPUS,
    given: str = GIVEN,
    output: Optional[Path] = OUTPUT,
    with_temperature: bool = CALIBRATE,
    batch_size: int = BATCH_SIZE_16,
    gpu_id: int = GPU_ID,
    places: str = PLACES,
    code: Optional[Path] = CODE,
) -> None:
    """Choose the thresholds of mentions, clusters and relations by strict relation F1 on gold documents.

    A component whose layer is --given keeps its threshold. Of combinations with the same F1, the one whose thresholds
    lie nearest to 0.5 is taken (by the sum of the distances). With --calibrate, scores are fitted to how often reported
    relations are right where both entities are.

    Example: python -m spacy_docre tune training/model-best corpus/dev.spacy --output training/model-tuned
    """
    with one_line_errors():
        use_gpu(gpu_id)
        # These import torch, which other commands do without.
        from ..training.tuning import (
            apply_thresholds,
            calibrate,
            current_threshold,
            find_tuned,
            threshold_settings,
            tune_thresholds,
        )

        reader = DocreCorpus(corpus, given=split_names(given), places=Places.parse(places))
        nlp = load_pipeline(model, code)
        check = LabelCheck(nlp)
        result = tune_thresholds(
            nlp,
            check.watch(reader(nlp)),
            given=reader.given,
            batch_size=batch_size,
            progress=partial(tqdm, desc="Tuning", unit=" batches"),
        )
        if warning := check.warning():
            typer.echo(warning, err=True)
        if not any(result.relations.values()):
            raise ValueError(Errors.R218)
        relations = find_component(nlp, "docre_relations")
        # What the relation head's numbers are settings of.
        setting = " and ".join(threshold_settings(relations, 0.5).keys() - {"threshold", "temperature"})
        tuned = find_tuned(nlp, result)
        current = tuple(None if pipe is None else round(current_threshold(pipe), 6) for pipe in tuned)
        report(result, current, setting or "threshold")
        temperature = 1.0
        errors: Tuple[Optional[float], Optional[float]] = (None, None)
        if with_temperature:
            found = calibrate(result, relations)
            temperature, errors = found.temperature, (found.before, found.after)
            typer.echo(
                f"Temperature: {temperature:.3f}; expected calibration error {found.before:.4f} before, "
                f"{found.after:.4f} after, on {found.n:,} relations between right entities. Threshold of scores: "
                f"{threshold_settings(relations, result.best[-1], temperature)['threshold']:.4f}"  # type: ignore[arg-type]
            )
        if output is not None:
            performance = nlp.meta.setdefault("performance", {})
            performance.update(zip(("relations_ece_uncalibrated", "relations_ece"), errors))
            apply_thresholds(nlp, result, temperature)
            nlp.to_disk(output)
            typer.echo(f"Saved to {output}")


def report(result: Any, current: Tuple[Optional[float], ...], setting: str) -> None:
    """Print the best thresholds, and what those before are worth.

    result (TuningResult): What `tune_thresholds` has found.
    current (Tuple[Optional[float], ...]): Thresholds before.
    setting (str): What the threshold of relations is called.
    """
    typer.echo(f"| mentions | clusters | relations ({setting}) | strict relation F1 |")
    typer.echo("|---|---|---|---|")
    for cell in sorted(result.relations, key=lambda c: -result.relations[c])[:10]:
        typer.echo(f"| {' | '.join(show(cell))} | {100 * result.relations[cell]:.2f} |")
    if current in result.relations:
        typer.echo(f"\nBefore: {', '.join(show(current))}; F1 {100 * result.relations[current]:.2f}")
    best = result.relations[result.best]
    n_best = sum(f == best for f in result.relations.values())
    among = f" (nearest to 0.5 of {n_best} with this F1)" if n_best > 1 else ""
    typer.echo(f"Best: {', '.join(show(result.best))}; F1 {100 * best:.2f}{among}")


def show(cell: Iterable[Optional[float]]) -> List[str]:
    """Write thresholds as text."""
    return ["given" if threshold is None else f"{threshold:.2f}" for threshold in cell]
