"""Documents per second of a trained pipeline on raw text, and the share of each component.

    python benchmarks/profile_extraction.py MODEL CORPUS [--batch-size 16] [--repeat 3]

MODEL is a trained pipeline (name or folder), CORPUS .spacy files, of which the texts alone are used. The best of
several passes counts; a machine that does other work is slower, so compare shares and ratios within one run.
"""

import argparse
import time
from collections import defaultdict
from typing import Any, Callable, DefaultDict

import spacy
from spacy.tokens import DocBin
from tqdm import tqdm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("corpus")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--repeat", type=int, default=3, help="passes over the corpus")
    args = parser.parse_args()
    spacy.prefer_gpu()
    nlp = spacy.load(args.model)
    docs = list(DocBin().from_disk(args.corpus).get_docs(nlp.vocab))
    texts, n_tokens = [doc.text for doc in docs], sum(map(len, docs))
    seconds: DefaultDict[str, float] = defaultdict(float)

    def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*positional: Any, **named: Any) -> Any:
            start = time.perf_counter()
            result = call(*positional, **named)
            seconds[name] += time.perf_counter() - start
            return result

        return run

    for name, pipe in nlp.pipeline:
        for method in ("predict", "set_annotations"):
            if hasattr(pipe, method):
                setattr(pipe, method, timed(name, getattr(pipe, method)))
    for _ in nlp.pipe(texts[: args.batch_size], batch_size=args.batch_size):
        pass  # warm up
    best, shares = float("inf"), {}
    for _ in range(args.repeat):
        seconds.clear()
        start = time.perf_counter()
        for _ in tqdm(nlp.pipe(texts, batch_size=args.batch_size), total=len(texts), unit=" docs", leave=False):
            pass
        total = time.perf_counter() - start
        if total < best:
            best, shares = total, dict(seconds)
    per_second = f"{len(texts) / best:.2f} docs/s, {n_tokens / best:.0f} tokens/s"
    print(f"{len(texts)} documents, {n_tokens} tokens: {per_second}\n")
    print("| component | seconds | share |\n|---|---:|---:|")
    shares["tokenizer, streams"] = best - sum(shares.values())
    for name, spent in sorted(shares.items(), key=lambda item: -item[1]):
        print(f"| {name} | {spent:.2f} | {100 * spent / best:.1f} % |")


if __name__ == "__main__":
    main()
