"""Our JSONL: round trips, absent and empty layers, and faults of hand-written files."""

import json
from pathlib import Path

import pytest
import spacy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, DocBin

from spacy_docre.doc.layers import get_clusters, get_mentions, get_types, has_clusters
from spacy_docre.doc.places import Places
from spacy_docre.doc.records import get_relation_data, has_relations
from spacy_docre.readers.faults import Faults
from spacy_docre.readers.jsonl import read_jsonl
from spacy_docre.writers.jsonl import doc_to_record, write_jsonl

NLP = spacy.blank("en")
TEXT = "Ada 🌍 Berg left Oslo. Berg's home burnt."


def record(**changes):
    base = {
        "id": "a1",
        "text": TEXT,
        "sents": [[0, 21], [22, 40]],
        "entities": [{"label": "PER", "mentions": [[0, 10], [22, 26]]}, {"label": "LOC", "mentions": [[16, 20]]}],
        "relations": [
            {
                "head": 0,
                "label": "residence",
                "kb_id": "P551",
                "tail": 1,
                "score": 0.75,
                "sentences": [0],
                "evidence": [{"head": [0, 10], "tail": [16, 20], "weight": 0.5}],
            }
        ],
    }
    base.update(changes)
    return {key: value for key, value in base.items() if value is not ...}


@pytest.fixture
def read(tmp_path):
    def run(*lines, strict=False):
        path = tmp_path / "data.jsonl"
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        path.write_text("\n".join(texts), encoding="utf8")
        faults = Faults()
        return list(read_jsonl(path, nlp=NLP, strict=strict, faults=faults)), faults

    return run


def counts(faults):
    return {name: n for name, n in vars(faults).items() if name != "messages" and n}


def round_trip(docs, tmp_path):
    path = tmp_path / "out.jsonl"
    write_jsonl(docs, path)
    return [json.loads(line) for line in path.read_text(encoding="utf8").splitlines()]


def test_everything_arrives(read):
    [doc], faults = read(record(), strict=True)
    assert not faults
    assert doc.text == TEXT and doc._.docre_title == "a1"
    assert [sent.text for sent in doc.sents] == ["Ada 🌍 Berg left Oslo.", "Berg's home burnt."]
    [relation] = doc._.relations
    assert (relation.head.text, relation.tail.text, relation.kb_id) == ("Ada 🌍 Berg", "Oslo", "P551")
    assert relation.score == 0.75
    assert [str(e) for e in relation.evidence] == ["Ada 🌍 Berg -> Oslo (0.50)"]
    assert [sent.start for sent in relation.sentences] == [0]


@pytest.mark.parametrize("absent", [(), ("id",), ("sents",), ("relations",), ("entities", "relations")])
def test_round_trip_loses_nothing(read, tmp_path, absent):
    """Absent layers stay absent, also through .spacy."""
    expected = record(**{key: ... for key in absent})
    docs, _ = read(expected, strict=True)
    assert round_trip(docs, tmp_path) == [expected]
    stored = DocBin(store_user_data=True, docs=docs).to_bytes()
    assert round_trip(DocBin().from_bytes(stored).get_docs(NLP.vocab), tmp_path) == [expected]


def test_empty_lists_mean_none(read, tmp_path):
    expected = record(entities=[], relations=[])
    [doc], _ = read(expected, strict=True)
    assert has_clusters(doc) and has_relations(doc) and get_relation_data(doc) == []
    assert round_trip([doc], tmp_path) == [expected]


def test_absent_means_not_annotated(read):
    [doc], _ = read({"text": TEXT}, strict=True)
    assert not has_clusters(doc) and not has_relations(doc) and not doc.has_annotation("SENT_START")
    assert doc._.docre_title is None
    assert doc_to_record(doc) == {"text": TEXT}


def test_labels_may_be_absent(read, tmp_path):
    expected = record(entities=[{"mentions": [[0, 10]]}], relations=[])
    [doc], _ = read(expected, strict=True)
    assert get_types(doc) == [""]
    assert round_trip([doc], tmp_path) == [expected]


def test_empty_text(read, tmp_path):
    docs, _ = read({"text": "", "entities": [], "relations": []}, strict=True)
    assert round_trip(docs, tmp_path) == [{"text": "", "sents": [], "entities": [], "relations": []}]


def test_other_names():
    doc = Doc(NLP.vocab, words=["Oslo", "burnt"], spaces=[True, False])
    doc.spans["places"] = []
    assert doc_to_record(doc, Places(mentions="places")) == {"text": "Oslo burnt", "entities": []}


def test_entities_are_sorted_and_relations_follow(read):
    entities = record()["entities"][::-1]
    relations = [{"head": 1, "label": "residence", "tail": 0}]
    [doc], _ = read(record(entities=entities, relations=relations), strict=True)
    assert get_types(doc) == ["PER", "LOC"]
    assert [(r.head.label, r.tail.label) for r in doc._.relations] == [("PER", "LOC")]


def test_numbers_as_ids_and_repairs(read):
    entities = [{"label": "LOC", "mentions": [[16, 20], [16, 20]]}, {"label": "ORG", "mentions": [[16, 20]]}]
    relations = [{"head": 0, "label": "in", "tail": 1}] * 2
    docs, faults = read(record(id=7, entities=entities, relations=relations), "", record(id="7"), strict=True)
    assert [doc._.docre_title for doc in docs] == ["7", "7"]
    assert get_mentions(docs[0]) == [(4, 5)] and len(docs[0]._.relations) == 1
    expected = {"repeated_mentions": 1, "shared_mentions": 1, "duplicate_relations": 1, "duplicate_titles": 1}
    assert counts(faults) == expected


@pytest.mark.parametrize("mentions,text", [([[16, 19]], "Osl"), ([[17, 20]], "slo"), ([[17, 18], [22, 26]], "s")])
def test_tokens_are_split_where_mentions_begin_or_end(read, tmp_path, mentions, text):
    """Gold data keep their offsets with any tokenizer: mentions that do not fit its tokens must count as missed."""
    expected = record(entities=[record()["entities"][0], {"label": "LOC", "mentions": mentions}])
    expected["relations"][0]["evidence"][0]["tail"] = mentions[0]
    [doc], faults = read(expected, strict=True)
    assert doc.text == TEXT and doc._.entities[1].mentions[0].text == text
    assert faults.misaligned_mentions == 1
    assert round_trip([doc], tmp_path) == [expected]


def test_spaces_at_the_ends_of_mentions_are_cut_off(read):
    entities = [{"label": "PER", "mentions": [[0, 11]]}, {"label": "LOC", "mentions": [[15, 21], [21, 22]]}]
    evidence = [{"head": [0, 11], "tail": [15, 20], "weight": 0.5}, {"head": [0, 3], "tail": [21, 22], "weight": 0.5}]
    relations = [{"head": 0, "label": "residence", "tail": 1, "evidence": evidence}]
    [doc], faults = read(record(entities=entities, relations=relations))
    [relation] = doc._.relations
    assert [str(e) for e in relation.evidence] == ["Ada 🌍 Berg -> Oslo (0.50)"]
    assert counts(faults) == {"trimmed_mentions": 2, "blank_mentions": 1, "lost_evidence": 1}


def test_blank_mentions_and_what_depends_on_them_are_dropped(read):
    entities = [record()["entities"][0], {"label": "LOC", "mentions": [[21, 22]]}]
    [doc], faults = read(record(entities=entities))
    assert len(get_clusters(doc)) == 1 and get_relation_data(doc) == []
    assert counts(faults) == {"blank_mentions": 1, "lost_entities": 1, "lost_relations": 1}
    assert "line 1 ('a1')" in faults.messages[0]
    with pytest.raises(ValueError, match="R116"):
        read(record(entities=entities), strict=True)


@pytest.mark.parametrize(
    "changes,fault",
    [
        ({"sentences": [5]}, "lost_evidence"),
        ({"evidence": [{"head": [0, 10], "tail": [21, 22], "weight": 1.0}]}, "lost_evidence"),
        ({"tail": 0}, "self_relations"),
    ],
)
def test_faults_of_relations(read, changes, fault):
    relation = {**record()["relations"][0], **changes}
    _, faults = read(record(relations=[relation]))
    assert counts(faults) == {fault: 1}
    with pytest.raises(ValueError, match="R116"):
        read(record(relations=[relation]), strict=True)


def test_sentences(read):
    """Text before the first is a sentence, a blank one is not, and one that begins inside a token splits it."""
    relation = {"head": 0, "label": "residence", "tail": 1, "sentences": [0, 2]}
    [doc], faults = read(record(sents=[[5, 21], [21, 22], [23, 40]], relations=[relation]), strict=True)
    assert [sent.text for sent in doc.sents] == ["Ada 🌍", "Berg left Oslo. B", "erg's home burnt."]
    assert get_relation_data(doc)[0]["sentences"] == [1, 2]
    assert counts(faults) == {"empty_sentences": 1}


BROKEN = [
    ("{", "not JSON"),
    ("[" * 100_000, "not JSON"),
    ("[]", "not an object"),
    ({"id": "x"}, "text"),
    (record(text=5), "text"),
    (record(text="\ud800"), "text"),
    (record(id=["x"]), "id"),
    (record(id=True), "id"),
    (record(sents=5), "sents is not a list"),
    (record(sents=[[0, 99]]), "sents has a range"),
    (record(sents=[[0, 21], [20, 40]]), "overlap"),
    (record(entities=[5]), "entity 0 is not an object"),
    (record(entities=[{"label": 5, "mentions": []}]), "label of entity 0"),
    (record(entities=[{"label": "PER"}]), "entity 0 has a mention"),
    (record(entities=[{"mentions": [[3, 3]]}]), "entity 0 has a mention"),
    (record(relations=[5]), "relation 0 is not an object"),
    (record(relations=[{"head": 0, "label": "in", "tail": 2}]), "tail = 2"),
    (record(entities=...), "there are 0 entities"),
    (record(relations=[{"head": 0, "tail": 1}]), "no label"),
    (record(relations=[{"head": 0, "label": "in", "tail": 1, "kb_id": 5}]), "kb_id"),
    (record(relations=[{"head": 0, "label": "in", "tail": 1, "score": float("nan")}]), "score"),
    (record(relations=[{"head": 0, "label": "in", "tail": 1, "sentences": 0}]), "sentences of relation 0"),
    (record(relations=[{"head": 0, "label": "in", "tail": 1, "evidence": [5]}]), "evidence of relation 0"),
]


@pytest.mark.parametrize("broken,problem", BROKEN)
def test_malformed_lines_are_skipped(read, broken, problem):
    docs, faults = read(broken, record())
    assert len(docs) == 1 and counts(faults) == {"skipped_documents": 1}
    assert problem in faults.messages[0] and "line 1" in faults.messages[0]
    with pytest.raises(ValueError, match="R115"):
        read(broken, strict=True)


RELATION = {"head": 0, "label": "met", "tail": 1, "kbid": "P1"}


@pytest.mark.parametrize(
    "slip",
    [
        {"relation": []},
        {"entities": [{"type": "PER", "mentions": [[0, 3]]}]},
        {"entities": [{"mentions": [[0, 3]]}, {"mentions": [[4, 7]]}], "relations": [RELATION]},
    ],
)
def test_unknown_keys_are_named(tmp_path, slip):
    path = tmp_path / "slip.jsonl"
    path.write_text(json.dumps({"text": "Ada met Ole", **slip}) + "\n", encoding="utf8")
    faults = Faults()
    assert len(list(read_jsonl(path, faults=faults))) == 1
    assert faults.unknown_keys == 1 and "line 1" in faults.messages[0] and "the key '" in faults.messages[0]
    with pytest.raises(ValueError, match="R116"):
        list(read_jsonl(path, strict=True))


def test_missing_file(tmp_path):
    with pytest.raises(ValueError, match="R104"):
        list(read_jsonl(tmp_path / "none.jsonl"))


@st.composite
def good_records(draw):
    """Words of one token each, annotated at random; entities ordered by first mention, as on a Doc."""
    words = draw(st.lists(st.sampled_from(["Ada", "Oslo", "left", "🌍", "Ünal"]), min_size=1, max_size=8))
    starts = [sum(len(w) + 1 for w in words[:i]) for i in range(len(words))]
    spans = [[s, s + len(w)] for s, w in zip(starts, words)]
    n_entities = draw(st.integers(0, 3))
    chosen = [draw(st.lists(st.sampled_from(spans), min_size=1, unique_by=tuple)) for _ in range(n_entities)]
    entities = [{"label": draw(st.sampled_from("XY")), "mentions": m} for m in sorted(map(sorted, chosen))]
    pairs = [(h, t) for h in range(n_entities) for t in range(n_entities) if h != t]
    relations = [
        {
            "head": h,
            "label": "in",
            "kb_id": draw(st.sampled_from(["", "P1"])),
            "tail": t,
            "score": draw(st.floats(0, 1)),
            "sentences": draw(st.sampled_from([[], [0]])),
            "evidence": [
                {
                    "head": entities[h]["mentions"][0],
                    "tail": entities[t]["mentions"][0],
                    "weight": draw(st.floats(0, 1)),
                }
            ],
        }
        for h, t in (draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else [])
    ]
    text = " ".join(words)
    return {"id": "x", "text": text, "sents": [[0, len(text)]], "entities": entities, "relations": relations}


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(good_records(), min_size=1, max_size=3))
def test_any_round_trip(tmp_path, records):
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf8")
    assert round_trip(read_jsonl(path, nlp=NLP, strict=True), tmp_path) == records


def test_the_example_of_the_docs(read):
    """docs/data.md shows a whole document, wrapped over several lines."""
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf8")
    example = page.split("```json\n")[1].split("```")[0]
    [doc], faults = read(json.dumps(json.loads(example)), strict=True)
    assert not faults and [sent.start_char for sent in doc.sents] == [0, 51]
    assert [str(relation) for relation in doc._.relations] == [
        "Northwater Press (ORG) --founded by--> Mara Lindqvist (PER) [1.00]",
        "Northwater Press (ORG) --headquarters location--> Skarne (LOC) [1.00]",
    ]
