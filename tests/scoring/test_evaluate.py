"""The command `evaluate`, with a pipeline that finds capitalised words instead of a trained one."""

import gc
import json
import weakref

import pytest
import spacy
import srsly
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from typer.testing import CliRunner

from spacy_docre.cli import app
from spacy_docre.doc.layers import get_clusters, set_clusters, set_mentions
from spacy_docre.doc.notes import is_given
from spacy_docre.doc.records import relation_record, set_relation_data
from spacy_docre.doc.views import set_relations
from spacy_docre.readers.docred import read_docred
from spacy_docre.scoring import (
    collect_facts,
    make_cluster_scorer,
    make_mention_scorer,
    make_relation_scorer,
    make_type_scorer,
    save_facts,
)
from spacy_docre.scoring.evaluation import evaluate, read_known
from spacy_docre.scoring.facts import hash_fact
from spacy_docre.scoring.submission import make_submission


class Toy:
    """Each capitalised word is an entity of type X; the first is related to the second."""

    cfg = {"relations_attr": "relations", "span_cluster_prefix": "coref_clusters", "threshold": 0.5}
    scorers = [make_mention_scorer(), make_cluster_scorer(), make_type_scorer(), make_relation_scorer()]

    def __call__(self, doc):
        if not is_given(doc, "clusters"):
            spans = [(t.i, t.i + 1) for t in doc if t.text[0].isupper()]
            set_mentions(doc, spans)
            set_clusters(doc, [[span] for span in spans], ["X"] * len(spans))
        if len(get_clusters(doc)) > 1:
            set_relations(doc, [(0, "knows", 1)])
        return doc

    def score(self, examples, **kwargs):
        scores = {}
        for scorer in self.scorers:
            scores.update(scorer(examples, **{**self.cfg, **kwargs}))
        return scores


@Language.factory("docre_test_toy")
def make_toy(nlp, name):
    return Toy()


@pytest.fixture
def nlp():
    nlp = spacy.blank("en")
    nlp.add_pipe("docre_test_toy")
    return nlp


def gold(nlp, text, clusters, relations):
    doc = nlp.make_doc(text)
    set_mentions(doc, [m for cluster in clusters for m in cluster])
    set_clusters(doc, clusters, ["X"] * len(clusters))
    set_relations(doc, relations)
    return doc


@pytest.fixture
def docs(nlp):
    return [
        gold(nlp, "Ann knows Bob", [[(0, 1)], [(2, 3)]], [(0, "knows", 1)]),  # all found
        gold(nlp, "Cy saw dee", [[(0, 1)], [(2, 3)]], [(0, "knows", 1)]),  # "dee" is not found
    ]


@pytest.fixture
def paths(nlp, docs, tmp_path):
    nlp.to_disk(tmp_path / "model")
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "dev.spacy")
    return str(tmp_path / "model"), str(tmp_path / "dev.spacy")


def row(output, level):
    line = next(line for line in output.splitlines() if line.startswith(f"| {level}"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_end_to_end(paths, tmp_path):
    out = tmp_path / "new" / "scores.json"
    result = CliRunner().invoke(app, ["evaluate", *paths, "--json", str(out), "--per-type"])
    assert result.exit_code == 0, result.output
    # Mentions: 3 predicted, all correct, gold 4. Relations: 1 predicted, correct, gold 2.
    assert row(result.output, "Mentions") == ["100.00", "75.00", "85.71"]
    assert row(result.output, "Relations (strict)") == ["100.00", "50.00", "66.67"]
    assert row(result.output, "Ign F1") == ["-"]
    assert row(result.output, "knows") == ["100.00", "50.00", "66.67"]
    assert "Given" not in result.output
    scores = srsly.read_json(out)
    assert scores["relations_r"] == 0.5 and scores["relations_ign_f"] is None and scores["speed"] > 0


def test_given_gold_entities(paths):
    result = CliRunner().invoke(app, ["evaluate", *paths, "--given", "mentions, clusters,types"])
    assert result.exit_code == 0, result.output
    assert "Given from gold: mentions, clusters, types" in result.output
    assert row(result.output, "Relations (strict)") == ["100.00", "100.00", "100.00"]


def test_facts(paths, nlp, docs, tmp_path):
    # "Ann knows Bob" is known: of the end-to-end counts 1 / 1 / 2, precision falls to 0 / 0.
    train = tmp_path / "train.spacy"
    DocBin(docs=docs[:1], store_user_data=True).to_disk(train)
    result = CliRunner().invoke(app, ["evaluate", *paths, "--facts", str(train)])
    assert row(result.output, "Ign F1") == ["0.00"]
    saved = tmp_path / "train.facts"
    save_facts(collect_facts(docs[1:]), saved)  # "Cy knows dee": never found, so nothing changes
    result = CliRunner().invoke(app, ["evaluate", *paths, "--facts", str(saved)])
    assert row(result.output, "Ign F1") == ["66.67"]
    assert len(read_known(nlp, [str(train), str(saved)])["facts"]) == 2


def test_facts_that_the_model_keeps(paths, nlp, docs, tmp_path, monkeypatch):
    """A file of facts adds to them; frequencies are the model's, else those of the file, if it has some."""
    toy = nlp.get_pipe("docre_test_toy")
    monkeypatch.setattr(toy, "facts", {hash_fact(("Ann", "knows", "Bob"))}, raising=False)
    save_facts(collect_facts(docs[1:]), tmp_path / "bare.facts")
    save_facts(collect_facts(docs[1:]), tmp_path / "train.facts", {"knows": 1})
    assert read_known(nlp, []) == {}
    assert read_known(nlp, [str(tmp_path / "bare.facts")])["frequencies"] is None
    known = read_known(nlp, [str(tmp_path / "train.facts"), paths[1]])
    assert len(set(map(str, known["facts"]))) == 4  # two by name, two by hash
    assert known["frequencies"] == {"knows": 3}
    monkeypatch.setattr(toy, "cfg", {**toy.cfg, "frequencies": {"knows": 7}})
    assert read_known(nlp, [paths[1]])["frequencies"] == {"knows": 7}


def test_tasks_and_intervals(paths, tmp_path):
    """Each task on gold input: this pipeline does not look at given mentions, and does not type given clusters."""
    out = tmp_path / "scores.json"
    args = ["--tasks", "--bootstrap", "50", "--facts", paths[1], "--json", str(out)]
    result = CliRunner().invoke(app, ["evaluate", *paths, *args])
    assert result.exit_code == 0, result.output
    # The first of two documents is fully right, the second has one of two mentions: F1 from 2/3 to 1.
    assert row(result.output, "Mentions")[2:] == ["85.71", "66.67 to 100.00"]
    tables = result.output.split("\n\n")
    task_rows = [[cell.strip() for cell in line.split("|")[1:5]] for line in tables[1].splitlines()[2:]]
    assert [cells[3] for cells in task_rows] == ["85.71", "85.71", "0.00", "100.00", "-"]
    assert [row(table, "all")[0] for table in tables[2:4]] == ["66.67", "100.00"]
    assert [row(table, "head")[0] for table in tables[2:4]] == ["66.67", "100.00"]
    assert row(tables[4], "CoNLL (mean)")[2] == "-"  # nothing is linked in either
    scores = srsly.read_json(out)
    assert scores["tasks"]["relations"]["relations_f"] == 1.0 and scores["relations_f_interval"][1] == 1.0
    assert "clusters_f" not in scores["tasks"]["relations"]


@pytest.fixture
def docred(tmp_path):
    """A file in DocRED's format. Its first entity is named last, and the second sentence is empty."""
    sents = [["Ann", "knows", "Bob", "."], [], ["Bob", "likes", "Cy", "."]]
    vertices = [[(2, 2)], [(0, 2), (2, 0)], [(0, 0)]]  # Cy, Bob, Ann
    vertices = [[{"name": sents[s][i], "sent_id": s, "pos": [i, i + 1], "type": "X"} for s, i in v] for v in vertices]
    path = tmp_path / "docred.json"
    srsly.write_json(path, [{"title": "one", "sents": sents, "vertexSet": vertices, "labels": []}])
    return path


def test_submission_numbers_entities_as_the_original(docred, nlp):
    (reference,) = read_docred(docred, nlp=nlp)
    predicted = reference.copy()
    assert get_clusters(predicted) == [[(0, 1)], [(2, 3), (4, 5)], [(6, 7)]]  # Ann, Bob, Cy
    records = [
        relation_record(0, "knows", 1, kb_id="P1", sentences=[0]),
        relation_record(1, "likes", 2, sentences=[0, 1]),
        relation_record(1, "likes", 2, sentences=[0]),
    ]
    set_relation_data(predicted, records)
    found, n_lost = make_submission([Example(predicted, reference)], srsly.read_json(docred))
    assert found == [
        {"title": "one", "h_idx": 2, "t_idx": 1, "r": "P1", "evidence": [0]},
        {"title": "one", "h_idx": 1, "t_idx": 0, "r": "likes", "evidence": [0, 2]},
    ]
    assert n_lost == 0
    set_clusters(predicted, [[(0, 1)], [(2, 3)], [(6, 7)]])  # Bob without his second mention
    assert make_submission([Example(predicted, reference)], srsly.read_json(docred)) == ([], 2)


def test_submission_file(docred, paths, nlp, tmp_path):
    corpus, out = tmp_path / "docred.spacy", tmp_path / "new" / "result.json"
    DocBin(docs=read_docred(docred, nlp=nlp), store_user_data=True).to_disk(corpus)
    args = ["--given", "mentions,clusters,types", "--submission", str(out), "--docred", str(docred)]
    result = CliRunner().invoke(app, ["evaluate", paths[0], str(corpus), *args])
    assert result.exit_code == 0, result.output
    assert srsly.read_json(out) == [{"title": "one", "h_idx": 2, "t_idx": 1, "r": "knows", "evidence": []}]
    assert f"1 relations in {out}; 0 between" in result.output
    # The corpus of the other tests is not in that file, and another kind of file gives an error.
    srsly.write_json(tmp_path / "other.json", [{"title": "one"}])
    for args, code in (
        ([paths[1], "--submission", str(out), "--docred", str(docred)], "R132"),
        ([paths[1], "--submission", str(out), "--docred", str(tmp_path / "other.json")], "R105"),
        ([paths[1], "--submission", str(out)], "R131"),
    ):
        result = CliRunner().invoke(app, ["evaluate", paths[0], *args])
        assert result.exit_code == 1 and code in result.output, (result.output, result.exception)


@pytest.mark.parametrize("args, code", [(["--given", "ents"], "R206"), (["--facts", "no/such.spacy"], "R104")])
def test_one_line_errors(paths, args, code):
    result = CliRunner().invoke(app, ["evaluate", *paths, *args])
    assert result.exit_code == 1
    assert code in result.output and "Traceback" not in result.output


@pytest.mark.parametrize("command", ["evaluate", "tune"])
def test_labels_that_the_model_does_not_know(tiny_model, tmp_path, command):
    """Scores of zero must come with a warning; the corpus may also be JSONL."""
    corpus = tmp_path / "other.jsonl"
    record = {
        "text": "Ada met Ole.",
        "entities": [{"label": "PER", "mentions": [[0, 3]]}, {"label": "PER", "mentions": [[8, 11]]}],
        "relations": [{"head": 0, "label": "P9999", "tail": 1}],
    }
    corpus.write_text(json.dumps(record) + "\n", encoding="utf8")
    given = ["--given", "mentions,clusters,types"]
    result = CliRunner().invoke(app, [command, str(tiny_model), str(corpus), *given])
    assert "RW18" in result.stderr and "1 of 1 gold relations" in result.stderr and "'P9999'" in result.stderr
    assert result.exit_code == (command == "tune") and ("R218" in result.stderr) == (command == "tune")


def test_missing_corpus(paths):
    result = CliRunner().invoke(app, ["evaluate", paths[0], "no/such.spacy"])
    assert result.exit_code == 1 and "R104" in result.output


class Payload:
    """Stands for a transformer's output."""


@pytest.fixture
def trf_data():
    """The attribute of spacy-transformers, imported or not."""
    ours = not Doc.has_extension("trf_data")
    if ours:
        Doc.set_extension("trf_data", default=None)
    yield
    if ours:
        Doc.remove_extension("trf_data")


def test_reads_lazily_and_lets_go_of_outputs(nlp, docs, trf_data):
    alive = []
    read = []

    @Language.component("docre_test_transformer")
    def transformer(doc):
        payload = Payload()
        doc._.trf_data = payload
        alive.append(weakref.ref(payload))
        return doc

    nlp.add_pipe("docre_test_transformer", first=True)
    gc.collect()
    gc.freeze()  # what other tests have left is not looked through again, forty times
    most = 0

    def examples():
        nonlocal most
        for i in range(40):
            read.append(i)
            gc.collect()
            most = max(most, sum(ref() is not None for ref in alive))
            doc = docs[i % 2]
            yield Example(nlp.make_doc(doc.text), doc)

    try:
        scores = evaluate(nlp, examples(), batch_size=4)
    finally:
        gc.unfreeze()
    assert len(read) == 40 and len(alive) == 40
    assert most <= 8  # two batches at most, of forty documents
    assert scores["relations_r"] == 0.5


def test_agrees_with_spacys_own_evaluate(nlp, docs):
    examples = [Example(nlp.make_doc(doc.text), doc) for doc in docs]
    stock = nlp.evaluate(examples)
    ours = evaluate(nlp, examples)
    del stock["speed"], ours["speed"]
    assert ours == stock
