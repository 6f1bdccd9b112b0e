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


def test_missing_component_is_named(make_nlp):
    nlp = make_nlp()
    nlp.remove_pipe("docre_types")
    with pytest.raises(ValueError, match="R212.*DocreTypes"):
        find_pipe(nlp, DocreTypes)
