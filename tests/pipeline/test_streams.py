"""Streams of Docs: order, equal results in any batches, bounded look-ahead, failures, worker processes, memory."""

import gc
import itertools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List

import pytest
from spacy.language import Language
from spacy.scorer import Scorer
from spacy.tokens import Doc
from spacy.training import Example

from spacy_docre.doc.layers import cluster_keys, get_clusters
from spacy_docre.doc.places import DEFAULT
from spacy_docre.layers.encoded import DocEncoding
from spacy_docre.pipeline.batching import batch_by_items

COMPONENTS = ["docre_transformer", "docre_mentions", "docre_clusters", "docre_types", "docre_relations"]
BAD = "The bad document of Mara Lind in Oslo."


@pytest.fixture
def nlp(make_nlp: Callable[..., Language]) -> Language:
    """A pipeline, not trained, that finds mentions and relations in almost any text."""
    nlp = make_nlp()
    nlp.get_pipe("docre_mentions").cfg.update(threshold=0.0, max_mentions=0.15)
    nlp.get_pipe("docre_relations").cfg.update(threshold=0.3, top_k=2)
    return nlp


@pytest.fixture
def texts(sample_docs: List[Doc]) -> List[str]:
    """Of very different lengths: empty, white space, one word, some windows."""
    a, b, c, d, e = [doc.text for doc in sample_docs[:5]]
    return [a, "", "Oslo", " ".join([b, c, d]), "\n\n", a[:80], " ", e, "Mara Lind left.", d[:200], b]


def scores_of(doc: Doc) -> Dict[Any, float]:
    """Every score that the pipeline gave, under a key that says for what."""
    mentions = doc.spans["mentions"]
    found = {("mention", m.start, m.end): score for m, score in zip(mentions, mentions.attrs["scores"])}
    for key in cluster_keys(doc, DEFAULT.clusters):
        group = doc.spans[key]
        name = (key, *((m.start, m.end, m.label_) for m in group))
        found[name] = group.attrs["type_score"]
    for rel in doc._.relations:
        name = ("relation", rel.head.id, rel.label, rel.tail.id)
        found[(*name, *(s.start for s in rel.sentences))] = rel.score
        found.update({(*name, e.head.start, e.tail.start): e.weight for e in rel.evidence})
    return found


def encodings(doc: Doc) -> List[DocEncoding]:
    return [value for value in doc.user_data.values() if isinstance(value, DocEncoding)]


def set_max_batch_items(nlp: Language, n: int) -> None:
    for name in COMPONENTS:
        nlp.get_pipe(name).cfg["max_batch_items"] = n


@pytest.fixture
def one_by_one(nlp: Language, texts: List[str]) -> List[Dict[Any, float]]:
    scores = [scores_of(nlp(text)) for text in texts]
    assert sum(key[0] == "relation" for found in scores for key in found) > 20
    return scores


# Order and equal results


def test_batches_change_nothing(nlp: Language, texts, one_by_one):
    for batch_size, max_batch_items in itertools.product([1, 2, 7, 64], [1, 100, 8192]):
        set_max_batch_items(nlp, max_batch_items)
        pairs = list(nlp.pipe(zip(texts, itertools.count()), as_tuples=True, batch_size=batch_size))
        assert [(doc.text, number) for doc, number in pairs] == list(zip(texts, itertools.count()))
        for (doc, _), wanted in zip(pairs, one_by_one):
            assert scores_of(doc) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize(
    "sizes, max_items, max_docs, wanted",
    [
        ([], 4, 2, []),
        ([1, 1, 1], 4, 2, [[1, 1], [1]]),
        ([3, 2, 2, 9, 1], 4, 8, [[3], [2, 2], [9], [1]]),
        ([0, 0, 4, 0], 4, 8, [[0, 0, 4], [0]]),
    ],
)
def test_batches_are_bounded_by_items_and_docs(sizes, max_items, max_docs, wanted):
    assert list(batch_by_items(sizes, lambda n: n, max_items, max_docs)) == wanted


# Look-ahead


def test_streams_are_read_lazily(nlp: Language):
    n_read = 0

    def read() -> Iterator[str]:
        nonlocal n_read
        for text in itertools.cycle(
            ["Mara Lind founded Acme in Oslo.", "Oslo.", "", "Lind left Acme in 1999, and so on."]
        ):
            n_read += 1
            yield text

    for max_batch_items, n_ahead in [(8192, 4), (30, 4 * len(COMPONENTS))]:
        set_max_batch_items(nlp, max_batch_items)
        n_read = 0
        stream = nlp.pipe(read(), batch_size=4)
        assert n_read == 0
        for n_seen, _ in enumerate(itertools.islice(stream, 30), start=1):
            assert n_read - n_seen < n_ahead


def test_failing_source_fails_cleanly(nlp: Language, texts, one_by_one):
    def read() -> Iterator[str]:
        yield from texts[:5]
        raise RuntimeError("the source failed")

    docs = []
    with pytest.raises(RuntimeError, match="the source failed"):
        for doc in nlp.pipe(read(), batch_size=2):
            docs.append(doc)
    assert [scores_of(doc) for doc in docs] == [pytest.approx(wanted, abs=1e-5) for wanted in one_by_one[:4]]


@pytest.mark.parametrize("how", ["abandoned", "failed"])
def test_broken_off_stream_leaves_no_trace(nlp: Language, texts, how: str):
    """A component that was at work on it does not count as a reader of later streams in which it is disabled."""
    if how == "abandoned":
        stream = nlp.pipe(texts, batch_size=2)
        next(stream)
        del stream
    else:
        with pytest.raises(ZeroDivisionError):
            list(nlp.pipe(str(1 // 0) for _ in range(2)))
    with nlp.select_pipes(disable=["docre_relations"]):
        assert not [e for doc in nlp.pipe(texts) for e in encodings(doc)]


# Failures


def fail_on_bad(docs: Iterable[Doc]) -> None:
    if any(doc.text == BAD for doc in docs):
        raise ValueError("bad document")


def break_method(pipe: Any, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a component fail when it predicts for the bad document, or annotates it after those before it."""
    call = getattr(pipe, method)

    def predict(docs: List[Doc]) -> Any:
        fail_on_bad(docs)
        return call(docs)

    def set_annotations(docs: List[Doc], predictions: List[Any], **kwargs: Any) -> None:
        for doc, prediction in zip(docs, predictions):
            fail_on_bad([doc])
            call([doc], [prediction], **kwargs)

    monkeypatch.setattr(pipe, method, {"predict": predict, "set_annotations": set_annotations}[method])


@Language.component("fail_on_bad")
def failing_component(doc: Doc) -> Doc:
    fail_on_bad([doc])
    return doc


METHODS = itertools.product(["docre_transformer", "docre_clusters", "docre_relations"], ["predict", "set_annotations"])


@pytest.mark.parametrize("name, method", [*METHODS, ("another", "__call__")])
def test_bad_document_does_not_spoil_the_others(nlp: Language, texts, one_by_one, name: str, method: str, monkeypatch):
    if name == "another":
        nlp.add_pipe("fail_on_bad", before="docre_clusters")
    else:
        break_method(nlp.get_pipe(name), method, monkeypatch)
    docs, failed = [], []
    with pytest.raises(ValueError, match="bad document"):
        for doc in nlp.pipe([*texts[:4], BAD, *texts[4:]], batch_size=2):
            docs.append(doc)
    assert [doc.text for doc in docs] == texts[:4]
    nlp.set_error_handler(lambda name, pipe, docs, error: failed.extend(doc.text for doc in docs))
    docs = list(nlp.pipe([*texts[:4], BAD, *texts[4:]], batch_size=7))
    assert failed == [BAD]
    assert [doc.text for doc in docs] == texts
    for doc, wanted in zip(docs, one_by_one):
        assert scores_of(doc) == pytest.approx(wanted, abs=1e-5)
        assert not encodings(doc)


@pytest.mark.parametrize("name", ["docre_transformer", "docre_clusters", "docre_relations"])
def test_the_error_handler_gets_the_component(nlp: Language, name: str, monkeypatch):
    """In a stream as for a single text."""
    break_method(nlp.get_pipe(name), "predict", monkeypatch)
    found = []
    nlp.set_error_handler(lambda name, pipe, docs, error: found.append((name, pipe)))
    list(nlp.pipe([BAD]))
    nlp(BAD)
    assert [named for named, _ in found].count(name) == 2
    assert all(pipe is nlp.get_pipe(named) for named, pipe in found)


def test_failure_on_a_single_document(nlp: Language, monkeypatch):
    break_method(nlp.get_pipe("docre_clusters"), "predict", monkeypatch)
    with pytest.raises(ValueError, match="bad document"):
        nlp(BAD)
    nlp.set_error_handler(lambda *args: None)
    doc = nlp(BAD)
    assert doc.spans["mentions"] and not get_clusters(doc) and not encodings(doc)


# Worker processes

RELATIONS_OF_TWO_PROCESSES = """
import json, sys
import spacy, torch

def relations_of(docs):
    return [[(r.head.id, r.label, r.tail.id, r.score) for r in doc._.relations] for doc in docs]

if __name__ == "__main__":
    nlp = spacy.load(sys.argv[1])
    texts = [" ".join([text] * 40) for text in ("Mara Lind founded Acme in Oslo.", "Lind left Acme in 1999.")] * 3
    torch.set_num_threads(2)
    torch.rand(2000, 2000).exp().sum()  # starts both threads
    one = relations_of(nlp.pipe(texts))
    two = relations_of(nlp.pipe(texts, n_process=2, batch_size=2))
    print(json.dumps([one, two, torch.get_num_threads()]))
"""


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="cannot fork")
def test_worker_processes_give_the_same(nlp: Language, tmp_path: Path):
    """Forked workers do not wait for threads that only the parent has."""
    nlp.to_disk(tmp_path / "model")
    script = tmp_path / "script.py"
    script.write_text(RELATIONS_OF_TWO_PROCESSES, encoding="utf8")
    command = [sys.executable, str(script), str(tmp_path / "model")]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
    try:
        shown, errors = process.communicate(timeout=400)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # the workers too
        raise
    assert process.returncode == 0, errors
    one, two, n_threads = json.loads(shown)
    assert n_threads == 2 and sum(map(len, one)) > 5
    for found, wanted in zip(two, one, strict=True):
        assert sorted(r[:3] for r in found) == sorted(r[:3] for r in wanted)
        assert [r[3] for r in found] == pytest.approx([r[3] for r in wanted], abs=1e-5)


# Memory


class KeepDocs(Scorer):
    """Takes the place of the scorer in `nlp.evaluate`, to see the Docs it gets."""

    def score(self, examples, **kwargs):
        self.docs = [eg.predicted for eg in examples]
        return {}


def test_encoder_output_is_gone(nlp: Language, texts):
    assert encodings(nlp.get_pipe("docre_transformer")(nlp.make_doc(texts[0])))
    scorer = KeepDocs()
    for disabled in ([], ["docre_relations"], COMPONENTS[2:]):
        with nlp.select_pipes(disable=disabled):
            examples = [Example(doc, doc.copy()) for doc in map(nlp.make_doc, texts)]
            nlp.evaluate(examples, scorer=scorer, batch_size=3)
            docs = [*nlp.pipe(texts, batch_size=3), *nlp.pipe(map(nlp.make_doc, texts)), *scorer.docs]
        assert len(docs) == 3 * len(texts)
        assert not [e for doc in docs for e in encodings(doc)]


def test_nothing_keeps_docs_alive(nlp: Language):
    texts = ["Mara Lind founded Acme in Oslo.", "Oslo.", "", "Lind left Acme in 1999."] * 50
    refs = []
    for doc in nlp.pipe(texts, batch_size=4):
        refs.append(weakref.ref(doc))
        assert doc._.relations is not None
        if len(refs) % 50 == 0:
            gc.collect()
            assert sum(ref() is not None for ref in refs) <= 4 * len(COMPONENTS)
    del doc
    gc.collect()
    assert not [ref for ref in refs if ref() is not None]


def test_nothing_keeps_evaluated_docs_alive(nlp: Language, sample_docs):
    scorer = KeepDocs()
    nlp.evaluate([Example(nlp.make_doc(doc.text), doc) for doc in sample_docs], scorer=scorer)
    refs = [weakref.ref(doc) for doc in scorer.docs]
    del scorer.docs
    gc.collect()
    assert refs and not [ref for ref in refs if ref() is not None]
