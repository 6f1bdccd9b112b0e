"""Thresholds of mentions, clusters and relations, chosen together by strict relation F1."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import product
from typing import (
    Any,
    Callable,
    Collection,
    DefaultDict,
    Dict,
    Iterable,
    Iterator,
    List,
    Optional,
    Sequence,
    Tuple,
    Type,
    TypeVar,
)

import numpy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import _pipe, raise_error

from ..attributes import get_relation_data
from ..errors import Errors
from ..finding import find_component
from ..scoring.calibration import calibration_error, fit_temperature, logit, sigmoid
from ..scoring.layers import cluster_set, entity_list, mention_set, triple_set
from .clusters import DocreClusters
from .docre_pipe import DocrePipe
from .mentions import DocreMentions
from .relations import DocreRelations
from .transformer import DocreTransformer
from .types import DocreTypes

Grid = Sequence[float]
Cell = Tuple[Optional[float], ...]  # thresholds of mentions, clusters (None where they are given) and relations
PipeT = TypeVar("PipeT")

FACTORIES: Dict[type, str] = {
    DocreTransformer: "docre_transformer",
    DocreMentions: "docre_mentions",
    DocreClusters: "docre_clusters",
    DocreTypes: "docre_types",
    DocreRelations: "docre_relations",
}
DEFAULT_ENTITY_GRID = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9)
DEFAULT_RELATION_GRID = tuple(round(0.1 + 0.05 * i, 2) for i in range(16))


@dataclass(frozen=True)
class TuningResult:
    """Scores of a grid.

    best (Cell): Thresholds with the highest strict relation F1; the middle-most where several have it.
    relations (Dict[Cell, float]): Strict relation F1 of each cell.
    mentions (Dict[Optional[float], float]): Mention F1 by mention threshold.
    clusters (Dict[Cell, float]): Cluster F1 by mention and cluster threshold.
    judged (Dict[Cell, List[Tuple[float, bool]]]): By mention and cluster threshold the scores of relations between
        entities that gold has, and whether gold has the relation, types ignored.
    """

    best: Cell
    relations: Dict[Cell, float]
    mentions: Dict[Optional[float], float]
    clusters: Dict[Cell, float]
    judged: Dict[Cell, List[Tuple[float, bool]]]


@dataclass(frozen=True)
class Calibration:
    """What a temperature does to the scores of reported relations between right entities.

    n (int): How many there are.
    before, after (float): Expected calibration error.
    """

    temperature: float
    n: int
    before: float
    after: float


class Tally(Counter):
    """Hits, predictions and golds by key."""

    def count(self, key: Any, predicted: set, gold: set) -> None:
        self[key, "hit"] += len(predicted & gold)
        self[key, "predicted"] += len(predicted)
        self[key, "gold"] += len(gold)

    def f(self, key: Any) -> float:
        """RETURNS (float): F1 = 2 hits / (predictions + golds), 0 where there is neither."""
        total = self[key, "predicted"] + self[key, "gold"]
        return 2 * self[key, "hit"] / total if total else 0.0


def tune_thresholds(
    nlp: Language,
    examples: Iterable[Example],
    *,
    given: Collection[str] = (),
    mention_grid: Grid = DEFAULT_ENTITY_GRID,
    cluster_grid: Grid = DEFAULT_ENTITY_GRID,
    relation_grid: Grid = DEFAULT_RELATION_GRID,
    batch_size: int = 16,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> TuningResult:
    """Try all combinations of thresholds on gold documents. The encoder runs once over each document.

    nlp (Language): A pipeline of docre components; its settings come back unchanged.
    examples (Iterable[Example]): Gold documents.
    given (Collection[str]): Gold layers that the predicted Docs start with, see `spacy-docre.Corpus.v1`. What finds
        them is not tuned and may be missing.
    mention_grid, cluster_grid, relation_grid (Grid): Thresholds to try.
    progress (Callable): Wraps the batches, to show a progress bar.
    RAISES (ValueError): If a component is missing.
    """
    mentions = None if "mentions" in given else find_pipe(nlp, DocreMentions)
    clusters = None if "clusters" in given else find_pipe(nlp, DocreClusters)
    types = None if "types" in given else find_pipe(nlp, DocreTypes)
    relations = find_pipe(nlp, DocreRelations)
    # A relation model with an encoder of its own may stand alone.
    alone = not (mentions or clusters or types or relations.listeners)
    encoder = None if alone else find_pipe(nlp, DocreTransformer)
    pipeline = list(nlp.pipeline)
    before = pipeline[: [pipe for _, pipe in pipeline].index(encoder or relations)]
    tally = Tally()
    judged: DefaultDict[Cell, List[Tuple[float, bool]]] = defaultdict(list)
    saved = [(pipe, dict(pipe.cfg)) for pipe in (mentions, clusters, relations) if pipe is not None]
    relations.cfg.update(threshold=min(relation_grid), alpha=0.5, temperature=1.0, evidence_mass=0.0)
    prefix, attr = relations.cfg["span_cluster_prefix"], relations.cfg["relations_attr"]
    try:
        for batch in progress(list(_batches(examples, batch_size))):
            docs = [eg.predicted for eg in batch]
            for name, pipe in before:
                docs = list(_pipe(docs, pipe, name, raise_error, {}))
            if encoder is not None:
                encodings = encoder.predict(docs)
                for encoding in encodings:
                    encoding.readers.add(-1)  # nobody: keeps the output on the Docs through all cells
                encoder.set_annotations(docs, encodings)
            gold = [eg.reference for eg in batch]
            for m in _decodings(mentions, docs, mention_grid):
                for doc, ref in zip(docs, gold):
                    tally.count(("m", m), mention_set(doc), mention_set(ref))
                for c in _decodings(clusters, docs, cluster_grid):
                    if types is not None:
                        types.set_annotations(docs, types.predict(docs))
                    relations.set_annotations(docs, relations.predict(docs))
                    for doc, ref in zip(docs, gold):
                        tally.count(("c", m, c), cluster_set(doc), cluster_set(ref))
                        _tally_relations(tally, doc, ref, (m, c), relation_grid, prefix, attr)
                        judged[m, c].extend(_judge(doc, ref, prefix, attr))
    finally:
        for pipe, cfg in saved:
            pipe.cfg.clear()
            pipe.cfg.update(cfg)
    tried: Tuple[Sequence[Optional[float]], ...] = (
        [None] if mentions is None else mention_grid,
        [None] if clusters is None else cluster_grid,
    )
    cells: List[Cell] = list(product(*tried, relation_grid))
    scores = {cell: tally.f(("r", *cell)) for cell in cells}
    return TuningResult(
        best=max(cells, key=lambda cell: (scores[cell], -sum(abs(t - 0.5) for t in cell if t is not None))),
        relations=scores,
        mentions={m: tally.f(("m", m)) for m in tried[0]},
        clusters={cell: tally.f(("c", *cell)) for cell in product(*tried)},
        judged=dict(judged),
    )


def calibrate(result: TuningResult, pipe: DocrePipe) -> Calibration:
    """Fit a temperature to the relations that the best thresholds keep. A score presumes that the entities are right,
    so only relations between entities that gold has are looked at.

    pipe (DocrePipe): The relation component.
    RAISES (ValueError): If there is no such relation.
    """
    *entities, threshold = result.best
    kept = numpy.array([pair for pair in result.judged.get(tuple(entities), ()) if pair[0] > threshold])  # type: ignore
    if not len(kept):
        raise ValueError(Errors.R217)
    scores, right = kept[:, 0], kept[:, 1].astype(bool)
    logits = logit(scores) - (0.0 if _has_own_scale(pipe) else logit(threshold))
    temperature = round(fit_temperature(logits, right), 6)  # stored settings have nine digits
    before, after = (calibration_error(sigmoid(logits / t), right) for t in (1.0, temperature))
    return Calibration(temperature, len(kept), before, after)


def _judge(doc: Doc, ref: Doc, prefix: str, attr: str) -> Iterator[Tuple[float, bool]]:
    """YIELDS (Tuple[float, bool]): Score of each relation between entities of the reference, and whether it has it."""
    if get_relation_data(ref, attr) is None:
        return
    known = cluster_set(ref, prefix)
    gold = {(head, label, tail) for (head, _), label, (tail, _) in triple_set(ref, prefix, attr)}
    for ((head, _), label, (tail, _)), score in triple_list(doc, prefix, attr):
        if head in known and tail in known:
            yield score, (head, label, tail) in gold


def _tally_relations(tally: Tally, doc: Doc, ref: Doc, cell: Cell, grid: Grid, prefix: str, attr: str) -> None:
    gold = get_relation_data(ref, attr)
    if gold is None:
        return
    gold_triples = triple_set(ref, prefix, attr)
    entities = triple_list(doc, prefix, attr)
    for r in grid:
        tally.count(("r", *cell, r), {triple for triple, score in entities if score > r}, gold_triples)


def triple_list(doc: Doc, prefix: str, attr: str) -> List[Tuple[Any, float]]:
    """RETURNS (List[Tuple[Any, float]]): Predicted triples as `triple_set` has them, with their scores."""
    entities = entity_list(doc, prefix)
    return [
        ((entities[d["head"]], d["label"], entities[d["tail"]]), d["score"]) for d in get_relation_data(doc, attr) or ()
    ]


def _decodings(pipe: Optional[DocrePipe], docs: List[Doc], grid: Grid) -> Iterator[Optional[float]]:
    """Score the Docs once, and annotate them with one threshold after the other; None where nothing is to be found."""
    if pipe is None:
        yield None
        return
    batch = pipe.make_batch(docs)
    scores = pipe.model.predict((docs, batch)) if len(batch) else {}
    for threshold in grid:
        pipe.cfg["threshold"] = threshold
        pipe.set_annotations(docs, pipe.decode(docs, batch, scores))
        yield threshold


def current_threshold(pipe: DocrePipe) -> float:
    """RETURNS (float): A component's threshold as the grids count it: before calibration, and for relation heads
    without a threshold class the probability from which a relation is kept."""
    above = logit(pipe.cfg["threshold"]) * pipe.cfg.get("temperature", 1.0)
    return float(sigmoid(above + (0.0 if _has_own_scale(pipe) else logit(pipe.cfg["alpha"]))))


def threshold_settings(pipe: DocrePipe, threshold: float, temperature: float = 1.0) -> Dict[str, float]:
    """RETURNS (Dict[str, float]): Settings that give a component a threshold of the grids. A relation head without a
    threshold class gets it as `alpha`: the score 0.5 then lies on it. The threshold of calibrated scores is calibrated
    as they are, so that the same relations are kept."""
    if not _has_own_scale(pipe):
        return {"threshold": 0.5, "alpha": threshold, "temperature": temperature}
    if "temperature" not in pipe.cfg:
        return {"threshold": threshold}
    moved = threshold if temperature == 1.0 else float(sigmoid(logit(threshold) / temperature))
    return {"threshold": moved, "temperature": temperature}


def _has_own_scale(pipe: DocrePipe) -> bool:
    return pipe.model.attrs.get("threshold_class", True)


def find_pipe(nlp: Language, kind: Type[PipeT]) -> PipeT:
    """RETURNS: The pipeline's component of a class. RAISES (ValueError): If it has none."""
    pipe = find_component(nlp, FACTORIES[kind])
    if pipe is None:
        raise ValueError(Errors.R212.format(kind=FACTORIES[kind], names=", ".join(nlp.pipe_names)))
    return pipe


def _batches(examples: Iterable[Example], size: int) -> Iterator[List[Example]]:
    batch: List[Example] = []
    for example in examples:
        batch.append(example)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
