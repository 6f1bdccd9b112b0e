"""The command `evaluate`, with a pipeline that finds capitalised words instead of a trained one."""

import gc
import weakref

import pytest
import spacy
import srsly
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from typer.testing import CliRunner

from spacy_docre.attributes import get_clusters, is_given, set_clusters, set_mentions, set_relations
from spacy_docre.cli.evaluate import app, evaluate, read_facts
from spacy_docre.scoring import (
    collect_facts,
    make_cluster_scorer,
    make_mention_scorer,
    make_relation_scorer,
    make_type_scorer,
    save_facts,
)


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
        gold(nlp, "Cy saw dee", [[(0, 1)], [(2, 3)]], [(0, "knows", 1)]),  # "dee" is not
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
    assert len(read_facts(nlp, [str(train), str(saved)])) == 2


@pytest.mark.parametrize("args, code", [(["--given", "ents"], "R106"), (["--facts", "no/such.spacy"], "R104")])
def test_one_line_errors(paths, args, code):
    result = CliRunner().invoke(app, ["evaluate", *paths, *args])
    assert result.exit_code == 1
    assert code in result.output and "Traceback" not in result.output


def test_missing_corpus(paths):
    result = CliRunner().invoke(app, ["evaluate", paths[0], "no/such.spacy"])
    assert result.exit_code == 1 and "R104" in result.output


class Payload:
    """Stands for a transformer's output."""


@pytest.fixture
def trf_data():
    """The attribute of spacy-transformers, whether or not that is imported."""
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
    most = 0

    def examples():
        nonlocal most
        for i in range(40):
            read.append(i)
            gc.collect()
            most = max(most, sum(ref() is not None for ref in alive))
            doc = docs[i % 2]
            yield Example(nlp.make_doc(doc.text), doc)

    scores = evaluate(nlp, examples(), batch_size=4)
    assert len(read) == 40 and len(alive) == 40
    assert most <= 8  # two batches at the very most, of forty documents
    assert scores["relations_r"] == 0.5


def test_agrees_with_spacys_own_evaluate(nlp, docs):
    examples = [Example(nlp.make_doc(doc.text), doc) for doc in docs]
    stock = nlp.evaluate(examples)
    ours = evaluate(nlp, examples)
    del stock["speed"], ours["speed"]
    assert ours == stock
