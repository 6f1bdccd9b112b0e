"""Memory against the number of documents that went through nlp.pipe and nlp.evaluate.

    python benchmarks/stream_memory.py MODEL CORPUS [--docs 3000] [--every 50] [--batch-size 16]
    python benchmarks/stream_memory.py en_docre corpus/dev.spacy --docs 600 --every 20

MODEL is a pipeline's name or folder, CORPUS gold .spacy files. Memory is the resident set after garbage collection,
read every few documents (Linux only); the slope is that of the least squares line through what was read after the
warm-up, with its standard error.

spaCy keeps every string it ever saw, so memory grows with new words, whatever the components do. To leave that out, a
third of the documents at most come from CORPUS; they are the warm-up, and are then repeated. `nlp.evaluate` holds all
documents of a call until they are scored: within one call memory grows by what the pipeline annotates, and only from
call to call it should not grow at all.

glibc keeps freed memory between blocks still in use, which takes some hundred documents to even out. With
MALLOC_MMAP_THRESHOLD_=65536 in the environment it is given back at once, and a leak shows in a short run, a slower one.
"""

import argparse
import gc
import itertools
import os
import time
from typing import Callable, Iterator, List, Tuple

import numpy
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from tqdm import tqdm

from spacy_docre.readers.corpus import create_docre_corpus

Points = List[Tuple[int, float, float]]  # documents so far, MiB, seconds


def resident() -> float:
    """RETURNS (float): Resident set of this process after garbage collection, in MiB."""
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


class Meter:
    """Reads memory every so many documents. As the last component of a pipeline it sees the documents of `evaluate`."""

    def __init__(self, n_docs: int, every: int, title: str) -> None:
        self.every = every
        self.points: Points = []
        self.n = 0
        self.start = time.perf_counter()
        self.progress = tqdm(total=n_docs, desc=title, unit=" documents")

    def __call__(self, doc: Doc) -> Doc:
        self.count(1)
        return doc

    def count(self, n: int) -> None:
        before, self.n = self.n, self.n + n
        self.progress.update(n)
        if self.n // self.every > before // self.every:
            self.points.append((self.n, resident(), time.perf_counter() - self.start))


def through_pipe(nlp: Language, examples: Iterator[Example], meter: Meter, batch_size: int) -> None:
    for _ in nlp.pipe((eg.text for eg in examples), batch_size=batch_size):
        meter.count(1)


def through_evaluate(nlp: Language, examples: Iterator[Example], meter: Meter, batch_size: int) -> None:
    nlp.evaluate(list(examples), batch_size=batch_size)


def through_evaluate_again(nlp: Language, examples: Iterator[Example], meter: Meter, batch_size: int) -> None:
    while chunk := list(itertools.islice(examples, meter.every)):
        nlp.evaluate(chunk, batch_size=batch_size)
        meter.count(len(chunk))


def summarise(title: str, points: Points, warm_up: int) -> str:
    """RETURNS (str): A row of the table."""
    n, mib, seconds = numpy.asarray(points).T
    late = n > warm_up
    (slope, _), covariance = numpy.polyfit(n[late], 1024 * mib[late], 1, cov=True)
    speed = n[-1] / seconds[-1]
    error = covariance[0, 0] ** 0.5
    return (
        f"| {title} | {speed:.2f} | {slope:.2f} ± {error:.2f} | {mib[late][0]:.0f} | {mib[-1]:.0f} | {mib.max():.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("corpus")
    parser.add_argument("--docs", type=int, default=3000, help="documents through each of the three")
    parser.add_argument("--every", type=int, default=50, help="documents from one reading to the next")
    parser.add_argument("--batch-size", type=int, default=None, help="of nlp.pipe and nlp.evaluate (the pipeline's)")
    args = parser.parse_args()

    nlp = spacy.load(args.model)
    batch_size = args.batch_size or nlp.batch_size
    examples = list(itertools.islice(create_docre_corpus(args.corpus)(nlp), max(args.docs // 3, 1)))
    rows, lines = [], []
    ways: List[Tuple[str, Callable[..., None]]] = [
        ("nlp.pipe", through_pipe),
        (f"nlp.evaluate, {args.every} documents a call", through_evaluate_again),
        (f"nlp.evaluate, {args.docs} documents a call", through_evaluate),
    ]
    for title, run in ways:
        meter = Meter(args.docs, args.every, title)
        if run is through_evaluate:
            Language.component("meter", func=meter)
            nlp.add_pipe("meter")
        run(nlp, itertools.islice(itertools.cycle(examples), args.docs), meter, batch_size)
        meter.progress.close()
        rows.append(summarise(title, meter.points, len(examples)))
        lines.append(meter.points)
    print(f"\n{args.model}: {args.docs} documents, {len(examples)} different, batch size {batch_size}, ", end="")
    print(f"{torch.get_num_threads()} torch thread(s). Memory in MiB.\n")
    print("| | documents/s | slope after warm-up, KiB per document | after warm-up | at the end | maximum |")
    print("|---|---|---|---|---|---|", *rows, sep="\n")
    print("\n| documents |", " | ".join(title for title, _ in ways), "|\n|---|---|---|---|")
    for points in list(zip(*lines))[:: max(len(lines[0]) // 12, 1)]:
        print(f"| {points[0][0]} |", " | ".join(f"{mib:.0f}" for _, mib, _ in points), "|")


if __name__ == "__main__":
    main()
