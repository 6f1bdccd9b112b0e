"""Run a pipeline over texts, so that one that fails stops nothing."""

from collections import deque
from typing import Any, Callable, Deque, Iterable, Iterator, List, Optional, Tuple

from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import ignore_error, raise_error

from ..doc.notes import TITLE_ATTR
from ..doc.places import Places, find_places
from ..errors import Errors
from ..finding import require_relations
from ..writers.facts import Record
from ..writers.jsonl import doc_to_record
from .texts import Failures, Text


def extract(
    nlp: Language,
    texts: Iterable[Text],
    *,
    failures: Failures,
    batch_size: Optional[int] = None,
    n_process: int = 1,
    places: Optional[Places] = None,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> Iterator[Record]:
    """Run a pipeline over texts. One that fails is tried once more at the end, by itself, which tells why.

    >>> failures = Failures()
    >>> texts = [Text("note 1", "Ada Lovelace was born in London.")]  # or: texts, n = read_texts("articles/", ...)
    >>> for record in extract(spacy.load("en_docre"), texts, failures=failures):
    ...     print(record["id"], record["relations"])

    nlp (Language): The pipeline. What it does on errors is changed.
    texts (Iterable[Text]): Read as the work goes on.
    failures (Failures): Gets the documents that could not be done.
    batch_size, n_process (int): As `nlp.pipe` has them.
    places (Optional[Places]): Where the layers are kept that are wanted; None: where the pipeline's relations are.
    progress (Callable): Wraps the outcomes, one for each text that is done or has failed, to show a progress bar.
    YIELDS (Record): A document as our JSONL has it, in order but for those tried again.
    RAISES (ValueError): If the pipeline finds no relations, or none at these places.
    """
    require_relations(nlp)
    written = find_places(nlp)
    if places is None:
        places = Places.of_pipeline(nlp)
    elif places.relations not in [found.relations for found in written]:
        raise ValueError(Errors.R179.format(places=places, written=", ".join(map(str, written))))
    for record in progress(_try_all(nlp, texts, failures, places, batch_size, n_process)):
        if record is not None:
            yield record


def _try_all(
    nlp: Language,
    texts: Iterable[Text],
    failures: Failures,
    places: Places,
    batch_size: Optional[int],
    n_process: int,
) -> Iterator[Optional[Record]]:
    """YIELDS (Optional[Record]): What becomes of each text; None for one that failed."""
    pending: Deque[Tuple[int, Text]] = deque()
    again: List[Text] = []
    n_failed = len(failures.reasons)

    def queue() -> Iterator[Tuple[str, int]]:
        for number, text in enumerate(texts):
            if len(text.text) > nlp.max_length:
                failures.add(text.name, Errors.R172.format(n=len(text.text), limit=nlp.max_length))
                continue
            pending.append((number, text))
            yield text.text, number

    def new_failures() -> Iterator[None]:
        nonlocal n_failed
        for _ in failures.reasons[n_failed:]:
            n_failed += 1
            yield None

    nlp.set_error_handler(ignore_error)
    for doc, number in nlp.pipe(queue(), as_tuples=True, batch_size=batch_size, n_process=n_process):
        # The numbers between have failed: the error handler has left them out.
        while pending[0][0] != number:
            again.append(pending.popleft()[1])
        yield from new_failures()
        yield make_record(doc, pending.popleft()[1], places)
    again.extend(text for _, text in pending)
    nlp.set_error_handler(raise_error)
    for text in again:
        try:
            doc = nlp(text.text)
        except Exception as e:
            failures.add(text.name, e)
        else:
            yield make_record(doc, text, places)
        yield from new_failures()
    yield from new_failures()


def make_record(doc: Doc, text: Text, places: Places) -> Record:
    """Write a document as a record of our JSONL."""
    doc._.set(TITLE_ATTR, text.name)
    return doc_to_record(doc, places)
