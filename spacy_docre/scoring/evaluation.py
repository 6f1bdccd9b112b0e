"""Run a pipeline over gold documents and score what it finds: what `nlp.evaluate` does, in constant memory."""

from collections import Counter, deque
from copy import copy
from itertools import chain
from pathlib import Path
from timeit import default_timer as timer
from typing import Any, Callable, Deque, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple, Union

from spacy.language import Language
from spacy.pipeline.functions import DocCleaner
from spacy.scorer import Scorer
from spacy.tokens import Doc
from spacy.training import Example

from ..doc.places import DEFAULT, Places
from ..doc.records import get_relation_data
from ..errors import Warnings
from ..finding import find_relations
from ..readers.corpus import DocreCorpus
from .facts import NamedFact, collect_facts, count_labels, read_facts
from .report import TASKS

Progress = Callable[[Iterable[Any]], Iterable[Any]]


def evaluate(
    nlp: Language,
    examples: Iterable[Example],
    *,
    batch_size: Optional[int] = None,
    progress: Progress = iter,
    **settings: Any,
) -> Dict[str, Any]:
    """Run the pipeline over the predicted side of examples, then let each component score.

    Unlike `nlp.evaluate` it reads the corpus as it goes, and lets go of each batch's tensors before the next.

    >>> corpus = DocreCorpus("dev.spacy", given=["mentions", "clusters"])
    >>> evaluate(nlp, corpus(nlp), bootstrap=1000)["relations_f"]

    examples (Iterable[Example]): Read once. Their predicted Docs are replaced.
    batch_size (Optional[int]): Documents handed on together; None: the pipeline's.
    progress (Callable): Wraps the Docs as they are done, to show a progress bar.
    settings (Any): For the scorers: facts, frequencies, bootstrap, seed.
    RETURNS (Dict[str, Any]): Scores of all components; `speed` in words a second.
    """
    done, speed = predict(nlp, examples, batch_size, progress)
    return {**score(nlp, done, **settings), "speed": speed}


def predict(
    nlp: Language, examples: Iterable[Example], batch_size: Optional[int] = None, progress: Progress = iter
) -> Tuple[List[Example], float]:
    """Run the pipeline; see `evaluate`.

    RETURNS (Tuple[List[Example], float]): The examples with what was predicted, and words a second.
    """
    pending: Deque[Example] = deque()
    done: List[Example] = []
    clean = DocCleaner({"tensor": None, "_.trf_data": None})

    def predicted() -> Iterator[Doc]:
        for example in examples:
            pending.append(example)
            yield example.predicted

    start = timer()
    for doc in progress(nlp.pipe(predicted(), batch_size=batch_size)):
        example = pending.popleft()
        example.predicted = clean(doc)
        done.append(example)
    return done, sum(len(example.predicted) for example in done) / (timer() - start)


def score(nlp: Language, examples: Sequence[Example], **settings: Any) -> Dict[str, Any]:
    """Let each component score.

    settings (Any): For the scorers. What is not among them, such as the facts that a component keeps, stays in force.
    RETURNS (Dict[str, Any]): Scores of all components.
    """
    scorer = Scorer(nlp=nlp)
    scorer.cfg.update(settings)
    return scorer.score(examples)


def score_tasks(
    nlp: Language,
    corpus: DocreCorpus,
    scores: Dict[str, Any],
    batch_size: Optional[int] = None,
    progress: Progress = iter,
    **settings: Any,
) -> Dict[str, Dict[str, Any]]:
    """Score each task on gold input.

    corpus (DocreCorpus): Gold documents; the layers that it gives are given to all tasks.
    scores (Dict[str, Any]): Scores with these layers alone, for the task that needs no others.
    settings (Any): For the scorers.
    RETURNS (Dict[str, Dict[str, Any]]): Scores of each task by its name in `TASKS`.

    Source: Eberts and Ulges (EACL 2021), table 4
    """
    found = {}
    for name, needed in TASKS.items():
        reader = copy(corpus)
        reader.give([*corpus.given, *needed])
        is_new = reader.given != corpus.given
        run = score(nlp, predict(nlp, reader(nlp), batch_size, progress)[0], **settings) if is_new else scores
        kept = (name, "evidence") if name == "relations" else (name,)
        found[name] = {key: value for key, value in run.items() if key.startswith(kept)}
    return found


def read_known(nlp: Language, paths: Iterable[str], places: Places = DEFAULT) -> Dict[str, Any]:
    """Read what scores know of the training data beyond what the model keeps: facts of gold documents, and of files
    that `save_facts` wrote.

    nlp (Language): Its relation component says what it keeps itself.
    paths (Iterable[str]): Corpora as `evaluate` takes them, or files of facts, by any ending but .spacy.
    places (Places): Where the corpora keep their layers.
    RETURNS (Dict[str, Any]): Settings for the scorers: `facts`, all of them and the model's, and `frequencies`: the
        model's, else sums over the paths, if each of them has some. Empty without paths.
    """
    relations, at = find_relations(nlp), Places.of_pipeline(nlp)
    cfg = getattr(relations, "cfg", {})
    facts: Set[Union[int, NamedFact]] = set(getattr(relations, "facts", None) or ())
    counts: List[Optional[Dict[str, int]]] = []
    for path in paths:
        if Path(path).is_file() and Path(path).suffix != ".spacy":
            hashes, counted = read_facts(path)
            facts |= hashes
        else:
            counted = {}
            docs = count_labels(DocreCorpus(path, places=places).read_for(nlp), counted, at)
            facts |= collect_facts(docs, at)
        counts.append(counted)
    if not counts:
        return {}
    frequencies = cfg.get("frequencies")
    if not frequencies and None not in counts:
        labels = {*cfg.get("labels", ()), *chain.from_iterable(counts)}  # type: ignore[arg-type]
        frequencies = {label: sum(found.get(label, 0) for found in counts if found) for label in labels}
    return {"facts": facts, "frequencies": frequencies}


class LabelCheck:
    """Counts gold relations whose label the pipeline does not know, and so can never find.

    nlp (Language): The pipeline.
    """

    def __init__(self, nlp: Language) -> None:
        self.cfg = getattr(find_relations(nlp), "cfg", {})
        self.counts: Counter = Counter()

    def watch(self, examples: Iterable[Example]) -> Iterator[Example]:
        """YIELDS (Example): The examples as they pass."""
        for example in examples:
            if self.cfg:
                records = get_relation_data(example.reference, Places.of(self.cfg))
                self.counts.update(record["label"] for record in records or ())
            yield example

    def warning(self) -> Optional[str]:
        """Say which labels of the examples so far are not known.

        RETURNS (Optional[str]): One line; None if all are known.
        """
        unknown = sorted(self.counts.keys() - set(self.cfg.get("labels", ())))
        if not unknown:
            return None
        n = sum(self.counts[label] for label in unknown)
        named = ", ".join(map(repr, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
        n_all = len(self.counts)
        return Warnings.RW18.format(n=n, total=self.counts.total(), n_labels=len(unknown), n_all=n_all, named=named)
