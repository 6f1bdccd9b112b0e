"""Where a training step spends its time: encoder forward and backward, the other components, the optimizer. Beside each
step, the encoder alone runs forward and backward on the same windows.

    python benchmarks/profile_training.py MODEL CORPUS [--steps 20] [--words 1600] [--mixed-precision]

MODEL is a trained or initialised pipeline, CORPUS gold .spacy files. Nothing is saved. On the CPU the times are
processor-bound; on a GPU kernels run on after a call returns, so each part is timed after synchronisation.
"""

import argparse
import time
from collections import defaultdict
from typing import Any, Callable, DefaultDict, Iterator, List

import spacy
import torch
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Adam
from tqdm import tqdm

from spacy_docre.models.torch_model import get_module
from spacy_docre.models.transformer.model import get_plan, get_shim, run_encoder
from spacy_docre.models.transformer.windows import cut_windows, tokenize_docs, window_ids
from spacy_docre.readers.corpus import create_docre_corpus


def make_batches(examples: List[Example], words: int) -> Iterator[List[Example]]:
    batch: List[Example] = []
    for example in examples:
        batch.append(example)
        if sum(len(eg.predicted) for eg in batch) >= words:
            yield batch
            batch = []


def run_alone(encoder: Any, docs: List[Doc]) -> None:
    """Forward and backward through the encoder and nothing else."""
    model = encoder.model
    plan = get_plan(model)
    ids: List[List[int]] = []
    for pieces, first, last in tokenize_docs(get_shim(model).tokenizer, docs, model.attrs["name"]):
        ids.extend(window_ids(pieces, cut_windows(len(pieces), first, last, plan), plan))
    outputs = list(run_encoder(model, ids, is_train=True).named().values())
    torch.autograd.backward(outputs, [torch.ones_like(t) for t in outputs])
    get_module(model).zero_grad()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("corpus")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--words", type=int, default=1600, help="tokens in a batch")
    parser.add_argument("--mixed-precision", action="store_true")
    args = parser.parse_args()

    nlp = spacy.load(args.model)
    seconds: DefaultDict[str, float] = defaultdict(float)

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*a: Any, **k: Any) -> Any:
            start = time.perf_counter()
            result = function(*a, **k)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds[name] += time.perf_counter() - start
            return result

        return run

    for name, pipe in nlp.pipeline:
        if hasattr(pipe, "model"):
            for node in pipe.model.walk():
                if "mixed_precision" in node.attrs:
                    node.attrs["mixed_precision"] = args.mixed_precision
            pipe.update = timed("encoder forward" if name == "docre_transformer" else name, pipe.update)
    encoder: Any = nlp.get_pipe("docre_transformer")
    encoder._backprop = timed("encoder backward", encoder._backprop)
    alone = timed("encoder alone", run_alone)
    # Twice each: the first round warms up memory and kernels.
    batches = list(make_batches(list(create_docre_corpus(args.corpus)(nlp)), args.words))[: args.steps]
    optimizer = Adam(1e-6, L2=0.01, grad_clip=1.0, use_averages=False)
    for warm in (True, False):
        seconds.clear()
        start = time.perf_counter()
        for batch in tqdm(batches, desc="Warming up" if warm else "Measuring", unit=" steps"):
            nlp.update(batch, sgd=False, annotates=["sentencizer"])
            for _, pipe in nlp.pipeline:
                if hasattr(pipe, "finish_update"):
                    pipe.finish_update(optimizer)
            alone(encoder, [eg.predicted for eg in batch])
        total = time.perf_counter() - start - seconds["encoder alone"]
    encoder_alone = seconds.pop("encoder alone")
    seconds["optimizer, sentences, rest"] = total - sum(seconds.values())
    n_docs = sum(map(len, batches))
    print(f"A step takes {total / encoder_alone:.2f} times the encoder's own forward and backward on the same windows.")
    print(f"{len(batches)} steps, {n_docs} documents: {len(batches) / total:.2f} steps/s, {n_docs / total:.2f} docs/s")
    for name, s in sorted(seconds.items(), key=lambda item: -item[1]):
        print(f"{100 * s / total:5.1f} %  {1000 * s / len(batches):7.1f} ms a step  {name}")


if __name__ == "__main__":
    main()
