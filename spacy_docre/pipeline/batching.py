"""Streams of Docs in batches of bounded size, in which one bad document spoils nothing for the others."""

from typing import Any, Callable, Iterable, Iterator, List

from spacy.tokens import Doc

ErrorHandler = Callable[[str, Any, List[Doc], Exception], Any]


def batch_by_items(
    stream: Iterable[Doc], count: Callable[[Doc], int], max_items: int, max_docs: int
) -> Iterator[List[Doc]]:
    """Group a stream so that no batch has more than max_items items or max_docs Docs (but one Doc at least).

    count (Callable[[Doc], int]): Number of items of a Doc.
    """
    batch: List[Doc] = []
    filled = 0
    for doc in stream:
        n = count(doc)
        if batch and (filled + n > max_items or len(batch) >= max_docs):
            yield batch
            batch, filled = [], 0
        batch.append(doc)
        filled += n
    if batch:
        yield batch


def pipe_batches(pipe: Any, batches: Iterable[List[Doc]], error_handler: ErrorHandler) -> Iterator[Doc]:
    """Predict and annotate batches, in order.

    Where a batch fails, its Docs are tried one by one: the handler gets those that fail alone, the others go on.
    """
    for batch in batches:
        try:
            pipe.set_annotations(batch, pipe.predict(batch))
        except Exception as error:
            if len(batch) == 1:
                error_handler(pipe.name, pipe, batch, error)
                continue
            yield from pipe_batches(pipe, [[doc] for doc in batch], error_handler)
            continue
        yield from batch
