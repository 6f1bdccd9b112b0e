"""Time and peak memory of single long documents, component by component.

    python benchmarks/long_documents.py MODEL CORPUS [--tokens 5000 20000 100000] [--limit 16]
    python benchmarks/long_documents.py en_docre corpus/dev.spacy --tokens 1000 2000 3000

MODEL is a pipeline's name or folder, CORPUS .spacy files, whose documents are joined (and repeated, if there are too
few) until there are enough tokens. Each length runs in a process of its own, of which the peak of the resident set is
read (Linux only). A process that needs more address space than --limit GiB fails, and the next length goes on.
"""

import argparse
import itertools
import multiprocessing
import resource
import time
from pathlib import Path
from typing import Any, Dict, List, Tuple

import spacy
from spacy.language import Language
from spacy.tokens import Doc
from tqdm import tqdm

from spacy_docre.doc.layers import get_clusters, get_mentions
from spacy_docre.readers.corpus import create_docre_corpus

Result = Tuple[Dict[str, Tuple[float, float]], Dict[str, int]]  # seconds and peak MiB of each part, counts


def make_text(nlp: Language, corpus: str, n_tokens: int) -> str:
    """RETURNS (str): Documents of the corpus with empty lines between them, n_tokens together."""
    docs = [eg.reference for eg in create_docre_corpus(corpus)(nlp)]
    texts, n = [], 0
    for doc in itertools.cycle(docs):
        texts.append(doc.text)
        n += len(doc) + 1
        if n >= n_tokens:
            break
    text = "\n\n".join(texts)
    nlp.max_length = len(text) + 1
    return nlp.make_doc(text)[:n_tokens].text


def peak() -> float:
    """RETURNS (float): Highest resident set of this process since `forget_peak`, in MiB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def measure(sender: Any, model: str, corpus: str, n_tokens: int, limit: float) -> None:
    """Load the pipeline and send the Result of one document."""
    nlp = spacy.load(model)
    text = make_text(nlp, corpus, n_tokens)
    nlp("Ann Lee works at Acme in Rome.")  # the first document loads what later ones have
    if limit:
        resource.setrlimit(resource.RLIMIT_AS, (int(limit * 2**30),) * 2)
    parts: Dict[str, Tuple[float, float]] = {}
    doc: Any = text
    for name, part in [("tokenizer", nlp.make_doc), *nlp.pipeline]:
        forget_peak()
        start = time.perf_counter()
        doc = part(doc)
        parts[name] = time.perf_counter() - start, peak()
    sender.send((parts, count(doc)))


def count(doc: Doc) -> Dict[str, int]:
    return {
        "tokens": len(doc),
        "mentions": len(get_mentions(doc)),
        "entities": len(get_clusters(doc)),
        "relations": len(doc._.relations),
    }


def run_apart(*args: Any) -> Result:
    """Measure in a fresh process. RETURNS (Result): Empty if it failed; it has said why."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=measure, args=(sender, *args))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        return {}, {}
    finally:
        process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("corpus")
    parser.add_argument("--tokens", type=int, nargs="+", default=[5000, 20000, 100000], help="lengths of documents")
    parser.add_argument("--limit", type=float, default=16, help="GiB of address space; 0 for no limit")
    args = parser.parse_args()

    lengths = tqdm(args.tokens, desc="Measuring", unit=" documents")
    results = [run_apart(args.model, args.corpus, n, args.limit) for n in lengths]
    print(f"\n{args.model}: seconds and peak of the resident set in MiB, address space up to {args.limit:g} GiB\n")
    print_table([f"{n:,} tokens" for n in args.tokens], results)


def print_table(titles: List[str], results: List[Result]) -> None:
    print("| |", " | ".join(titles), "|\n|---|" + "---|" * len(titles))
    for name in {name: None for parts, _ in results for name in parts}:
        print(f"| {name} |", " | ".join("{:.1f} s, {:.0f}".format(*p[name]) if p else "" for p, _ in results), "|")
    print("| all |", " | ".join(show_sum(parts) for parts, _ in results), "|")
    for name in {name: None for _, counts in results for name in counts}:
        print(f"| {name} |", " | ".join(f"{c[name]:,}" if c else "" for _, c in results), "|")


def show_sum(parts: Dict[str, Tuple[float, float]]) -> str:
    if not parts:
        return "failed"
    seconds, peaks = zip(*parts.values())
    return f"{sum(seconds):.1f} s, {max(peaks):.0f}"


if __name__ == "__main__":
    main()
