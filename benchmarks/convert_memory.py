"""Time and memory of converting many documents of DocRED's format.

    python benchmarks/convert_memory.py [--docs 100000] [--words 200] [--vocabulary 200000]

Generates one JSON array of documents in a temporary folder, as DocRED's distant part is one, and converts it to a
folder of shards with `python -m spacy_docre convert docred` in a process of its own. Memory is the highest resident
set of that process (Linux); 2,000 documents are converted first, for what it takes at least.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List

from tqdm import tqdm

TYPES, RELATIONS, SENTENCE = ["PER", "ORG", "LOC", "TIME", "NUM", "MISC"], [f"P{i}" for i in range(1, 97)], 25


def documents(n: int, n_words: int, vocabulary: int) -> Iterator[Dict[str, Any]]:
    """YIELDS (Dict[str, Any]): Documents of random words, a few of them frequent, with 20 entities and 12 relations."""
    rng = random.Random(0)
    for i in range(n):
        words = [f"w{int(vocabulary ** rng.random())}" for _ in range(n_words)]
        sents = [words[j : j + SENTENCE - 1] + ["."] for j in range(0, n_words, SENTENCE - 1)]
        entities = [[mention(rng, sents) for _ in range(rng.choice([1, 1, 1, 3]))] for _ in range(20)]
        labels: List[Dict[str, Any]] = []
        for _ in range(12):
            head, tail = rng.sample(range(20), 2)
            labels.append({"h": head, "t": tail, "r": rng.choice(RELATIONS), "evidence": [rng.randrange(len(sents))]})
        yield {"title": f"document {i}", "sents": sents, "vertexSet": entities, "labels": labels}


def mention(rng: random.Random, sents: List[List[str]]) -> Dict[str, Any]:
    sent = rng.randrange(len(sents))
    start = rng.randrange(len(sents[sent]) - 1)
    return {"name": sents[sent][start], "sent_id": sent, "pos": [start, start + 1], "type": rng.choice(TYPES)}


def write(path: Path, n: int, n_words: int, vocabulary: int) -> None:
    with path.open("w", encoding="utf8") as file:
        for i, document in enumerate(tqdm(documents(n, n_words, vocabulary), total=n, desc="Generating")):
            file.write(("," if i else "[") + json.dumps(document))
        file.write("]")


def convert(source: Path, target: Path) -> None:
    before = time.perf_counter()
    command = [sys.executable, "-m", "spacy_docre", "convert", "docred", str(source), str(target)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(1)
    seconds, cpu = time.perf_counter() - before, usage.ru_utime + usage.ru_stime
    n_bytes = sum(path.stat().st_size for path in target.iterdir())
    sizes = f"{source.stat().st_size / 2**20:.0f} MiB -> {n_bytes / 2**20:.0f} MiB"
    print(f"{source.stem}: {sizes}, {seconds:.0f} s ({cpu:.0f} s CPU), {usage.ru_maxrss / 1024:.0f} MiB at most")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", type=int, default=100_000)
    parser.add_argument("--words", type=int, default=200, help="in a document")
    parser.add_argument("--vocabulary", type=int, default=200_000, help="different words at most")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        for n in (2_000, args.docs):
            source = Path(name) / f"{n} documents.json"
            write(source, n, args.words, args.vocabulary)
            convert(source, Path(name) / str(n))


if __name__ == "__main__":
    main()
