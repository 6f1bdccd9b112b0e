"""Tuning finds what a full evaluation at each combination of thresholds finds."""

import numpy
import pytest
import spacy
from spacy.tokens import DocBin
from typer.testing import CliRunner

from spacy_docre.cli import app
from spacy_docre.doc.layers import get_clusters, get_types, set_clusters
from spacy_docre.finding import find_component
from spacy_docre.pipeline.naming import rename_components
from spacy_docre.readers.corpus import create_docre_corpus
from spacy_docre.scoring.calibration import calibration_error, logit
from spacy_docre.training.tuning import calibrate, current_threshold, tune_thresholds
from trained import train

GIVEN = ["mentions", "clusters", "types"]


def test_tuning_equals_evaluation_of_each_cell(make_nlp, sample_corpus):
    nlp = make_nlp()
    examples = list(create_docre_corpus(sample_corpus["train"], limit=4)(nlp))
    train(nlp, examples, steps=40)
    grids = {"docre_mentions": (0.3, 0.6), "docre_clusters": (0.2, 0.7), "docre_relations": (0.3, 0.5, 0.8)}
    before = {name: dict(nlp.get_pipe(name).cfg) for name in grids}

    def read():
        return create_docre_corpus(sample_corpus["train"], limit=4)(nlp)

    result = tune_thresholds(
        nlp,
        read(),
        mention_grid=grids["docre_mentions"],
        cluster_grid=grids["docre_clusters"],
        relation_grid=grids["docre_relations"],
        batch_size=3,
    )
    assert {name: nlp.get_pipe(name).cfg for name in grids} == before
    for cell, found in result.relations.items():
        for name, threshold in zip(grids, cell):
            nlp.get_pipe(name).cfg["threshold"] = threshold
        scores = nlp.evaluate(list(read()))
        assert scores["relations_f"] == pytest.approx(found)
        assert scores["mentions_f"] == pytest.approx(result.mentions[cell[0]])
        assert scores["clusters_f"] == pytest.approx(result.clusters[cell[:2]])
    assert result.relations[result.best] == max(result.relations.values()) > 0


def test_untyped_gold_counts_as_in_evaluation(make_nlp, sample_corpus, tmp_path):
    """A gold entity without a type accepts any, in `tune` as in `evaluate`."""
    nlp = make_nlp()
    train(nlp, list(create_docre_corpus(sample_corpus["train"], given=GIVEN, limit=4)(nlp)), steps=40)
    docs = list(DocBin().from_disk(sample_corpus["train"]).get_docs(nlp.vocab))[:4]
    for doc in docs:
        set_clusters(doc, get_clusters(doc))
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "untyped.spacy")
    given = ["mentions", "clusters"]
    reader = create_docre_corpus(str(tmp_path / "untyped.spacy"), given=given)
    result = tune_thresholds(nlp, reader(nlp), given=given, relation_grid=(0.2, 0.5))
    assert result.relations[result.best] > 0
    for (*_, threshold), found in result.relations.items():
        nlp.get_pipe("docre_relations").cfg["threshold"] = threshold
        assert nlp.evaluate(list(reader(nlp)))["relations_f"] == pytest.approx(found)


@pytest.mark.parametrize("alone", [False, True])
def test_given_layers_are_not_tuned(alone, make_nlp, sample_corpus):
    nlp = make_nlp()
    reader = create_docre_corpus(sample_corpus["train"], given=GIVEN, limit=4)
    train(nlp, list(reader(nlp)), steps=40)
    if alone:
        for name in ("docre_mentions", "docre_clusters", "docre_types"):
            nlp.remove_pipe(name)
    result = tune_thresholds(nlp, reader(nlp), given=GIVEN, relation_grid=(0.3, 0.5, 0.8))
    assert set(result.mentions.values()) == set(result.clusters.values()) == {1.0}
    for cell, found in result.relations.items():
        nlp.get_pipe("docre_relations").cfg["threshold"] = cell[2]
        assert cell[:2] == (None, None)
        assert nlp.evaluate(list(reader(nlp)))["relations_f"] == pytest.approx(found)
    assert result.relations[result.best] == max(result.relations.values()) > 0


def test_of_two_sets_of_components_one_is_tuned(make_nlp, sample_corpus, tmp_path):
    """The last relation component with the components and the encoder that belong to it, in whatever order."""
    nlp = make_nlp()
    reader = create_docre_corpus(sample_corpus["train"], limit=3)
    train(nlp, list(reader(nlp)), steps=20)
    grids = {"mention_grid": (0.3, 0.5), "cluster_grid": (0.5,), "relation_grid": (0.2, 0.4)}
    alone = tune_thresholds(nlp, reader(nlp), **grids)
    nlp.to_disk(tmp_path / "model")
    other = spacy.load(tmp_path / "model")
    other.get_pipe("docre_mentions").cfg["max_span_length"] = 1
    rename_components(other, "press")
    for name in ("transformer", "mentions", "clusters", "types", "relations"):
        nlp.add_pipe(f"press_docre_{name}", source=other, before="docre_relations")
    assert tune_thresholds(nlp, reader(nlp), **grids) == alone


def test_missing_component_is_named(make_nlp):
    nlp = make_nlp()
    nlp.remove_pipe("docre_types")
    with pytest.raises(ValueError, match="R212.*docre_types.*--given"):
        find_component(nlp, "docre_types")


@pytest.mark.parametrize("loss", ["AdaptiveThreshold", "BinaryCrossEntropy"])
def test_calibration_keeps_the_relations(loss, make_nlp, sample_corpus, tmp_path):
    """Scores change, what is reported does not: with a threshold class, and with alpha in its place."""
    nlp = make_nlp(components__docre_relations__model__head__loss={"@losses": f"spacy-docre.{loss}.v1"})
    reader = create_docre_corpus(sample_corpus["train"], given=GIVEN, limit=6)
    train(nlp, list(reader(nlp)), steps=60)
    nlp.to_disk(tmp_path / "model")
    found = []
    for name, options in (("plain", []), ("calibrated", ["--calibrate"])):
        args = [str(tmp_path / "model"), sample_corpus["train"], "--given", ",".join(GIVEN), *options]
        done = CliRunner().invoke(app, ["tune", *args, "--output", str(tmp_path / name)])
        assert done.exit_code == 0, done.output
        tuned = spacy.load(tmp_path / name)
        docs = list(tuned.pipe(eg.predicted for eg in create_docre_corpus(sample_corpus["train"], given=GIVEN)(tuned)))
        scores = {(d, r.head.id, r.label, r.tail.id): r.score for d, doc in enumerate(docs) for r in doc._.relations}
        found.append((tuned, scores))
    (plain, before), (calibrated, after) = found
    assert before.keys() == after.keys() and len(before) > 20
    pipe = calibrated.get_pipe("docre_relations")
    t = pipe.cfg["temperature"]
    assert t == pytest.approx(calibrated.config["components"]["docre_relations"]["temperature"]) and t != 1.0
    assert f"Temperature: {t:.3f}" in done.output
    for key, score in before.items():
        assert logit(after[key]) == pytest.approx(logit(score) / t, abs=1e-3)
    # Both settings are one threshold on the scale of the grids.
    assert current_threshold(pipe) == pytest.approx(current_threshold(plain.get_pipe("docre_relations")))
    errors = [nlp.meta["performance"]["relations_ece"] for nlp in (plain, calibrated)]
    uncalibrated = calibrated.meta["performance"]["relations_ece_uncalibrated"]
    assert errors[0] is None
    # All entities are gold here, so that the error can be had from the documents themselves.
    gold = [doc for doc in DocBin().from_disk(sample_corpus["train"]).get_docs(nlp.vocab)]
    right = [any((r.head.id, r.label, r.tail.id) == key[1:] for r in gold[key[0]]._.relations) for key in before]
    for scores, error in ((before, uncalibrated), (after, errors[1])):
        assert calibration_error(numpy.array(list(scores.values())), numpy.array(right)) == pytest.approx(error)
    # The likelihood is what the temperature is fitted by; the error of a few dozen scores may well go up.
    chance = [
        numpy.where(right, list(scores.values()), 1 - numpy.array(list(scores.values()))) for scores in (before, after)
    ]
    assert numpy.log(chance[1]).sum() > numpy.log(chance[0]).sum()


def test_only_right_entities_are_judged(make_nlp, sample_corpus):
    """Gold says nothing about relations of entities it does not contain."""
    nlp = make_nlp()
    examples = list(create_docre_corpus(sample_corpus["train"], given=GIVEN, limit=2)(nlp))
    train(nlp, examples, steps=20)
    kwargs = {"given": GIVEN, "relation_grid": (0.0, 0.1)}
    every = tune_thresholds(nlp, examples, **kwargs).judged[None, None]
    for eg in examples:  # of each document, one entity loses its last mention
        clusters = get_clusters(eg.reference)
        longest = max(range(len(clusters)), key=lambda i: len(clusters[i]))
        clusters[longest] = clusters[longest][:-1]
        set_clusters(eg.reference, clusters, get_types(eg.reference))
    judged = tune_thresholds(nlp, examples, **kwargs).judged[None, None]
    assert 0 < len(judged) < len(every)
    nothing = tune_thresholds(nlp, examples, given=GIVEN, relation_grid=(1.0,))
    with pytest.raises(ValueError, match="R217"):
        calibrate(nothing, find_component(nlp, "docre_relations"))
