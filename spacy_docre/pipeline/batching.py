"""Streams of Docs in batches of bounded size, in which one bad document spoils nothing for the others."""

import os
from typing import Any, Callable, Iterable, Iterator, List, Optional

import torch
from spacy.tokens import Doc

Annotate = Callable[[List[Doc], List[Any]], None]
ErrorHandler = Callable[[str, Any, List[Doc], Exception], Any]

_process = os.getpid()


def batch_by_items(
    stream: Iterable[Doc], count: Callable[[Doc], int], max_items: int, max_docs: int
) -> Iterator[List[Doc]]:
    """Group a stream so that no batch has more than max_items items or max_docs Docs (but one Doc at least).

    A batch is handed on as soon as it is full, before the next Doc is asked for: after several such groupings in a row,
    the first Doc comes out when one batch has gone in.

    count (Callable[[Doc], int]): Number of items of a Doc.
    """
    batch: List[Doc] = []
    filled = 0
    for doc in stream:
        n = count(doc)
        if batch and filled + n > max_items:
            yield batch
            batch, filled = [], 0
        batch.append(doc)
        filled += n
        if filled >= max_items or len(batch) >= max_docs:
            yield batch
            batch, filled = [], 0
    if batch:
        yield batch


def pipe_batches(
    pipe: Any, batches: Iterable[List[Doc]], error_handler: ErrorHandler, annotate: Optional[Annotate] = None
) -> Iterator[Doc]:
    """Predict and annotate batches, in order.

    Where a batch fails, its Docs are tried one by one: the handler gets those that fail alone, the others go on.

    annotate (Optional[Annotate]): Writes predictions to Docs, in place of the component's `set_annotations`.
    """
    annotate = pipe.set_annotations if annotate is None else annotate
    use_one_thread_after_fork()
    for batch in batches:
        try:
            predictions = pipe.predict(batch)
        except Exception as error:
            if len(batch) > 1:
                yield from pipe_batches(pipe, [[doc] for doc in batch], error_handler, annotate)
            else:
                error_handler(pipe.name, pipe, batch, error)
            continue
        annotated = annotate_each(pipe, batch, predictions, error_handler, annotate)
        del predictions  # large; the Docs alone say how long an encoder's output is kept
        yield from annotated


def annotate_each(
    pipe: Any, docs: List[Doc], predictions: List[Any], error_handler: ErrorHandler, annotate: Annotate
) -> List[Doc]:
    """Annotate Docs one by one; the handler gets those that fail.

    RETURNS (List[Doc]): The others.
    """
    annotated = []
    for doc, prediction in zip(docs, predictions):
        try:
            annotate([doc], [prediction])
        except Exception as error:
            error_handler(pipe.name, pipe, [doc], error)
        else:
            annotated.append(doc)
    return annotated


def use_one_thread_after_fork() -> None:
    """Let torch and tokenizers work on one thread in a process forked from this one, such as those that
    `nlp.pipe(n_process=2)` starts on Linux.

    A fork does not have the threads that the two keep for their work, and would wait for them for ever.
    """
    global _process
    if os.getpid() != _process:
        _process = os.getpid()
        torch.set_num_threads(1)
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
