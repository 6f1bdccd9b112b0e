"""DocRED reader: the content of the Doc, and each fault that occurs in real files."""

import json
import os
from pathlib import Path

import pytest
import spacy

from spacy_docre.doc.layers import get_clusters, get_mentions, get_types, has_clusters
from spacy_docre.doc.records import get_relation_data, has_relations
from spacy_docre.readers.docred import read_docred, read_rel_info
from spacy_docre.readers.faults import MAX_MESSAGES, Faults

DATA = os.environ.get("DOCRE_DATA")
NLP = spacy.blank("en")
NAMES = {"P27": "country of citizenship", "P19": "place of birth"}


def mention(sent_id, start, end, label="PER"):
    return {"name": "", "sent_id": sent_id, "pos": [start, end], "type": label}


def document(**changes):
    """Ada Berg, born in Oslo; entities out of document order."""
    base = {
        "title": "Ada Berg",
        "sents": [
            ["Ada", "Berg", "was", "born", "in", "Oslo", ",", "Norway", "."],
            ["Berg", "'s", "home", "burnt", "."],
        ],
        "vertexSet": [
            [mention(0, 7, 8, "LOC")],
            [mention(1, 0, 1), mention(0, 0, 2)],
            [mention(0, 5, 6, "LOC")],
        ],
        "labels": [
            {"h": 1, "t": 2, "r": "P19", "evidence": [1, 0]},
            {"h": 1, "t": 0, "r": "P27", "evidence": []},
        ],
    }
    base.update(changes)
    return base


@pytest.fixture
def read(tmp_path):
    def run(*documents, rel_info=NAMES, strict=False):
        path = tmp_path / "data.json"
        path.write_text(json.dumps(list(documents)), encoding="utf8")
        faults = Faults()
        docs = list(read_docred(path, nlp=NLP, rel_info=rel_info, strict=strict, faults=faults))
        return docs, faults

    return run


def counts(faults):
    return {name: n for name, n in vars(faults).items() if name != "messages" and n}


def test_everything_arrives(read):
    """Entities are sorted by first mention (1, 2, 0), and relations follow the new numbers."""
    [doc], faults = read(document(), strict=True)
    assert not faults and faults.rows() == []
    assert doc.text == "Ada Berg was born in Oslo, Norway. Berg's home burnt."
    assert [sent.text for sent in doc.sents] == ["Ada Berg was born in Oslo, Norway.", "Berg's home burnt."]
    assert doc._.docre_title == "Ada Berg"
    assert get_mentions(doc) == [(0, 2), (5, 6), (7, 8), (9, 10)]
    assert get_clusters(doc) == [[(0, 2), (9, 10)], [(5, 6)], [(7, 8)]]
    assert get_types(doc) == ["PER", "LOC", "LOC"]
    born, citizen = doc._.relations
    assert (born.head.text, born.label, born.tail.text) == ("Ada Berg", "place of birth", "Oslo")
    assert (born.kb_id, born.score, born.evidence) == ("P19", 1.0, ())
    assert [sent.start for sent in born.sentences] == [0, 9]
    assert get_relation_data(doc)[0]["sentences"] == [0, 1]
    assert (citizen.label, citizen.tail.text, citizen.sentences) == ("country of citizenship", "Norway", ())


def test_ids_are_labels_without_names(read):
    [doc], _ = read(document(), rel_info=None)
    assert [(r.label, r.kb_id) for r in doc._.relations] == [("P19", "P19"), ("P27", "P27")]


def test_absent_labels_are_not_annotated_and_empty_ones_are_none(read):
    absent = document()
    del absent["labels"]
    docs, _ = read(absent, document(labels=[], title="b"), document(labels=None, title="c"))
    assert [get_relation_data(doc) for doc in docs] == [None, [], None]
    assert [has_relations(doc) for doc in docs] == [False, True, False]


def test_a_document_without_entities(read):
    [doc], faults = read(document(vertexSet=[], labels=[]), strict=True)
    assert get_mentions(doc) == [] and has_clusters(doc)
    assert counts(faults) == {"without_mentions": 1, "without_relations": 1}


def test_span_twice_in_one_entity_is_kept_once(read):
    [doc], faults = read(document(vertexSet=[[mention(0, 0, 2), mention(0, 0, 2)]], labels=[]), strict=True)
    assert get_clusters(doc) == [[(0, 2)]]
    assert counts(faults) == {"repeated_mentions": 1, "without_relations": 1}


def test_span_in_two_entities_stays_in_both(read):
    entities = [[mention(0, 5, 6, "LOC")], [mention(0, 5, 6, "ORG"), mention(0, 7, 8, "ORG")]]
    [doc], faults = read(document(vertexSet=entities, labels=[{"h": 0, "t": 1, "r": "P27"}]), strict=True)
    assert get_mentions(doc) == [(5, 6), (7, 8)]
    assert get_clusters(doc) == [[(5, 6)], [(5, 6), (7, 8)]]
    assert get_types(doc) == ["LOC", "ORG"]
    assert counts(faults) == {"shared_mentions": 1}


def test_twin_entities_keep_their_own_types(read):
    entities = [[mention(0, 5, 6, "TIME")], [mention(0, 5, 6, "NUM")]]
    [doc], _ = read(document(vertexSet=entities, labels=[]))
    assert get_types(doc) == ["TIME", "NUM"]


@pytest.mark.parametrize(
    "mentions,expected",
    [
        ([mention(0, 5, 6, "ORG"), mention(0, 0, 2, "LOC"), mention(0, 7, 8, "ORG")], "ORG"),
        ([mention(0, 5, 6, "ORG"), mention(0, 0, 2, "LOC")], "LOC"),  # a tie: the earliest in the text
    ],
)
def test_mixed_types(read, mentions, expected):
    [doc], faults = read(document(vertexSet=[mentions], labels=[]), strict=True)
    assert get_types(doc) == [expected]
    assert counts(faults) == {"mixed_types": 1, "without_relations": 1}


def test_types_may_be_missing(read):
    [doc], _ = read(document(vertexSet=[[{"sent_id": 0, "pos": [0, 2]}]], labels=[]))
    assert get_types(doc) == [""]


def test_empty_sentences_move_the_later_ones_up(read):
    sents = [[], ["Oslo", "burnt", "."], [], ["Ada", "left", "."]]
    entities = [[mention(1, 0, 1)], [mention(3, 0, 1)]]
    labels = [{"h": 0, "t": 1, "r": "P27", "evidence": [3, 1]}]
    [doc], faults = read(document(sents=sents, vertexSet=entities, labels=labels), strict=True)
    assert [sent.text for sent in doc.sents] == ["Oslo burnt.", "Ada left."]
    assert get_clusters(doc) == [[(0, 1)], [(3, 4)]]
    assert get_relation_data(doc)[0]["sentences"] == [0, 1]
    assert counts(faults) == {"empty_sentences": 2}


def test_whitespace_sentences_stay(read):
    [doc], faults = read(document(sents=[["\xa0"], ["Oslo", "burnt", "."]], vertexSet=[[mention(1, 0, 1)]], labels=[]))
    assert len(list(doc.sents)) == 2 and get_mentions(doc) == [(1, 2)]
    assert counts(faults) == {"empty_sentences": 1, "without_relations": 1}


def test_evidence_that_points_nowhere(read):
    labels = [{"h": 1, "t": 2, "r": "P19", "evidence": [0, 7, -1]}]
    [doc], faults = read(document(labels=labels))
    assert get_relation_data(doc)[0]["sentences"] == [0]
    assert counts(faults) == {"lost_evidence": 2}
    assert "sentence 7" in faults.messages[0] and "Ada Berg" in faults.messages[0]
    with pytest.raises(ValueError, match="R113.*sentence 7"):
        read(document(labels=labels), strict=True)


@pytest.mark.parametrize(
    "label,fault",
    [
        ({"h": 1, "t": 1, "r": "P19"}, "self_relations"),
        ({"h": 1, "t": 2, "r": "P999"}, "unknown_relations"),
    ],
)
def test_dropped_relations(read, label, fault):
    good = document()["labels"]
    [doc], faults = read(document(labels=[label, *good]))
    assert len(doc._.relations) == 2
    assert counts(faults) == {fault: 1}
    assert "Ada Berg" in faults.messages[0] and label["r"] in faults.messages[0]
    with pytest.raises(ValueError, match="R112"):
        read(document(labels=[label]), strict=True)


def test_entities_without_mentions_take_their_relations_along(read):
    entities = [[], *document()["vertexSet"]]
    labels = [{"h": 0, "t": 2, "r": "P19"}, {"h": 2, "t": 3, "r": "P19"}]
    [doc], faults = read(document(vertexSet=entities, labels=labels))
    assert [(r.head.text, r.tail.text) for r in doc._.relations] == [("Ada Berg", "Oslo")]
    assert counts(faults) == {"lost_entities": 1, "lost_relations": 1}
    with pytest.raises(ValueError, match="entity 0 has no mentions"):
        read(document(vertexSet=entities), strict=True)


def test_duplicate_relations_join_their_evidence(read):
    labels = [{"h": 1, "t": 2, "r": "P19", "evidence": [1]}, {"h": 1, "t": 2, "r": "P19", "evidence": [0]}]
    [doc], faults = read(document(labels=labels), strict=True)
    assert [r["sentences"] for r in get_relation_data(doc)] == [[0, 1]]
    assert counts(faults) == {"duplicate_relations": 1}


def test_duplicate_titles_are_kept(read):
    docs, faults = read(document(), document(), strict=True)
    assert len(docs) == 2
    assert faults.rows() == [("documents with the title of an earlier one (kept)", 1)]


BROKEN = [
    ([], "not an object"),
    (document(sents="Ada"), "sents"),
    (document(sents=[["Ada", 5]], vertexSet=[]), "token 1 of sentence 0 is 5"),
    (document(sents=[["Ada", ""]], vertexSet=[]), "token 1 of sentence 0"),
    (document(sents=[], vertexSet=[], labels=[]), "no text"),
    (document(sents=[["\xa0"]], vertexSet=[], labels=[]), "no text"),
    (document(title=["a"]), "title"),
    (document(vertexSet=None), "vertexSet"),
    (document(vertexSet=["Ada"]), "entity 0 is not a list"),
    (document(vertexSet=[["Ada"]]), "mention 0 of entity 0"),
    (document(vertexSet=[[mention(9, 0, 1)]]), "there are 2 sentences"),
    (document(vertexSet=[[mention(-1, 0, 1)]]), "sent_id -1"),
    (document(vertexSet=[[mention(True, 0, 1)]]), "sent_id True"),
    (document(vertexSet=[[mention(0, 8, 10)]]), "pos [8, 10]"),
    (document(vertexSet=[[mention(0, 3, 3)]]), "pos [3, 3]"),
    (document(vertexSet=[[mention(0, 0, 1, 5)]]), "type 5"),
    (document(labels={}), "labels is not a list"),
    (document(labels=[5]), "relation 0 is not an object"),
    (document(labels=[{"h": 1, "t": 3, "r": "P19"}]), "t = 3, but there are 3 entities"),
    (document(labels=[{"h": -1, "t": 1, "r": "P19"}]), "h = -1"),
    (document(labels=[{"h": 1, "t": 2}]), "r = None"),
    (document(labels=[{"h": 1, "t": 2, "r": "P19", "evidence": "0"}]), "evidence of relation 0"),
    ({"title": "Empty"}, "sents and vertexSet"),
]


@pytest.mark.parametrize("broken,problem", BROKEN)
def test_malformed_documents_are_skipped(read, broken, problem):
    docs, faults = read(broken, document())
    assert [doc._.docre_title for doc in docs] == ["Ada Berg"]
    assert counts(faults) == {"skipped_documents": 1}
    [message] = faults.messages
    assert problem in message and "data.json" in message and "document 0" in message and "--strict" in message
    with pytest.raises(ValueError, match="R111"):
        read(broken, document(), strict=True)


@pytest.mark.parametrize("content", [b"{}", b'"text"', b"[1,", b"[", b"", b"\xff\xfe", b"[" * 100_000, b"[] x"])
def test_files_that_are_no_corpus(tmp_path, content):
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="bad.json"):
        list(read_docred(path, nlp=NLP))


def test_arrays_are_read_document_by_document(tmp_path):
    """A truncated file gives its complete documents, then one error with their number."""
    path = tmp_path / "cut.json"
    titles = ["a", "é", "🌍"]
    whole = json.dumps([document(title=title) for title in titles], ensure_ascii=False).encode("utf-8-sig")
    path.write_bytes(whole)
    assert [doc._.docre_title for doc in read_docred(path, nlp=NLP)] == titles
    path.write_bytes(whole[:-30])
    docs = read_docred(path, nlp=NLP)
    assert [next(docs)._.docre_title, next(docs)._.docre_title] == titles[:2]
    with pytest.raises(ValueError, match="R123.*first 2 documents.*--limit 2"):
        next(docs)


def test_missing_file(tmp_path):
    with pytest.raises(ValueError, match="R104"):
        list(read_docred(tmp_path / "none.json", nlp=NLP))


def test_rel_info(tmp_path):
    path = tmp_path / "rel_info.json"
    path.write_text(json.dumps(NAMES), encoding="utf8")
    assert read_rel_info(path) == NAMES
    for wrong in ([], {"P27": 5}, {"P27": " "}):
        path.write_text(json.dumps(wrong), encoding="utf8")
        with pytest.raises(ValueError, match="R114"):
            read_rel_info(path)


def test_messages_are_bounded():
    faults = Faults()
    for i in range(MAX_MESSAGES + 5):
        faults.drop("lost_relations", str(i))
    assert len(faults.messages) == MAX_MESSAGES and faults.lost_relations == MAX_MESSAGES + 5


@pytest.mark.skipif(not DATA, reason="set DOCRE_DATA to a folder with redocred/dev.json")
def test_real_data():
    path, names = Path(DATA) / "redocred/dev.json", Path(DATA) / "docred/rel_info.json"
    if not (path.exists() and names.exists()):
        pytest.skip("redocred/dev.json or docred/rel_info.json is not in DOCRE_DATA")
    faults = Faults()
    docs = list(read_docred(path, nlp=NLP, rel_info=read_rel_info(names), strict=True, faults=faults))
    assert len(docs) == 246
    assert sum(len(get_relation_data(doc)) for doc in docs) == 8589
    assert sum(len(get_mentions(doc)) for doc in docs) == 6261
    expected = {"repeated_mentions": 43, "shared_mentions": 1, "overlapping_mentions": 16, "mixed_types": 7}
    assert counts(faults) == expected
