"""Thresholds of mentions, clusters and relations, chosen together by strict relation F1."""

import contextlib
from collections import defaultdict
from dataclasses import dataclass
from itertools import product
from typing import (
    AbstractSet,
    Any,
    Callable,
    Collection,
    DefaultDict,
    Dict,
    Hashable,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
)

import numpy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from ..doc.places import Places
from ..doc.records import has_relations
from ..doc.sets import cluster_set, mention_set, triple_scores, triple_set
from ..errors import Errors
from ..finding import find_component
from ..pipeline.docre_pipe import DocrePipe
from ..scoring.calibration import calibration_error, fit_temperature, logit, sigmoid
from ..scoring.counts import Counts, Tally, add_up, as_dict, compare
from ..scoring.relations import count_above

Grid = Sequence[float]
Cell = Tuple[Optional[float], ...]  # thresholds of mentions, clusters (None where they are given) and relations
DEFAULT_ENTITY_GRID = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9)
DEFAULT_RELATION_GRID = tuple(round(0.1 + 0.05 * i, 2) for i in range(16))


@dataclass(frozen=True)
class TuningResult:
    """Scores of a grid.

    best (Cell): Thresholds with the highest strict relation F1; the nearest to 0.5 where several have it.
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
    places = Places.of_pipeline(nlp)
    mentions = None if "mentions" in given else find_component(nlp, "docre_mentions")
    clusters = None if "clusters" in given else find_component(nlp, "docre_clusters")
    types = None if "types" in given else find_component(nlp, "docre_types")
    relations = find_component(nlp, "docre_relations")
    sums: Dict[Hashable, Counts] = {}
    judged: DefaultDict[Cell, List[Tuple[float, bool]]] = defaultdict(list)
    with contextlib.ExitStack() as settings:
        for pipe in (mentions, clusters):
            if pipe is not None:
                settings.enter_context(pipe.with_settings())
        everything = {"threshold": min(relation_grid), "alpha": 0.5, "temperature": 1.0, "evidence_mass": 0.0}
        settings.enter_context(relations.with_settings(**everything))
        for batch in progress(list(_batches(examples, batch_size))):
            tallies: List[Tally] = []
            pipes = [pipe for pipe in (mentions, clusters, types, relations) if pipe is not None]
            with encode_once(nlp, batch, pipes) as docs:
                for m in _decodings(mentions, docs, mention_grid):
                    tallies += [{("m", m): compare(*_both(mention_set, eg, places))} for eg in batch]
                    for c in _decodings(clusters, docs, cluster_grid):
                        for pipe in (types, relations):
                            if pipe is not None:
                                pipe.set_annotations(docs, pipe.predict(docs))
                        for eg in batch:
                            tallies.append({("c", m, c): compare(*_both(cluster_set, eg, places))})
                            if has_relations(eg.reference, places):
                                counts = count_above(eg, places, relation_grid)
                                tallies.append({("r", m, c, r): count for r, count in counts.items()})
                                judged[m, c].extend(_judge(eg, places))
            sums = add_up([sums, *tallies])
    tried: Tuple[Sequence[Optional[float]], ...] = (
        [None] if mentions is None else mention_grid,
        [None] if clusters is None else cluster_grid,
    )
    cells: List[Cell] = list(product(*tried, relation_grid))
    scores = {cell: f1(sums, "r", *cell) for cell in cells}
    return TuningResult(
        best=max(cells, key=lambda cell: (scores[cell], -sum(abs(t - 0.5) for t in cell if t is not None))),
        relations=scores,
        mentions={m: f1(sums, "m", m) for m in tried[0]},
        clusters={cell: f1(sums, "c", *cell) for cell in product(*tried)},
        judged=dict(judged),
    )


def f1(sums: Mapping[Hashable, Counts], *key: Any) -> float:
    """RETURNS (float): F1 by a key of counts, 0 where nothing is counted; rounded, so that equal ones are equal."""
    return round(as_dict(sums.get(key, Counts()))["f"] or 0.0, 12)


@contextlib.contextmanager
def encode_once(nlp: Language, examples: List[Example], pipes: Sequence[DocrePipe]) -> Iterator[List[Doc]]:
    """Run what stands before some components, and keep the shared encoder's output on the predicted Docs for a while.

    pipes (Sequence[DocrePipe]): The components. If all have encoders of their own, no shared one has to be there.
    YIELDS (List[Doc]): The predicted Docs.
    RAISES (ValueError): If a shared encoder is read and there is none.
    """
    shared = any(pipe.listeners for pipe in pipes)
    encoder = find_component(nlp, "docre_transformer") if shared else None
    names = [name for name, pipe in nlp.pipeline]
    before = names[: names.index(encoder.name if encoder is not None else pipes[-1].name)]
    with nlp.select_pipes(enable=before):
        docs = list(nlp.pipe(eg.predicted for eg in examples))
    for example, doc in zip(examples, docs):
        example.predicted = doc
    with contextlib.nullcontext() if encoder is None else encoder.keep_output(docs):
        yield docs


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


def _judge(example: Example, places: Places) -> Iterator[Tuple[float, bool]]:
    """YIELDS (Tuple[float, bool]): Score of each relation between entities of the reference, and whether it has it."""
    known = cluster_set(example.reference, places)
    gold = {(head, label, tail) for (head, _), label, (tail, _) in triple_set(example.reference, places)}
    for ((head, _), label, (tail, _)), score in triple_scores(example.predicted, places).items():
        if head in known and tail in known:
            yield score, (head, label, tail) in gold


def _both(layer: Callable[..., AbstractSet], example: Example, places: Places) -> Tuple[AbstractSet, AbstractSet]:
    """RETURNS (Tuple[AbstractSet, AbstractSet]): A layer of the predicted and the reference Doc."""
    return layer(example.predicted, places), layer(example.reference, places)


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


def _batches(examples: Iterable[Example], size: int) -> Iterator[List[Example]]:
    batch: List[Example] = []
    for example in examples:
        batch.append(example)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
