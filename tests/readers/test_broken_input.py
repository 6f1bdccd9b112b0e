"""Laws for the readers of all formats: no file gives a traceback, and what is read can be written."""

import json
import math

import pytest
import spacy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spacy.tokens import DocBin
from typer.testing import CliRunner

from formats import FORMATS
from spacy_docre.cli import app
from spacy_docre.doc.layers import get_clusters, get_mentions, get_types
from spacy_docre.doc.records import get_relation_data
from spacy_docre.readers.faults import Faults
from spacy_docre.readers.jsonl import read_jsonl
from spacy_docre.writers.jsonl import doc_to_record, write_jsonl

NLP = spacy.blank("en")
RELAXED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
all_formats = pytest.mark.parametrize("corpus", FORMATS, ids=lambda f: f.name)
# brat's titles are paths, and a truncated text file is still a text.
all_but_brat = pytest.mark.parametrize("corpus", [f for f in FORMATS if f.name != "brat"], ids=lambda f: f.name)


@pytest.fixture
def path(corpus, tmp_path):
    return tmp_path / ("in" if corpus.is_folder else "in.txt")


def contents(doc):
    """All that is annotated, in characters."""
    chars = [(span.start_char, span.end_char) for span in doc.spans["mentions"]]
    sents = [sent.text for sent in doc.sents] if doc.has_annotation("SENT_START") else None
    return doc._.docre_title, doc.text, chars, get_types(doc), sents, doc_to_record(doc)


@all_formats
def test_round_trip_through_spacy_and_jsonl(corpus, path, tmp_path):
    """Format, .spacy, our JSONL, .spacy: nothing is lost on the way or in the first reading."""
    corpus.write(path, [corpus.document])
    faults = Faults()
    docs = list(corpus.read(path, nlp=NLP, strict=True, faults=faults))
    assert len(docs) == 1 and not faults
    assert [len(spans) for spans in get_clusters(docs[0])] == [2, 1]
    assert all(get_types(docs[0])) and len(get_relation_data(docs[0])) == 1
    stored = DocBin(store_user_data=True, docs=docs).to_bytes()
    write_jsonl(DocBin().from_bytes(stored).get_docs(NLP.vocab), tmp_path / "out.jsonl")
    again = DocBin(store_user_data=True, docs=read_jsonl(tmp_path / "out.jsonl", strict=True)).to_bytes()
    assert [contents(doc) for doc in DocBin().from_bytes(again).get_docs(NLP.vocab)] == [contents(docs[0])]


def convert(corpus, path, strict):
    """RETURNS (Optional[str]): None if the command wrote something, else its one line of error."""
    out = path.with_name("out.spacy")
    out.unlink(missing_ok=True)
    arguments = ["convert", corpus.name, str(path), str(out), *(["--strict"] if strict else [])]
    result = CliRunner().invoke(app, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    if result.exit_code == 0:
        assert DocBin().from_disk(out)
        return None
    lines = [line for line in result.stderr.replace("\r", "\n").splitlines() if line.strip() and " docs" not in line]
    assert not out.exists() and len(lines) == 1 and "[R1" in lines[0]
    return lines[0]


@all_formats
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: data + b"\n\n\n",
    ],
    ids=["byte order mark", "CRLF", "empty lines"],
)
def test_what_editors_do_is_no_fault(corpus, path, damage):
    corpus.write(path, [corpus.document])
    for file in path.iterdir() if corpus.is_folder else [path]:
        file.write_bytes(damage(file.read_bytes()))
    [doc] = corpus.read(path, nlp=NLP, strict=True)
    assert len(get_mentions(doc)) == 3 and len(doc._.relations) == 1


@all_but_brat
def test_titles_that_come_twice_are_counted(corpus, path):
    corpus.write(path, [corpus.document, corpus.document])
    faults = Faults()
    assert len(list(corpus.read(path, nlp=NLP, strict=True, faults=faults))) == 2
    assert faults.rows() == [("documents with the title of an earlier one (kept)", 1)]


@all_but_brat
def test_cut_off_files_do_not_look_whole(corpus, path):
    """The first document is good. The others are listed, and with --strict they stop the command."""
    corpus.write(path, [corpus.document, corpus.document])
    file = max(path.iterdir()) if corpus.is_folder else path
    data = file.read_bytes()
    file.write_bytes(data[: -len(data) // 8])
    assert convert(corpus, path, strict=True)
    faults = Faults()
    try:
        docs = list(corpus.read(path, nlp=NLP, faults=faults))
    except ValueError as e:
        assert "after its first 1 documents" in str(e)
    else:
        assert len(docs) == 1 and faults.skipped_documents == 1 and str(file) in faults.messages[0]


@all_formats
def test_missing_input(corpus, path):
    assert str(path) in convert(corpus, path, strict=False)


# JSON has no NaN and no infinity; see `test_numbers_that_json_does_not_have`.
numbers = st.integers(-2, 60) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | st.sampled_from(["", "a", "\ud800", "P27"])
anything = st.recursive(
    scalars, lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=3), x, max_size=3)
)


@st.composite
def broken(draw, document):
    """A valid document with arbitrary values in one to three places."""
    if isinstance(document, str):
        return broken_text(draw, document)
    raw = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(1, 3))):
        here = raw
        while True:
            keys = sorted(here) if isinstance(here, dict) else list(range(len(here)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if not isinstance(here[key], (dict, list)) or draw(st.integers(0, 3)) == 0:
                here[key] = draw(anything)
                break
            here = here[key]
    return raw


def broken_text(draw, text):
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        new = draw(st.text(st.sampled_from("0129|ta\t\n -,;é"), max_size=3) | st.sampled_from(["9" * 4400, "\ud800"]))
        text = text[:at] + new + text[at + draw(st.integers(0, 3)) :]
    return text


@all_formats
@settings(max_examples=40, suppress_health_check=RELAXED, deadline=None)
@given(st.data(), st.booleans())
def test_broken_documents(corpus, path, data, strict):
    """What is no traceback is a document that holds together, or is counted."""
    documents = data.draw(st.lists(broken(corpus.document), min_size=1, max_size=3))
    corpus.write(path, documents)
    faults = Faults()
    try:
        docs = list(corpus.read(path, nlp=NLP, strict=strict, faults=faults))
    except ValueError as e:
        assert strict and "[R1" in str(e)
        return
    if corpus.name != "pubtator":  # an additional empty line there makes an additional document
        missing = len(documents) - len(docs) - faults.skipped_documents
        left_out = faults.rejected_answers + faults.further_answers + faults.unanswered_texts
        # A task of Label Studio may have several answers, which count one by one; elsewhere an answer is a document.
        assert 0 <= missing <= left_out if corpus.name == "labelstudio" else missing == left_out
    for doc in docs:
        doc.to_bytes()
        doc_to_record(doc)
        assert all(relation.head.id != relation.tail.id for relation in doc._.relations)


@pytest.mark.parametrize("corpus", [f for f in FORMATS if isinstance(f.document, dict)], ids=lambda f: f.name)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("strict", [False, True])
def test_numbers_that_json_does_not_have(corpus, path, value, strict):
    """Python writes them, and reads them; whether or not a reader takes them, there is no traceback."""
    for key in corpus.document:
        corpus.write(path, [{**corpus.document, key: value}])
        convert(corpus, path, strict)


@all_formats
@settings(max_examples=25, suppress_health_check=RELAXED, deadline=None)
@given(st.data(), st.booleans())
def test_broken_bytes(corpus, path, data, strict):
    corpus.write(path, [corpus.document, corpus.document])
    file = max(path.iterdir()) if corpus.is_folder else path
    content = file.read_bytes()
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(start + 20, len(content))) | st.just(len(content)))
    junk = st.sampled_from([b"[" * 3000, b'"', b"{", b"}]", b"NaN", b"\\u", b"\r", b"\0", b"\xff\xfe", b"9" * 4400])
    file.write_bytes(content[:start] + data.draw(junk | st.binary(max_size=4)) + content[end:])
    convert(corpus, path, strict)


@all_formats
def test_ten_megabytes_in_one_line(corpus, path):
    """A value of any kind that is far too long is reported, and the rest is read."""
    long = "x" * 10_000_000
    long = long + "\n" if isinstance(corpus.document, str) else {"title": long}
    corpus.write(path, [long, corpus.document])
    faults = Faults()
    [doc] = corpus.read(path, nlp=NLP, faults=faults)
    assert len(doc._.relations) == 1 and faults.skipped_documents == 1 and len(faults.messages[0]) < 1000
