"""`benchmark`: layers against their textbook forms, time and memory, as ratios within one run."""

import gc
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Tuple

import typer
from tqdm import tqdm

from ._util import app, one_line_errors

if TYPE_CHECKING:
    from torch import Tensor

# Builds the layer, its textbook form (both: inputs -> output) and inputs that need a gradient.
Case = Callable[[], Tuple[Callable[..., "Tensor"], Callable[..., "Tensor"], List["Tensor"]]]

N_DOCS, N_ENTITIES, N_PIECES, WIDTH, BLOCK, N_RELATIONS = 4, 20, 250, 768, 64, 97

ROUNDS = typer.Option(5, "--rounds", min=1, help="Repetitions; times are medians.")
THREADS = typer.Option(0, "--threads", min=0, help="Threads of torch, 0 for its default.")


@app.command("benchmark")
def benchmark_cli(rounds: int = ROUNDS, threads: int = THREADS) -> None:
    """Compare layers with their textbook forms: forward and backward, time and memory beyond that of the inputs.

    4 documents of 20 entities and 250 word pieces, width 768, block 64, 97 classes, on the CPU. Both forms take turns
    in one process; memory is the highest resident set above that before, each form in a process of its own (Linux).

    Example: python -m spacy_docre benchmark --rounds 5
    """
    with one_line_errors():
        typer.echo("| layer | ms | textbook ms | times faster | MiB | textbook MiB | share of memory |")
        typer.echo("|---|---|---|---|---|---|---|")
        for name in tqdm(CASES, desc="Measuring", unit=" layers", file=sys.stderr):
            ours, textbook = (in_new_process(measure_memory, name, which, threads) for which in (0, 1))
            seconds = in_new_process(measure_time, name, rounds, threads)
            cells = [f"{1000 * seconds[0]:.0f}", f"{1000 * seconds[1]:.0f}", f"{seconds[1] / seconds[0]:.1f}"]
            cells += [f"{ours:.0f}", f"{textbook:.0f}", f"1/{textbook / max(ours, 0.1):.1f}"]
            typer.echo(f"| {name} | " + " | ".join(cells) + " |")


def in_new_process(function: Callable[..., Any], *args: Any) -> Any:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def measure_time(name: str, rounds: int, threads: int) -> Tuple[float, float]:
    """Measure the median seconds of the layer and of its textbook form, which take turns."""
    *forms, inputs = prepare(name, threads)
    seconds: Tuple[List[float], List[float]] = ([], [])
    for i in range(rounds + 1):
        for form, measured in zip(forms, seconds):
            start = time.perf_counter()
            form(*inputs).square().mean().backward()
            if i:  # the first turn warms up
                measured.append(time.perf_counter() - start)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def measure_memory(name: str, which: int, threads: int) -> float:
    """Measure the MiB that the layer (0) or its textbook form (1) needs beyond its inputs."""
    *forms, inputs = prepare(name, threads)
    for tensor in inputs:  # gradients of inputs count for neither
        tensor.grad = tensor.detach().clone()
    gc.collect()
    status = Path("/proc/self/status")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew

    def resident(key: str) -> float:
        line = next(line for line in status.read_text().splitlines() if line.startswith(key))
        return int(line.split()[1]) / 1024

    before = resident("VmRSS")
    forms[which](*inputs).square().mean().backward()
    return resident("VmHWM") - before


def prepare(name: str, threads: int) -> Tuple[Any, Any, List["Tensor"]]:
    import torch

    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(0)
    return CASES[name]()


def grouped_bilinear() -> Tuple[Callable[..., "Tensor"], Callable[..., "Tensor"], List["Tensor"]]:
    """ATLOP's classifier."""
    import torch

    from .. import textbook
    from ..layers.grouped_bilinear import GroupedBilinear

    n_pairs = N_DOCS * N_ENTITIES * (N_ENTITIES - 1)
    layer = GroupedBilinear(WIDTH, N_RELATIONS, block_size=BLOCK)

    def slow(head: "Tensor", tail: "Tensor") -> "Tensor":
        return textbook.grouped_bilinear(head, tail, layer.weight, layer.bias, block_size=BLOCK)

    return layer, slow, [torch.randn(n_pairs, WIDTH, requires_grad=True) for _ in range(2)]


def context_pooling() -> Tuple[Callable[..., "Tensor"], Callable[..., "Tensor"], List["Tensor"]]:
    """The MRC's context, the maximum between two mentions."""
    import numpy
    import torch

    from .. import textbook
    from ..layers.segments import range_max

    n_pairs = N_DOCS * N_ENTITIES * (N_ENTITIES - 1) // 2
    generator = numpy.random.default_rng(0)
    doc = numpy.sort(generator.integers(0, N_DOCS, n_pairs))
    first, last = numpy.sort(generator.integers(0, N_PIECES + 1, (n_pairs, 2)), axis=1).T
    ranges = [torch.as_tensor(array) for array in (doc, first, last)]

    def layer(pieces: "Tensor") -> "Tensor":
        return range_max(pieces, doc * N_PIECES + first, doc * N_PIECES + last)

    def slow(pieces: "Tensor") -> "Tensor":
        return textbook.max_between(pieces.view(N_DOCS, N_PIECES, WIDTH), *ranges)

    return layer, slow, [torch.randn(N_DOCS * N_PIECES, WIDTH, requires_grad=True)]


def contrast() -> Tuple[Callable[..., "Tensor"], Callable[..., "Tensor"], List["Tensor"]]:
    """PEMSCL's contrastive loss, one pair in 14 with a relation."""
    import torch

    from .. import textbook
    from ..losses.contrastive import contrastive_loss

    n_pairs, temperature = N_DOCS * N_ENTITIES * (N_ENTITIES - 1), 0.2
    anchors = torch.randperm(n_pairs)[: n_pairs // 14]
    gold = torch.zeros(n_pairs, N_RELATIONS - 1, dtype=torch.bool)
    gold[anchors, torch.randint(N_RELATIONS - 1, anchors.shape)] = True

    def layer(head: "Tensor", tail: "Tensor") -> "Tensor":
        return contrastive_loss(head, tail, gold, temperature=temperature)

    def slow(head: "Tensor", tail: "Tensor") -> "Tensor":
        return textbook.contrastive_loss(head, tail, gold, temperature=temperature)

    shape = (n_pairs, WIDTH // BLOCK, BLOCK)
    return layer, slow, [torch.randn(shape, requires_grad=True) for _ in range(2)]


def relation_specific_entities() -> Tuple[Callable[..., "Tensor"], Callable[..., "Tensor"], List["Tensor"]]:
    """RSMAN's classifier at its width of 128."""
    import numpy
    import torch

    from .. import textbook
    from ..batches import EntityBatch, PairBatch, SpanBatch
    from ..models.heads.rsman import classify_pairs

    n, width = N_DOCS * N_ENTITIES, 128
    doc, number = numpy.repeat(numpy.arange(N_DOCS), N_ENTITIES), numpy.arange(n)
    mentions = SpanBatch(doc, number, number + 1)
    head, tail = numpy.nonzero((doc[:, None] == doc) & (number[:, None] != number))
    batch = PairBatch(EntityBatch(mentions, number, doc, number, doc), head, tail)
    weight = torch.randn(N_RELATIONS, width, width) / width

    def layer(entities: "Tensor") -> "Tensor":
        return classify_pairs(entities, weight, batch, 2**22)

    def slow(entities: "Tensor") -> "Tensor":
        return textbook.classify_pairs(entities, weight, torch.as_tensor(head), torch.as_tensor(tail))

    return layer, slow, [torch.randn(N_RELATIONS, n, width, requires_grad=True)]


def mention_pairs() -> Tuple[Callable[..., "Tensor"], Callable[..., "Tensor"], List["Tensor"]]:
    """KMGRE's scores of mention pairs."""
    import numpy
    import torch

    from .. import textbook
    from ..batches import EntityBatch, SpanBatch
    from ..layers.encoded import EncodedBatch
    from ..layers.layout import DocWindows
    from ..layers.planes import Planes
    from ..models.heads.kmgre import MentionPairScorer

    n_heads, n_mentions = 12, 2 * N_ENTITIES
    pieces, first, last = numpy.arange(N_PIECES), numpy.asarray([0]), numpy.asarray([N_PIECES])
    doc = DocWindows(pieces, pieces + 1, first, last, numpy.zeros(N_PIECES, dtype="int64"), last, 0)
    start = numpy.linspace(0, N_PIECES - 1, n_mentions).astype("int64")
    number = numpy.arange(N_DOCS * n_mentions)
    mentions = SpanBatch(number // n_mentions, numpy.tile(start, N_DOCS), numpy.tile(start + 1, N_DOCS))
    entities = EntityBatch(mentions, number // 2, mentions.doc[::2], mentions.doc[::2], mentions.doc)
    head, tail = numpy.nonzero((mentions.doc[:, None] == mentions.doc) & (entities.entity[:, None] != entities.entity))
    scorer = MentionPairScorer(WIDTH, N_RELATIONS, mention_pooling="mean", dropout=0.0)
    pieces_of_doc, n = torch.as_tensor(start), len(head) // N_DOCS
    one, other = (torch.as_tensor(rows[:n]) for rows in (head, tail))  # the same in each document

    def layer(hidden: "Tensor", queries: "Tensor", keys: "Tensor") -> "Tensor":
        encoded = EncodedBatch(Planes(hidden, queries, keys), (doc,) * N_DOCS)
        return scorer(encoded, entities, head, tail)

    def slow(hidden: "Tensor", queries: "Tensor", keys: "Tensor") -> "Tensor":
        attention = (queries @ keys.transpose(2, 3) / queries.shape[-1] ** 0.5).softmax(-1)
        weight, bias = scorer.linear.weight, scorer.linear.bias
        of_docs = (
            textbook.mention_pair_scores(h, a, pieces_of_doc, one, other, weight, bias)
            for h, a in zip(hidden, attention)
        )
        return torch.cat(list(of_docs))

    shapes = [(N_DOCS, N_PIECES, WIDTH), *[(N_DOCS, n_heads, N_PIECES, WIDTH // n_heads)] * 2]
    return layer, slow, [torch.randn(*shape, requires_grad=True) for shape in shapes]


CASES: Dict[str, Case] = {
    "grouped bilinear": grouped_bilinear,
    "context between mentions": context_pooling,
    "contrastive loss": contrast,
    "relation-specific entities": relation_specific_entities,
    "scores of mention pairs": mention_pairs,
}
