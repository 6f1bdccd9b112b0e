"""Thresholds of mentions, clusters and relations, chosen together by strict relation F1."""

import contextlib
from collections import defaultdict
from dataclasses import dataclass
from itertools import chain, product
from typing import (
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
from spacy.util import minibatch

from ..doc.layers import has_clusters, has_mentions
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
    search = _Search(nlp, given, mention_grid, cluster_grid, relation_grid)
    sums: Dict[Hashable, Counts] = {}
    with search.reporting_all():
        for batch in progress(list(minibatch(examples, batch_size))):
            sums = add_up(chain([sums], search.count(batch)))
    entity_cells: List[Cell] = list(product(search.tried_mentions, search.tried_clusters))
    scores: Dict[Cell, float] = {(*cell, r): f1(sums, "r", *cell, r) for cell in entity_cells for r in relation_grid}
    return TuningResult(
        best=max(scores, key=lambda cell: (scores[cell], -sum(abs(t - 0.5) for t in cell if t is not None))),
        relations=scores,
        mentions={m: f1(sums, "m", m) for m in search.tried_mentions},
        clusters={cell: f1(sums, "c", *cell) for cell in entity_cells},
        judged=dict(search.judged),
    )


class _Search:
    """Annotates documents with one combination of thresholds after the other, and counts as the scorers do."""

    def __init__(
        self, nlp: Language, given: Collection[str], mention_grid: Grid, cluster_grid: Grid, relation_grid: Grid
    ) -> None:
        self.nlp = nlp
        self.relations = find_component(nlp, "docre_relations")
        self.places: Places = self.relations.places
        self.mentions, self.clusters, self.types = (
            None if layer in given else find_component(nlp, f"docre_{layer}", self.places.settings)
            for layer in ("mentions", "clusters", "types")
        )
        self.pipes = [p for p in (self.mentions, self.clusters, self.types, self.relations) if p is not None]
        self.tried_mentions: Sequence[Optional[float]] = mention_grid if self.mentions else [None]
        self.tried_clusters: Sequence[Optional[float]] = cluster_grid if self.clusters else [None]
        self.relation_grid = relation_grid
        self.judged: DefaultDict[Cell, List[Tuple[float, bool]]] = defaultdict(list)

    @contextlib.contextmanager
    def reporting_all(self) -> Iterator[None]:
        """Let the relation component report all that any threshold keeps, for a while."""
        everything = {"threshold": min(self.relation_grid), "alpha": 0.5, "temperature": 1.0, "evidence_mass": 0.0}
        with self.relations.with_settings(**everything):
            yield

    def count(self, batch: List[Example]) -> Iterator[Tally]:
        """YIELDS (Tally): Counts of a document, by layer and thresholds."""
        with encode_once(self.nlp, batch, self.pipes) as docs:
            for m in _decodings(self.mentions, docs, self.tried_mentions):
                yield from (self.count_mentions(eg, m) for eg in batch)
                for c in _decodings(self.clusters, docs, self.tried_clusters):
                    for pipe in (self.types, self.relations):
                        if pipe is not None:
                            pipe.set_annotations(docs, pipe.predict(docs))
                    yield from (self.count_cell(eg, (m, c)) for eg in batch)

    def count_mentions(self, example: Example, m: Optional[float]) -> Tally:
        if not has_mentions(example.reference, self.places):
            return {}
        predicted, gold = (mention_set(doc, self.places) for doc in (example.predicted, example.reference))
        return {("m", m): compare(predicted, gold)}

    def count_cell(self, example: Example, cell: Cell) -> Tally:
        tally: Tally = {}
        if has_clusters(example.reference, self.places):
            predicted, gold = (cluster_set(doc, self.places) for doc in (example.predicted, example.reference))
            tally[("c", *cell)] = compare(predicted, gold)
        if has_relations(example.reference, self.places):
            counts = count_above(example, self.places, self.relation_grid)
            tally.update({("r", *cell, r): count for r, count in counts.items()})
            self.judged[cell].extend(_judge(example, self.places))
        return tally


def f1(sums: Mapping[Hashable, Counts], *key: Any) -> float:
    """Compute the F1 of a key, 0 where nothing is counted; rounded, so that equal scores compare as equal."""
    return round(as_dict(sums.get(key, Counts()))["f"] or 0.0, 12)


@contextlib.contextmanager
def encode_once(nlp: Language, examples: List[Example], pipes: Sequence[DocrePipe]) -> Iterator[List[Doc]]:
    """Run what stands before some components, and keep the shared encoder's output on the predicted Docs for a while.

    pipes (Sequence[DocrePipe]): The components. If all have encoders of their own, no shared one has to be there.
    YIELDS (List[Doc]): The predicted Docs.
    RAISES (ValueError): If a shared encoder is read and there is none.
    """
    upstream = next((listener.upstream_name for pipe in pipes for listener in pipe.listeners), None)
    encoder = None if upstream is None else find_component(nlp, "docre_transformer", name=upstream)
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


def _decodings(
    pipe: Optional[DocrePipe], docs: List[Doc], grid: Sequence[Optional[float]]
) -> Iterator[Optional[float]]:
    """Score the Docs once, and annotate them with one threshold after the other; None where nothing is to be found."""
    if pipe is None:
        yield None
        return
    batch = pipe.make_batch(docs)
    scores = pipe.model.predict((docs, batch)) if len(batch) else {}
    for threshold in grid:
        with pipe.with_settings(threshold=threshold):
            pipe.set_annotations(docs, pipe.decode(docs, batch, scores))
        yield threshold


def current_threshold(pipe: DocrePipe) -> float:
    """Convert a component's threshold to the scale of the grids: before calibration, and for relation heads
    without a threshold class the probability from which a relation is kept."""
    above = logit(pipe.cfg["threshold"]) * pipe.cfg.get("temperature", 1.0)
    return float(sigmoid(above + (0.0 if _has_own_scale(pipe) else logit(pipe.cfg["alpha"]))))


def threshold_settings(pipe: DocrePipe, threshold: float, temperature: float = 1.0) -> Dict[str, float]:
    """Convert a threshold of the grids to settings of a component. A relation head without a
    threshold class gets it as `alpha`: the score 0.5 then lies on it. The threshold of calibrated scores is calibrated
    as they are, so that the same relations are kept."""
    if not _has_own_scale(pipe):
        return {"threshold": 0.5, "alpha": threshold, "temperature": temperature}
    if "temperature" not in pipe.cfg:
        return {"threshold": threshold}
    moved = threshold if temperature == 1.0 else float(sigmoid(logit(threshold) / temperature))
    return {"threshold": moved, "temperature": temperature}


def find_tuned(nlp: Language, result: TuningResult) -> List[Optional[DocrePipe]]:
    """Find the components whose thresholds were tuned, in the order of cells; None for given layers."""
    settings = find_component(nlp, "docre_relations").places.settings
    tuned = zip(("mentions", "clusters", "relations"), result.best)
    return [
        None if threshold is None else find_component(nlp, f"docre_{layer}", settings) for layer, threshold in tuned
    ]


def apply_thresholds(nlp: Language, result: TuningResult, temperature: float = 1.0) -> None:
    """Give a pipeline the best thresholds, and its config, from which new components are built, too."""
    for pipe, threshold in zip(find_tuned(nlp, result), result.best):
        if pipe is not None and threshold is not None:
            settings = threshold_settings(pipe, threshold, temperature)
            pipe.cfg.update(settings)
            nlp.get_pipe_config(pipe.name).update(settings)


def _has_own_scale(pipe: DocrePipe) -> bool:
    return pipe.model.attrs.get("threshold_class", True)
