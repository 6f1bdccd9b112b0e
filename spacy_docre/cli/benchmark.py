"""`benchmark`: layers against their textbook forms, time and memory, as ratios within one run."""

import sys

import typer
from tqdm import tqdm

from ._util import app, one_line_errors

ROUNDS = typer.Option(5, "--rounds", min=1, help="Repetitions; times are medians.")
THREADS = typer.Option(0, "--threads", min=0, help="Threads of torch, 0 for its default.")


@app.command("benchmark")
def benchmark_cli(rounds: int = ROUNDS, threads: int = THREADS) -> None:
    """Compare layers with their textbook forms: forward and backward, time and memory beyond that of the inputs.

    4 documents of 20 entities and 250 word pieces, width 768, block 64, 97 classes, on the CPU. Both forms take turns
    in one process; memory is the highest resident set above that before, each form in a process of its own (Linux).

    Example: python -m spacy_docre benchmark --rounds 5
    """
    # These import torch, which other commands do without.
    from ..textbook.cases import CASES
    from ..textbook.measure import in_new_process, measure_memory, measure_time

    with one_line_errors():
        typer.echo("| layer | ms | textbook ms | times faster | MiB | textbook MiB | share of memory |")
        typer.echo("|---|---|---|---|---|---|---|")
        for name in tqdm(CASES, desc="Measuring", unit=" layers", file=sys.stderr):
            ours, textbook = (in_new_process(measure_memory, name, which, threads) for which in (0, 1))
            seconds = in_new_process(measure_time, name, rounds, threads)
            cells = [f"{1000 * seconds[0]:.0f}", f"{1000 * seconds[1]:.0f}", f"{seconds[1] / seconds[0]:.1f}"]
            cells += [f"{ours:.0f}", f"{textbook:.0f}", f"1/{textbook / max(ours, 0.1):.1f}"]
            typer.echo(f"| {name} | " + " | ".join(cells) + " |")
