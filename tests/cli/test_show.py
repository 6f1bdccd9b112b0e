"""`show`: what is annotated is shown as it is, text is read by a pipeline, heatmaps come from the head."""

import re

import numpy
import pytest
import spacy
from spacy.training.initialize import init_nlp
from typer.testing import CliRunner

from spacy_docre.cli import app
from spacy_docre.doc.layers import get_clusters, set_clusters
from spacy_docre.doc.views import set_relations
from spacy_docre.pipeline.weights import weigh_mentions
from spacy_docre.writers.jsonl import write_jsonl
from toy import make_doc, write_docs

TEXT = "Ada lives in Oslo. سلمى works there."


def show(in_path, out_path, *args, **settings):
    return CliRunner().invoke(app, ["show", str(in_path), str(out_path), *map(str, args)], **settings)


def count(path, what):
    return len(re.findall(what, path.read_text(encoding="utf8")))


@pytest.mark.parametrize("ending", ["jsonl", "spacy"])
def test_annotated_documents_need_no_pipeline(tmp_path, ending):
    source, out = tmp_path / f"in.{ending}", tmp_path / "new" / "out.html"
    docs = [make_doc(), make_doc(relations=[(0, "founded by", 1)]), spacy.blank("en")("")]
    if ending == "jsonl":
        write_jsonl(docs, source)
    else:
        write_docs(source, *docs)
    done = show(source, out, "--model", "no_such_model")
    assert done.exit_code == 0, done.output
    assert count(out, "<!doctype html>") == 1 and count(out, 'class="docre-doc"') == 3
    assert count(out, '<tr data-relation="') == 4 and count(out, "<bdi>founded by</bdi>") == 1
    assert show(source, out, "--model", "no_such_model", "--limit", 1).exit_code == 0
    assert count(out, '<tr data-relation="') == 3


def test_text_is_read_by_a_pipeline(tiny_model, tmp_path):
    (tmp_path / "in.txt").write_text(TEXT, encoding="utf8")
    (tmp_path / "in.jsonl").write_text('{"id": "Ada & Oslo", "text": "Ada lives in Oslo."}\n', encoding="utf8")
    nlp = spacy.load(tiny_model)
    nlp.get_pipe("docre_mentions").cfg["threshold"] = 0.0  # an untrained model finds something
    nlp.to_disk(tmp_path / "model")
    for source, settings in (("in.txt", {}), ("-", {"input": TEXT.encode()}), ("in.jsonl", {})):
        path = source if source == "-" else tmp_path / source
        done = show(path, tmp_path / "out.html", "--model", tmp_path / "model", **settings)
        assert done.exit_code == 0, done.output
        assert count(tmp_path / "out.html", "data-mention=")
        assert bool(count(tmp_path / "out.html", "سلمى")) == (source != "in.jsonl")
    assert count(tmp_path / "out.html", "<title>Ada &amp; Oslo</title>") == 1


@pytest.mark.parametrize(
    "source,out,code",
    [
        ("none.txt", "out.html", "R104"),
        ("in.pdf", "out.html", "R162"),
        ("in.pdf", "in.pdf", "R164"),
        ("in.txt", "out.html", "R155"),
    ],
)
def test_errors_are_one_line(tmp_path, source, out, code):
    for name in ("in.pdf", "in.txt"):
        (tmp_path / name).write_text("x", encoding="utf8")
    done = show(tmp_path / source, tmp_path / out, "--model", "no_such_model")
    assert done.exit_code == 1 and code in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out.html").exists() and (tmp_path / "in.pdf").read_text() == "x"


@pytest.fixture(scope="module")
def rsman_nlp(tiny_settings):
    head = {"@architectures": "spacy-docre.RsmanHead.v1", "reduced_width": 8, "prototype_width": 8}
    head["loss"] = {"@losses": "spacy-docre.AdaptiveThreshold.v1"}
    config = tiny_settings.copy()
    config["components"]["docre_relations"]["model"]["head"] = head
    return init_nlp(config)


def annotate(nlp):
    labels = nlp.get_pipe("docre_relations").labels
    doc = make_doc(entities=None, relations=None, vocab=nlp.vocab)
    set_clusters(doc, [[(0, 2), (6, 7)], [(4, 5), (8, 9)], [(10, 11)]], ["PER", "ORG", "LOC"])
    set_relations(doc, [(0, labels[0], 1), (1, labels[1], 2)])
    return doc


def test_weights_of_a_head(rsman_nlp, monkeypatch):
    """Those that the head's own evidence is made of: a relation's weights sum to 1 over an entity's mentions."""
    doc = annotate(rsman_nlp)
    weights = weigh_mentions(rsman_nlp, doc)
    relations = rsman_nlp.get_pipe("docre_relations")
    assert tuple(weights) == relations.labels
    for row in weights.values():
        starts = numpy.cumsum([0, *map(len, get_clusters(doc))])[:-1]
        assert numpy.add.reduceat(row, starts) == pytest.approx(1.0)
    for setting, value in {"threshold": 0.0, "evidence_mass": 1.0, "top_k": 99}.items():
        monkeypatch.setitem(relations.cfg, setting, value)
    [records] = relations.predict([rsman_nlp.get_pipe("docre_transformer")(doc)])
    first = next(r for r in records if (r["head"], r["tail"]) == (0, 2))
    expected = {(0, 2): weights[first["label"]][0], (6, 7): weights[first["label"]][1]}
    assert {tuple(e["head"]): e["weight"] for e in first["evidence"]} == pytest.approx(expected)


def test_heatmap(rsman_nlp, tiny_model, tmp_path):
    write_docs(tmp_path / "in.spacy", annotate(rsman_nlp))
    rsman_nlp.to_disk(tmp_path / "rsman")
    done = show(tmp_path / "in.spacy", tmp_path / "out.html", "--heatmap", "--model", tmp_path / "rsman")
    assert done.exit_code == 0, done.output
    assert count(tmp_path / "out.html", "<caption>") == 2 and count(tmp_path / "out.html", "<td data-at=") == 6
    for source in ("in.spacy", "none.txt"):  # refused before anything is read
        done = show(tmp_path / source, tmp_path / "out.html", "--heatmap", "--model", tiny_model)
        assert done.exit_code == 1 and "R163" in done.stderr
