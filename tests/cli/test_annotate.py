"""`annotate`: what models find between annotated entities becomes annotation."""

import pytest
import spacy
from typer.testing import CliRunner

from spacy_docre.cli import app
from spacy_docre.doc.layers import get_clusters, get_types
from spacy_docre.doc.records import get_relation_data
from spacy_docre.training.annotation import FLOOR, choose, score_steps
from toy import ENTITIES, TRIPLES, make_doc, read_docs, write_docs


def run(*args):
    return CliRunner().invoke(app, ["annotate", *map(str, args)])


@pytest.fixture(scope="module")
def models(tiny_model, tmp_path_factory):
    """Two pipelines with the same labels and other weights; untrained, their scores lie below 0.5."""
    folder = tmp_path_factory.mktemp("annotate")
    paths = []
    for seed in (1, 2):
        nlp = spacy.load(tiny_model)
        spacy.util.fix_random_seed(seed)
        bias = nlp.get_pipe("docre_relations").module.decoder.bias
        bias.data.normal_()  # some relations far above the threshold, others below
        nlp.to_disk(folder / str(seed))
        paths.append(folder / str(seed))
    return paths


@pytest.fixture
def corpus(tmp_path):
    """Not annotated, annotated, without entities."""
    docs = [make_doc(relations=None), make_doc(), make_doc(entities=None, relations=None)]
    return write_docs(tmp_path / "in.spacy", *docs)


def scores(doc):
    return {(r["head"], r["label"], r["tail"]): r["score"] for r in get_relation_data(doc)}


def test_documents_without_relations_get_the_mean_of_the_models(models, corpus, tmp_path):
    found = []
    for i, chosen in enumerate((models[:1], models[1:], models)):
        args = [arg for path in chosen for arg in ("--model", path)]
        result = run(corpus, tmp_path / f"{i}.spacy", *args, "--min-score", 0, "--top-k", 1000)
        assert result.exit_code == 0, result.output
        first, second, third = read_docs(tmp_path / f"{i}.spacy")
        found.append(scores(first))
        assert [(r["head"], r["label"], r["tail"]) for r in get_relation_data(second)] == list(TRIPLES)
        assert get_relation_data(third) is None and not get_clusters(third)
        assert get_clusters(first) == [list(spans) for _, spans in ENTITIES]
        assert get_types(first) == [label for label, _ in ENTITIES]
        assert f"1  documents annotated, with {len(found[-1]):,} relations" in result.output
        assert "1  documents without entities" in result.output
    one, other, both = found
    assert one and other and one != other and min([*one.values(), *other.values()]) >= FLOOR
    assert both.keys() == one.keys() | other.keys()
    for triple, score in both.items():
        assert score == pytest.approx((one.get(triple, 0.0) + other.get(triple, 0.0)) / 2)


def test_scores_are_those_of_the_pipeline(models, corpus, tmp_path):
    """What lies above 0.5 is what the pipeline itself says between the same entities."""
    from spacy_docre.readers.corpus import DocreCorpus

    nlp = spacy.load(models[0])
    reader = DocreCorpus(str(corpus), given=["tokens", "sents", "mentions", "clusters", "types"])
    doc = nlp(reader.make_predicted(nlp, read_docs(corpus)[0]))
    run(corpus, tmp_path / "out.jsonl", "--model", models[0])
    from spacy_docre.readers.jsonl import read_jsonl

    written = next(iter(read_jsonl(tmp_path / "out.jsonl")))
    assert scores(doc) and scores(written) == pytest.approx(scores(doc), abs=1e-5)


VOTES = {(0, "a", 1): 0.9, (0, "b", 1): 0.8, (0, "c", 1): 0.7, (1, "a", 0): 0.6, (1, "b", 0): 0.4}


def test_best_of_each_pair():
    assert list(choose(VOTES, 0.5, 2)) == [(0, "a", 1), (0, "b", 1), (1, "a", 0)]
    assert list(choose(VOTES, 0.4, 9)) == list(VOTES)


def test_table_of_steps():
    """At 0.7: three found, two of them among the four annotated: P 2/3, R 2/4, F 4/7."""
    gold = [(0, "a", 1), (0, "c", 1), (2, "a", 0), (2, "b", 0)]
    table = score_steps([make_doc(relations=gold)], [VOTES], 9)
    assert "| 0.70 | 66.67 | 50.00 | 57.14 |" in table and "| 0.95 | 0.00 | 0.00 | 0.00 |" in table


def test_errors_are_one_line_and_help_has_an_example(models, corpus, tmp_path):
    nlp = spacy.load(models[0])
    nlp.remove_pipe("docre_relations")
    nlp.to_disk(tmp_path / "without")
    result = run(corpus, tmp_path / "out.spacy", "--model", tmp_path / "without")
    assert result.exit_code == 1 and "R173" in result.stderr
    before = corpus.read_bytes()
    result = run(f"{corpus},{corpus}", corpus, "--model", models[0])
    assert result.exit_code == 1 and "R122" in result.stderr and corpus.read_bytes() == before
    pipe = spacy.load(models[1])
    pipe.get_pipe("docre_relations").cfg["labels"][0] = "patron saint"
    pipe.to_disk(tmp_path / "other")
    result = run(corpus, tmp_path / "out.spacy", "--model", models[0], "--model", tmp_path / "other")
    assert result.exit_code == 1 and "R166" in result.stderr and "patron saint" in result.stderr
    assert not (tmp_path / "out.spacy").exists()
    assert "python -m spacy_docre annotate" in " ".join(run("--help").stdout.split())
