"""Tuning finds what a full evaluation at each combination of thresholds finds."""

import pytest

from spacy_docre.pipeline.tuning import find_pipe, tune_thresholds
from spacy_docre.pipeline.types import DocreTypes
from spacy_docre.readers.corpus import create_docre_corpus

from .conftest import train


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


@pytest.mark.parametrize("alone", [False, True])
def test_given_layers_are_not_tuned(alone, make_nlp, sample_corpus):
    given = ["mentions", "clusters", "types"]
    nlp = make_nlp()
    reader = create_docre_corpus(sample_corpus["train"], given=given, limit=4)
    train(nlp, list(reader(nlp)), steps=40)
    if alone:
        for name in ("docre_mentions", "docre_clusters", "docre_types"):
            nlp.remove_pipe(name)
    result = tune_thresholds(nlp, reader(nlp), given=given, relation_grid=(0.3, 0.5, 0.8))
    assert set(result.mentions.values()) == set(result.clusters.values()) == {1.0}
    for cell, found in result.relations.items():
        nlp.get_pipe("docre_relations").cfg["threshold"] = cell[2]
        assert cell[:2] == (None, None)
        assert nlp.evaluate(list(reader(nlp)))["relations_f"] == pytest.approx(found)
    assert result.relations[result.best] == max(result.relations.values()) > 0


def test_missing_component_is_named(make_nlp):
    nlp = make_nlp()
    nlp.remove_pipe("docre_types")
    with pytest.raises(ValueError, match="R212.*docre_types.*--given"):
        find_pipe(nlp, DocreTypes)
