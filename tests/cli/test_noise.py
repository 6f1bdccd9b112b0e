"""`noise`: a share of the relations goes, all else stays."""

import pytest
from typer.testing import CliRunner

from spacy_docre.cli import app
from spacy_docre.doc.layers import get_clusters, get_mentions, get_types
from spacy_docre.doc.notes import get_title
from spacy_docre.doc.records import get_relation_data
from toy import make_doc, read_docs, write_docs


def run(*args):
    return CliRunner().invoke(app, ["noise", *map(str, args)])


def list_relations(docs):
    return [(d, *sorted(r.items(), key=str)) for d, doc in enumerate(docs) for r in get_relation_data(doc) or ()]


@pytest.mark.parametrize("drop", [0.0, 0.6, 1.0])
def test_a_share_of_the_relations_goes(sample_corpus, tmp_path, drop):
    out = tmp_path / "out.spacy"
    result = run(sample_corpus["train"], out, "--drop", drop)
    assert result.exit_code == 0, result.output
    before, after = read_docs(sample_corpus["train"]), read_docs(out)
    known, left = list_relations(before), list_relations(after)
    n = round(drop * len(known))
    assert len(left) == len(known) - n and [r for r in known if r in left] == left
    assert f"{n}  relations left out" in result.output
    for one, other in zip(before, after, strict=True):
        assert one.to_bytes(exclude=["user_data"]) == other.to_bytes(exclude=["user_data"])
        for get in (get_title, get_mentions, get_clusters, get_types):
            assert get(one) == get(other)


def test_the_seed_decides(sample_corpus, tmp_path):
    found = []
    for i, seed in enumerate((0, 0, 1)):
        run(sample_corpus["train"], tmp_path / f"{i}.spacy", "--seed", seed)
        found.append(list_relations(read_docs(tmp_path / f"{i}.spacy")))
    assert found[0] == found[1] != found[2]


def test_pairs_of_several_relations_and_documents_without(tmp_path):
    """Two relations of one pair: the pair has none left once both are gone. None is not the same as not annotated."""
    twice = make_doc(relations=[(0, "employer", 1), (0, "founder", 1)])
    source, out = tmp_path / "in.spacy", tmp_path / "out.spacy"
    write_docs(source, make_doc(relations=None), twice, make_doc(relations=[]))
    for drop, n_pairs, left in ((0.5, 0, [None, 1, 0]), (1.0, 1, [None, 0, 0])):
        result = run(source, out, "--drop", drop)
        assert f"{n_pairs}  entity pairs left without a relation" in result.output
        counts = [None if r is None else len(r) for r in map(get_relation_data, read_docs(out))]
        assert counts == left


def test_errors_are_one_line_and_help_has_an_example(tmp_path):
    kept = write_docs(tmp_path / "kept.spacy", make_doc())
    before = kept.read_bytes()
    result = run(kept, tmp_path / ".." / tmp_path.name / "kept.spacy")
    assert result.exit_code == 1 and "R122" in result.stderr and kept.read_bytes() == before
    result = run(tmp_path / "none.spacy", tmp_path / "out.spacy")
    assert result.exit_code == 1 and result.stderr.count("\n") == 1 and "R104" in result.stderr
    assert "python -m spacy_docre noise" in " ".join(run("--help").stdout.split())
