"""Training continues from the weights of an earlier pipeline."""

from pathlib import Path

import pytest
import spacy
import srsly

from trained import layers_of

TEXT = "Mara Lind founded Acme in Oslo. Lind left Acme in 1999."


def test_continues_from_saved_weights(make_nlp, tmp_path: Path):
    first = make_nlp()
    first.get_pipe("docre_mentions").cfg["threshold"] = 0.4
    spacy.util.fix_random_seed(1)
    other = make_nlp(system__seed=1)
    other.get_pipe("docre_mentions").cfg["threshold"] = 0.4
    assert layers_of(first(TEXT)) != layers_of(other(TEXT))
    first.to_disk(tmp_path / "first")
    continued = make_nlp(system__seed=1, paths__init_from=str(tmp_path / "first"))
    continued.get_pipe("docre_mentions").cfg["threshold"] = 0.4
    assert layers_of(continued(TEXT)) == layers_of(first(TEXT))


def test_another_head_starts_afresh(make_nlp, tmp_path: Path):
    first = make_nlp()
    first.to_disk(tmp_path / "first")
    block = {
        "@architectures": "spacy-docre.JerexGlobalHead.v1",
        "loss": {"@losses": "spacy-docre.AdaptiveThreshold.v1"},
    }
    with pytest.warns(UserWarning, match="RW14.*docre_relations") as caught:
        continued = make_nlp(
            system__seed=1,
            paths__init_from=str(tmp_path / "first"),
            components__docre_relations__model__head=block,
        )
    assert len([w for w in caught if "RW14" in str(w.message)]) == 1
    for nlp in (first, continued):
        nlp.get_pipe("docre_mentions").cfg["threshold"] = 0.4
    wanted, found = layers_of(first(TEXT)), layers_of(continued(TEXT))
    assert found["mentions"] == wanted["mentions"] and found["entities"] == wanted["entities"]


def test_missing_or_foreign_source_is_refused(make_nlp, tmp_path: Path):
    with pytest.raises(ValueError, match="R209.*no such folder"):
        make_nlp(paths__init_from=str(tmp_path / "nothing"))
    spacy.blank("en").to_disk(tmp_path / "blank")
    with pytest.raises(ValueError, match="R209.*no trained component"):
        make_nlp(paths__init_from=str(tmp_path / "blank"))


def test_other_labels_are_refused(make_nlp, sample_corpus, tmp_path: Path):
    make_nlp().to_disk(tmp_path / "first")
    labels = srsly.read_json(sample_corpus["relation_labels"])
    srsly.write_json(tmp_path / "labels.json", {**labels, "one more": ""})
    with pytest.raises(ValueError, match="R208.*docre_relations"):
        make_nlp(paths__init_from=str(tmp_path / "first"), paths__relation_labels=str(tmp_path / "labels.json"))
