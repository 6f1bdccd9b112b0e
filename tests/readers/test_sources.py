"""Published corpora in a config: a block instead of the path."""

import pytest
import spacy

from formats import DWIE, FORMATS, write_files
from spacy_docre.doc.layers import get_mentions

NLP = spacy.blank("en")
SOURCES = [corpus for corpus in FORMATS if corpus.name in ("docred", "dwie", "jsonl", "pubtator")]


def resolve(path, name, **options):
    source = {"@readers": f"spacy-docre.{name.capitalize()}.v1", "path": str(path), **options}
    corpus = {"@readers": "spacy-docre.Corpus.v1", "path": source, "given": ["mentions"]}
    return spacy.registry.resolve({"corpus": corpus})["corpus"]


@pytest.mark.parametrize("corpus", SOURCES, ids=lambda f: f.name)
def test_read_from_a_config(corpus, tmp_path):
    corpus.write(tmp_path / "in", [corpus.document])
    reader = resolve(tmp_path / "in", corpus.name)
    for _ in range(2):  # once an epoch
        [example] = reader(NLP)
        assert len(example.reference._.relations) == 1
        assert len(get_mentions(example.predicted)) == 3


def test_what_is_dropped_is_told(tmp_path):
    relations = [*DWIE["relations"], {"s": 0, "p": "in", "o": 0}]
    write_files(tmp_path / "in", [{**DWIE, "relations": relations}])
    with pytest.warns(UserWarning, match="RW17.*1 relations of an entity with itself"):
        assert len(list(resolve(tmp_path / "in", "dwie")(NLP))) == 1
    with pytest.raises(ValueError, match="R116"):
        list(resolve(tmp_path / "in", "dwie", strict=True)(NLP))


def test_options_and_missing_paths(tmp_path):
    write_files(tmp_path / "in", [{**DWIE, "id": str(i)} for i in range(3)])
    (tmp_path / "dev.txt").write_text("1\n2\n", encoding="utf8")
    options = {"part": "dev", "dev_titles": str(tmp_path / "dev.txt")}
    assert len(list(resolve(tmp_path / "in", "dwie", **options)(NLP))) == 2
    with pytest.raises(ValueError, match="R107.*in"):
        list(resolve(tmp_path / "in", "dwie", part="test")(NLP))
    for name in ("docred", "dwie", "jsonl", "pubtator"):
        with pytest.raises(ValueError, match="R104|R125"):
            list(resolve(tmp_path / "none", name)(NLP))
