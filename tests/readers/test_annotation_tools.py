"""Prodigy, Label Studio and brat: each export gives the same document; each has its own pitfalls."""

import pytest
import spacy
from spacy.util import registry
from tool_exports import (
    ANN,
    MENTIONS,
    RECORD,
    TEXT,
    arrow,
    label_studio_answer,
    label_studio_task,
    prodigy_relation,
    prodigy_task,
    region,
    write_brat,
    write_label_studio,
    write_prodigy,
)

from spacy_docre.readers.brat import read_brat
from spacy_docre.readers.faults import Faults
from spacy_docre.readers.label_studio import read_label_studio
from spacy_docre.readers.lift import Lift
from spacy_docre.readers.prodigy import read_prodigy
from spacy_docre.writers.jsonl import doc_to_record

NLP = spacy.blank("en")


def read_with(reader, write, path):
    def run(*documents, strict=False, **options):
        """RETURNS (Tuple[List[dict], Dict[str, int], List[str]]): Records, faults by kind, messages."""
        write(path, *documents)
        faults = Faults()
        docs = list(reader(path, nlp=NLP, strict=strict, faults=faults, **options))
        counts = {name: n for name, n in vars(faults).items() if name != "messages" and n}
        return [doc_to_record(doc) for doc in docs], counts, faults.messages

    return run


@pytest.fixture
def prodigy(tmp_path):
    return read_with(read_prodigy, lambda path, *tasks: write_prodigy(path, tasks), tmp_path / "answers.jsonl")


@pytest.fixture
def label_studio(tmp_path):
    return read_with(read_label_studio, lambda path, *tasks: write_label_studio(path, tasks), tmp_path / "export.json")


@pytest.fixture
def brat(tmp_path):
    return read_with(read_brat, write_brat, tmp_path / "brat")


@pytest.mark.parametrize(
    "tool,document", [("prodigy", prodigy_task()), ("label_studio", label_studio_task()), ("brat", ANN)]
)
def test_each_tool_gives_the_same_document(request, tool, document):
    records, counts, _ = request.getfixturevalue(tool)(document, strict=True)
    assert records == [RECORD] and not counts


def triples(record):
    """RETURNS (List[Tuple[str, str, str]]): Relations, entities by the text of their first mention."""
    text = [record["text"][slice(*entity["mentions"][0])] for entity in record["entities"]]
    return [(text[r["head"]], r["label"], text[r["tail"]]) for r in record["relations"]]


# Prodigy


def test_prodigy_relations_by_token_numbers(prodigy):
    """Relations that come with the task have only token numbers: the last token of a span, inclusive."""
    bare = [{key: r[key] for key in ("head", "child", "label")} for r in prodigy_task()["relations"]]
    assert prodigy(prodigy_task(relations=bare), strict=True)[0] == [RECORD]
    bare[1]["head"] = 0  # the first token of the span in its place
    assert prodigy(prodigy_task(relations=bare), strict=True)[0] == [RECORD]


def test_prodigy_tokens_without_a_span_are_mentions(prodigy):
    loved = {"start": 26, "end": 31, "token_start": 7, "token_end": 7, "label": None}
    relation = {**prodigy_relation("m1", "does", "m2"), "child": 7, "child_span": loved}
    bare = {"head": 2, "child": 7, "label": "does"}
    for relations in ([relation], [bare]):
        [record], counts, _ = prodigy(prodigy_task(relations=relations))
        assert triples(record) == [("Ada 🌍 Berg", "does", "loved")] and counts == {"untyped_entities": 1}


@pytest.mark.parametrize("answer,n", [("accept", 1), ("reject", 0), ("ignore", 0), (..., 1)])
def test_prodigy_answers(prodigy, answer, n):
    records, counts, _ = prodigy(prodigy_task(answer=answer), strict=True)
    assert len(records) == n and counts == ({} if n else {"rejected_answers": 1})


def test_prodigy_takes_the_first_accepted_answer_to_a_text(prodigy):
    tasks = [
        prodigy_task(answer="reject"),
        prodigy_task([], _annotator_id="bob", _session_id="rel-bob"),
        prodigy_task(),
        prodigy_task(_input_hash=5, meta={}),
    ]
    records, counts, _ = prodigy(*tasks, strict=True)
    assert [record["id"] for record in records] == ["7", "5"] and records[0]["relations"] == []
    assert counts == {"rejected_answers": 1, "further_answers": 1, "without_relations": 1}
    for name in ("anna", "rel-anna"):
        records, counts, _ = prodigy(*tasks, strict=True, annotator=name)
        assert records[0] == RECORD and counts == {"rejected_answers": 1, "further_answers": 1}


def test_prodigy_without_relations_is_not_annotated(prodigy):
    [record], _, _ = prodigy(prodigy_task(relations=...))
    assert "relations" not in record and len(record["entities"]) == 3  # as they have no coreference either


# Label Studio


def test_label_studio_directions(label_studio):
    regions = [region(name, *mention) for name, mention in MENTIONS.items()]
    ways = [arrow("m1", "m2", "a"), arrow("m1", "m2", "b", direction="left"), arrow("m1", "m2", "c", direction="bi")]
    [record], _, _ = label_studio(label_studio_task(label_studio_answer([*regions, *ways])), strict=True)
    ada, oslo = "Ada 🌍 Berg", "Oslo"
    assert triples(record) == [(ada, "a", oslo), (oslo, "b", ada), (ada, "c", oslo), (oslo, "c", ada)]


def test_label_studio_labels(label_studio):
    """A region with two sets of labels occurs twice; a relation with two labels is two relations."""
    regions = [region("m1", 0, 10, "PER"), region("m1", 0, 10, "HERO"), region("m2", 16, 20, "LOC")]
    extra = [{"id": "m1", "type": "choices", "value": {"choices": ["sure"]}}]
    answer = label_studio_answer([*regions, *extra, arrow("m1", "m2", "a", "b"), arrow("m2", "m1")])
    [record], counts, messages = label_studio(label_studio_task(answer))
    assert [entity["label"] for entity in record["entities"]] == ["PER", "LOC"]
    assert [label for _, label, _ in triples(record)] == ["a", "b"]
    assert counts == {"mixed_types": 1, "ignored_annotations": 1, "unlabelled_relations": 1}
    assert "task with id 7 ('7'): the relation from m2 to m1 has no label" in messages[0]


@pytest.mark.parametrize(
    "answers,annotator,n_relations,expected",
    [
        ([{"was_cancelled": True}], "", None, {"rejected_answers": 1}),
        ([{"was_cancelled": True}, {}], "", 1, {"rejected_answers": 1}),
        ([{"result": []}, {}], "", 0, {"further_answers": 1}),
        ([{"result": []}, {"ground_truth": True}], "", 1, {"further_answers": 1}),
        ([{"result": []}, {"completed_by": 11}], "11", 1, {"further_answers": 1}),
        ([{"result": []}, {"completed_by": {"id": 11, "email": "a@b.org"}}], "a@b.org", 1, {"further_answers": 1}),
        ([{}, {}], "nobody", None, {"further_answers": 2}),
    ],
)
def test_label_studio_annotators(label_studio, answers, annotator, n_relations, expected):
    task = label_studio_task(*(label_studio_answer(**changes) for changes in answers))
    records, counts, _ = label_studio(task, strict=True, annotator=annotator)
    assert [len(record["relations"]) for record in records] == ([] if n_relations is None else [n_relations])
    assert {name: n for name, n in counts.items() if "answers" in name} == expected


def test_label_studio_tasks_without_annotations(label_studio):
    records, counts, _ = label_studio(label_studio_task(annotations=[]), label_studio_task(), strict=True)
    assert records == [RECORD] and counts == {"unanswered_texts": 1}


def test_label_studio_text_under_another_key(label_studio):
    task = label_studio_task(data={"body": TEXT, "author": "x"})
    assert label_studio(task, strict=True, text_key="body")[0] == [RECORD]
    _, _, messages = label_studio(task)
    assert "no text 'text'; there is: 'body', 'author' (--text-key)" in messages[0]


# brat


def test_brat_ignores_what_has_no_place_here(brat):
    events = "E1\tMove:T2 Who:T1\nA1\tNegated E1\nM1\tOld T1\n"
    others = "N1\tReference T1 Wiki:5\tAda\n#1\tAnnotatorNotes T1\thm\n*\tOther T1 T2\n"
    records, counts, _ = brat(ANN + events + others, strict=True)
    assert records == [RECORD] and counts == {"ignored_annotations": 6}


def test_brat_relations_with_arguments_in_any_order(brat):
    ann = ANN.replace("Arg1:T1 Arg2:T2", "Arg2:T2 Arg1:T1").replace("Arg1:T3 Arg2:T4", "Who:T3 Whom:T4")
    assert brat(ann, strict=True)[0] == [RECORD]


def test_brat_relations_may_mean_coreference(brat):
    ann = ANN.replace("*\tEquiv T1 T3", "R9\tsame Arg1:T3 Arg2:T1")
    assert brat(ann, strict=True, lift=Lift(["same"]))[0] == [RECORD]
    assert [label for _, label, _ in triples(brat(ann)[0][0])] == ["same", "knows", "knows"]


def test_brat_pieces(brat):
    """Discontinuous mentions run from the first fragment to the last; only those with text between are counted."""
    text = "North and South America are\r\n  wide."
    ann = "T1\tLOC 0 5;16 23\tNorth America\r\nT2\tLOC 10 23\tSouth America\r\nT3\tX 24 27;31 35\tare wide\r\n"
    [record], counts, _ = brat(ann, text, strict=True)
    assert [entity["mentions"] for entity in record["entities"]] == [[[0, 23]], [[10, 23]], [[24, 35]]]
    assert record["text"] == text
    assert counts == {"joined_mentions": 1, "overlapping_mentions": 1, "without_relations": 1}


def test_brat_folders(brat, tmp_path):
    write_brat(tmp_path / "brat", ANN, name="deep/b.c")
    (tmp_path / "brat" / "lone.txt").write_text("x")
    (tmp_path / "brat" / "widow.ann").write_text("")
    records, counts, messages = brat(ANN)
    assert [record["id"] for record in records] == ["7", "deep/b.c"] and records[1]["relations"] == RECORD["relations"]
    assert counts == {"unanswered_texts": 1, "skipped_documents": 1} and "widow.ann" in messages[0]


@pytest.mark.parametrize("start,n_shifted", [(1, 0), (0, 1)])
def test_brat_byte_order_mark(brat, start, n_shifted):
    """brat counts a byte order mark as a character, but an editor may have added it after the annotation."""
    [record], counts, _ = brat(f"\ufeffT1\tLOC {start} {start + 4}\tOslo\n", "\ufeffOslo", strict=True)
    assert record["text"] == " Oslo" and record["entities"] == [{"label": "LOC", "mentions": [[1, 5]]}]
    assert counts.get("shifted_mentions", 0) == n_shifted


# Offsets


@pytest.mark.parametrize(
    "text,name,start,end,n_shifted",
    [
        ("🌍 in Oslo", "Oslo", 5, 9, 0),
        ("🌍 in Oslo", "Oslo", 6, 10, 1),  # UTF-16 units
        ("in\r\nNew\r\nYork", "New York", 3, 11, 1),  # each line end counts as one character, also inside the mention
        ("in\r\nNew\r\nYork", "New\\nYork", 4, 13, 0),
        ("🌍🌍 in\r\nOslo", "Oslo", 8, 12, 1),  # both
        ("New  York", "New York", 0, 9, 0),  # repeated spaces are shown as one
    ],
)
def test_offsets_are_read_as_the_text_says(label_studio, brat, text, name, start, end, n_shifted):
    task = label_studio_task(label_studio_answer([region("m", start, end, "LOC", text=name)]), data={"text": text})
    for [record], counts, _ in (label_studio(task, strict=True), brat(f"T1\tLOC {start} {end}\t{name}\n", text)):
        assert text[slice(*record["entities"][0]["mentions"][0])].split() == name.replace("\\n", " ").split()
        assert counts.get("shifted_mentions", 0) == n_shifted


def test_all_mentions_of_a_document_count_alike(label_studio):
    """Three of four mentions fit in UTF-16 units, so the first, which fits in code points, is dropped."""
    regions = [region(name, s + 1, e + 1, label, text=TEXT[s:e]) for name, (s, e, label) in MENTIONS.items()]
    regions[0] = region("m1", *MENTIONS["m1"])
    [record], counts, messages = label_studio(label_studio_task(label_studio_answer(regions)))
    assert counts == {"wrong_offsets": 1, "shifted_mentions": 3, "without_relations": 1}
    assert [entity["mentions"] for entity in record["entities"]] == [[[16, 20], [32, 36]], [[22, 25]]]


def test_mentions_elsewhere_are_dropped_with_their_relations(brat):
    ann = ANN.replace("T2\tLOC 16 20", "T2\tLOC 17 21")
    [record], counts, messages = brat(ann)
    assert triples(record) == [("Ada 🌍 Berg", "knows", "Oslo")]
    assert counts == {"wrong_offsets": 1, "lost_relations": 1}
    assert "7.ann ('7'): the mention 'Oslo' is not at 17 to 21" in messages[0] and "T2" in messages[1]
    with pytest.raises(ValueError, match="R116.*17 to 21"):
        brat(ann, strict=True)


# Broken input


BROKEN = [
    ("prodigy", "[]", "not an object"),
    ("prodigy", prodigy_task(text=5), "text"),
    ("prodigy", prodigy_task(spans=[5]), "spans is not a list of objects"),
    ("prodigy", prodigy_task(spans=[{"start": 0, "end": 99}]), "from 0 to 99"),
    ("prodigy", prodigy_task(spans=[{"start": 0, "end": 3, "label": 5}]), "label 5 of a span"),
    ("prodigy", prodigy_task(relations=[{"label": "x"}]), "neither head_span nor head"),
    ("prodigy", prodigy_task(relations=[{"label": "x", "head": 99}]), "head = 99"),
    ("prodigy", prodigy_task(relations=[{"label": "x", "head_span": 5}]), "head_span"),
    ("prodigy", prodigy_task(relations=[{"label": 5}]), "label 5 of a relation"),
    ("label_studio", [], "not an object"),
    ("label_studio", {"id": 7, "text": TEXT, "label": []}, "JSON-MIN"),
    ("label_studio", label_studio_task(data=5), "data is not an object"),
    ("label_studio", label_studio_task(annotations=5), "annotations is not a list of objects"),
    ("label_studio", label_studio_task({"result": 5}), "result is not a list of objects"),
    ("label_studio", label_studio_task(label_studio_answer([{"type": "labels"}])), "no id"),
    ("label_studio", label_studio_task(label_studio_answer([{"type": "labels", "id": "r"}])), "no value"),
    ("label_studio", label_studio_task(label_studio_answer([region("r", 5, 4, text="")])), "from 5 to 4"),
    ("label_studio", label_studio_task(label_studio_answer([region("r", 0, 4, 5)])), "labels that are not texts"),
    ("label_studio", label_studio_task(label_studio_answer([arrow("r", 5)])), "from_id or to_id"),
    ("label_studio", label_studio_task(label_studio_answer([arrow("r", "s", direction="up")])), "direction 'up'"),
    ("brat", "T1 PER 0 5 Ada\n", "line 1"),
    ("brat", ANN + "T9\tPER 0 5;6\tAda\n", "line 8"),
    ("brat", ANN + "T1\tPER 0 3\tAda\n", "line 8"),
    ("brat", ANN + "R9\tknows T1 T2\n", "line 8"),
    ("brat", ANN + "oops\n", "line 8"),
    ("brat", ANN + "\udcff", "not in UTF-8"),
]


@pytest.mark.parametrize("tool,broken,problem", BROKEN)
def test_malformed_documents_are_named_and_skipped(request, tool, broken, problem):
    read = request.getfixturevalue(tool)
    good = {"prodigy": [prodigy_task()], "label_studio": [label_studio_task()], "brat": []}[tool]
    records, counts, messages = read(broken, *good)
    assert len(records) == len(good) and counts["skipped_documents"] == 1
    assert (
        problem in messages[0] and {"prodigy": "line 1", "label_studio": "task", "brat": "7.ann"}[tool] in messages[0]
    )
    with pytest.raises(ValueError, match="R115"):
        read(broken, strict=True)


@pytest.mark.parametrize("tool,name", [("prodigy", "Prodigy"), ("label_studio", "LabelStudio"), ("brat", "Brat")])
def test_configs_read_them(request, tmp_path, tool, name):
    request.getfixturevalue(tool)({"prodigy": prodigy_task(), "label_studio": label_studio_task(), "brat": ANN}[tool])
    [path] = tmp_path.iterdir()
    for link, n_relations in (("exact", 1), ("none", 2)):
        block = {"@readers": f"spacy-docre.{name}.v1", "path": str(path), "link": link}
        corpus = registry.resolve({"corpus": {"@readers": "spacy-docre.Corpus.v1", "path": block}})["corpus"]
        assert [len(eg.reference._.relations) for eg in corpus(NLP)] == [n_relations]


@pytest.mark.parametrize("reader", [read_prodigy, read_label_studio, read_brat])
def test_missing_input(reader, tmp_path):
    with pytest.raises(ValueError, match="R104"):
        list(reader(tmp_path / "none"))
