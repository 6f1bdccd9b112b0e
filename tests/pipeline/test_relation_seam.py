"""What the relation component does between documents and a head: types, sentences, drawn pairs, thresholds."""

import numpy
import pytest
import spacy
import srsly
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import DocBin
from spacy.training import Example
from typer.testing import CliRunner

from spacy_docre.cli import app
from spacy_docre.doc.layers import set_clusters
from spacy_docre.models.torch_model import get_shim
from spacy_docre.pipeline.entity_pairs import draw_pairs
from spacy_docre.readers.corpus import create_docre_corpus
from spacy_docre.training.tuning import current_threshold, threshold_settings, tune_thresholds
from toy import ENTITIES, SENTS, WORDS, make_doc
from trained import train

HEAD = {
    "@architectures": "spacy-docre.JerexMultiInstanceHead.v1",
    "dropout": 0.0,
    "loss": {"@losses": "spacy-docre.BinaryCrossEntropy.v1"},
}


@pytest.fixture
def make_jerex(make_nlp):
    return lambda **overrides: make_nlp(components__docre_relations__model__head=HEAD, **overrides)


# Types and sentences


def test_entities_come_with_types_and_sentences(make_jerex):
    """Types are numbered at initialisation; later ones, and those missing, are -1. Gold ones in training."""
    pipe = make_jerex().get_pipe("docre_relations")
    types = pipe.cfg["entity_types"]
    assert types == sorted(types) and {"PER", "ORG", "LOC"} < set(types)
    entities = [(label, spans) for label, (_, spans) in zip(("PER", "new", "", "LOC"), ENTITIES)]
    doc = make_doc(entities=entities, relations=[])
    bare = make_doc(entities=None, relations=None)
    for batch in (
        pipe.make_batch([make_doc(entities=[], relations=[], sents=None), doc]),
        pipe.make_training_batch([Example(bare, doc)])[0],
    ):
        assert batch.entities.label.tolist() == [types.index("PER"), -1, -1, types.index("LOC")]
        #          ANN SHE ACME1 ACME2 ROME1 ROME2 BOB
        expected = [0, 1, 0, 1, 1, 2, 2]
        assert batch.entities.sentence.tolist() == expected
        assert expected == [sum(s <= start for s in SENTS) - 1 for start in batch.entities.mentions.start]
    with pytest.warns(UserWarning, match="RW01"):
        unsplit = pipe.make_batch([make_doc(entities=entities, sents=None, relations=None)])
    assert unsplit.entities.sentence.tolist() == [0] * 7


def test_heads_that_ignore_types_need_none(make_nlp):
    pipe = make_nlp().get_pipe("docre_relations")
    assert pipe.cfg["entity_types"] == [] and get_shim(pipe.model).sizes.keys() == {"width", "n_out"}
    doc = make_doc(entities=None, relations=None)
    set_clusters(doc, [[(0, 2)], [(4, 5)]])
    assert pipe.make_batch([doc]).entities.label.tolist() == [-1, -1]


def test_columns_are_relations_and_the_threshold_class(make_nlp, make_jerex):
    for nlp, more in ((make_nlp(), 1), (make_jerex(), 0)):
        pipe = nlp.get_pipe("docre_relations")
        assert pipe.model.get_dim("nO") == len(pipe.labels) + more


def test_other_types_are_refused_on_continuing(make_jerex, sample_corpus, tmp_path):
    first = make_jerex()
    first.get_pipe("docre_relations").cfg["entity_types"][0] = "other"
    first.to_disk(tmp_path / "first")
    with pytest.raises(ValueError, match="R208.*docre_relations.*other"):
        make_jerex(paths__init_from=str(tmp_path / "first"))


# Pairs drawn in training


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=12), st.integers(1, 4))
def test_drawn_pairs(pairs, n):
    """All pairs with a relation, and n of those without from each document, or as many as there are."""
    pairs = sorted(pairs)
    doc = numpy.asarray([d for d, _ in pairs], dtype="int64")
    gold = numpy.asarray([[holds, False] for _, holds in pairs], dtype=bool).reshape(-1, 2)
    rows = draw_pairs(gold, doc, n)
    assert rows.tolist() == sorted(set(rows.tolist()))
    positive = {i for i, (_, holds) in enumerate(pairs) if holds}
    assert positive <= set(rows.tolist())
    for d in range(3):
        negative = [i for i, (of, holds) in enumerate(pairs) if of == d and not holds]
        assert len(set(rows.tolist()) & set(negative)) == min(n, len(negative))


def test_pairs_are_drawn_anew(make_jerex):
    pipe = make_jerex(components__docre_relations__n_negatives=2).get_pipe("docre_relations")
    pipe.cfg["labels"] = ["employer", "headquarters location", "residence"]
    drawn = set()
    for _ in range(20):
        batch, (gold, doc) = pipe.make_training_batch([Example(make_doc(entities=None, relations=None), make_doc())])
        assert len(batch) == len(gold) == len(doc) == 3 + 2 and gold.sum() == 3
        pairs = list(zip(batch.head.tolist(), batch.tail.tolist()))
        assert {pair for pair, row in zip(pairs, gold) if row.any()} == {(0, 1), (1, 2), (3, 2)}
        drawn.update(pair for pair, row in zip(pairs, gold) if not row.any())
    assert len(drawn) > 4


# Thresholds


def test_score_is_half_at_alpha(make_jerex):
    """The odds of a score are those of the probability, divided by those of alpha: 1/4 for 0.2, 1 for 0.5."""
    nlp = make_jerex(components__docre_relations__threshold=0.0, components__docre_relations__top_k=100)
    pipe = nlp.get_pipe("docre_relations")

    def odds():
        doc = make_doc(WORDS, relations=None, vocab=nlp.vocab)
        doc._.docre_given = ["mentions", "clusters", "types"]
        return {(r.head.id, r.label, r.tail.id): r.score / (1 - r.score) for r in nlp(doc)._.relations}

    at_half = odds()
    assert len(at_half) == 12 * len(pipe.labels)
    pipe.cfg["alpha"] = 0.2
    assert odds() == pytest.approx({relation: 4 * value for relation, value in at_half.items()})


@pytest.mark.parametrize("alpha", [-0.1, 1.1])
def test_alpha_is_a_share(make_jerex, alpha):
    with pytest.raises(ValueError, match="R206.*alpha"):
        make_jerex(components__docre_relations__alpha=alpha)


def test_alpha_is_tuned(make_jerex, sample_docs, tmp_path):
    """A grid counts probabilities; `tune` writes the best one to alpha, and the model then scores as the grid says."""
    path = str(tmp_path / "four.spacy")
    DocBin(docs=sample_docs[:4], store_user_data=True).to_disk(path)
    nlp = make_jerex()
    train(nlp, list(create_docre_corpus(path)(nlp)), steps=40)
    pipe = nlp.get_pipe("docre_relations")
    pipe.cfg.update(threshold=0.7, alpha=0.4)
    nlp.to_disk(tmp_path / "model")
    #                          odds of 7/3 * 2/3 = 14/9
    assert current_threshold(pipe) == pytest.approx(14 / 23)
    assert current_threshold(nlp.get_pipe("docre_mentions")) == 0.5
    before = dict(pipe.cfg)
    grid = (0.1, 0.35, 14 / 23)
    result = tune_thresholds(
        nlp,
        create_docre_corpus(path)(nlp),
        mention_grid=(0.5,),
        cluster_grid=(0.5,),
        relation_grid=grid,
    )
    assert pipe.cfg == before
    for threshold in grid:
        found = result.relations[0.5, 0.5, threshold]
        for settings in (threshold_settings(pipe, threshold), before if threshold == grid[-1] else {}):
            pipe.cfg.update(settings)
            scores = nlp.evaluate(list(create_docre_corpus(path)(nlp)))
            assert scores["relations_f"] == pytest.approx(found)
    assert max(result.relations.values()) > 0

    done = CliRunner().invoke(app, ["tune", str(tmp_path / "model"), path, "--output", str(tmp_path / "tuned")])
    assert done.exit_code == 0, done.output
    best = float(done.output.split("Best: ")[1].split(";")[0].split(",")[-1])
    tuned = spacy.load(tmp_path / "tuned")
    for settings in (
        tuned.get_pipe("docre_relations").cfg,
        tuned.config["components"]["docre_relations"],
        srsly.read_json(tmp_path / "tuned" / "docre_relations" / "cfg"),
    ):
        assert (settings["threshold"], settings["alpha"]) == (0.5, best)
