"""The corpus reader of the configs: paths, given layers, places."""

import pytest
import spacy
from spacy.tokens import Doc, DocBin

from spacy_docre.doc.layers import (
    get_clusters,
    get_mentions,
    get_types,
    has_clusters,
    has_mentions,
    set_clusters,
    set_mentions,
)
from spacy_docre.doc.notes import is_given
from spacy_docre.doc.records import has_relations, relation_record, set_relation_data
from spacy_docre.readers.corpus import DocreCorpus, create_docre_corpus, find_files

NLP = spacy.blank("en")
# spaCy's own tokenizer splits "Berg's" and "co-founder", and keeps "(U.S.)" apart from its brackets.
WORDS = ["Ada", "Berg's", "co-founder", "left", "Oslo", ".", "Berg", "stayed", "."]
SPACES = [True, True, True, True, False, True, True, False, False]


def gold(title="Ada", relations=True):
    doc = Doc(NLP.vocab, words=WORDS, spaces=SPACES, sent_starts=[i in (0, 6) for i in range(9)])
    set_mentions(doc, [(0, 1), (2, 3), (4, 5), (6, 7)])
    set_clusters(doc, [[(0, 1), (6, 7)], [(2, 3)], [(4, 5)]], ["PER", "PER", "LOC"])
    if relations:
        set_relation_data(doc, [relation_record(0, "residence", 2, kb_id="P551", sentences=[0])])
    doc._.docre_title = title
    return doc


def save(path, *docs):
    path.parent.mkdir(parents=True, exist_ok=True)
    DocBin(store_user_data=True, docs=docs).to_disk(path)
    return str(path)


def read(path, **settings):
    return list(create_docre_corpus(str(path), **settings)(NLP))


def titles(examples):
    return [eg.reference._.docre_title for eg in examples]


def test_registered_and_built_from_config():
    config = {"reader": {"@readers": "spacy-docre.Corpus.v1", "path": "x.spacy", "given": ["types"], "limit": 3}}
    corpus = spacy.registry.resolve(config)["reader"]
    assert isinstance(corpus, DocreCorpus) and corpus.limit == 3
    for wrong in ({"given": "types"}, {"limit": "x"}, {"givn": []}):
        with pytest.raises(Exception, match="onfig"):
            spacy.registry.resolve({"reader": {**config["reader"], **wrong}})


def test_references_keep_their_annotations(tmp_path):
    [eg] = read(save(tmp_path / "a.spacy", gold()))
    [relation] = eg.reference._.relations
    assert str(relation) == "Berg (PER) --residence--> Oslo (LOC) [1.00]"
    assert [sent.text for sent in relation.sentences] == ["Ada Berg's co-founder left Oslo."]
    assert eg.reference._.docre_given is None


def test_nothing_given(tmp_path):
    [eg] = read(save(tmp_path / "a.spacy", gold()))
    pred = eg.predicted
    assert [token.text for token in pred][:4] == ["Ada", "Berg", "'s", "co"]
    assert pred.text == eg.reference.text and pred._.docre_title == "Ada" and pred._.docre_given == []
    assert not has_mentions(pred) and not has_clusters(pred) and not has_relations(pred)
    assert not pred.has_annotation("SENT_START")


def test_given_tokens(tmp_path):
    [eg] = read(save(tmp_path / "a.spacy", gold()), given=["tokens"])
    assert [token.text for token in eg.predicted] == WORDS and eg.predicted.text == eg.reference.text


def test_given_sents(tmp_path):
    [eg] = read(save(tmp_path / "a.spacy", gold()), given=["sents"])
    assert [sent.text for sent in eg.predicted.sents] == [sent.text for sent in eg.reference.sents]


def test_given_sents_inside_a_token(tmp_path):
    doc = Doc(NLP.vocab, words=["Os", "lo", "burnt"], spaces=[False, True, False], sent_starts=[True, True, False])
    [eg] = read(save(tmp_path / "a.spacy", doc), given=["sents"])
    assert [sent.text for sent in eg.predicted.sents] == ["Oslo", "burnt"]


def test_given_mentions(tmp_path):
    [eg] = read(save(tmp_path / "a.spacy", gold()), given=["mentions"])
    pred = eg.predicted
    assert [span.text for span in pred.spans["mentions"]] == ["Ada", "co-founder", "Oslo", "Berg"]
    assert not has_clusters(pred) and pred._.docre_given == ["mentions"] and is_given(pred, "mentions")


def test_clusters_bring_mentions_but_no_types(tmp_path):
    [eg] = read(save(tmp_path / "a.spacy", gold()), given=["clusters"])
    pred = eg.predicted
    assert pred._.docre_given == ["mentions", "clusters"]
    assert [[m.text for m in e.mentions] for e in pred._.entities] == [["Ada", "Berg"], ["co-founder"], ["Oslo"]]
    assert get_types(pred) == ["", "", ""] and len(get_mentions(pred)) == 4


def test_types_bring_clusters(tmp_path):
    [eg] = read(save(tmp_path / "a.spacy", gold()), given=["types"])
    assert eg.predicted._.docre_given == ["mentions", "clusters", "types"]
    assert get_types(eg.predicted) == ["PER", "PER", "LOC"] and get_clusters(eg.reference)[0] == [(0, 1), (6, 7)]
    assert not has_relations(eg.predicted)


def test_layers_the_gold_lacks_are_not_given(tmp_path):
    plain = Doc(NLP.vocab, words=["Oslo", "burnt"])
    [eg] = read(save(tmp_path / "a.spacy", plain), given=["sents", "types"])
    assert eg.predicted._.docre_given == [] and not has_mentions(eg.predicted)


def test_mentions_off_boundaries_are_left_out_with_one_warning(tmp_path):
    docs = []
    for _ in range(2):
        doc = Doc(NLP.vocab, words=["Os", "lo", "and", "Rome"], spaces=[False, True, True, False])
        set_mentions(doc, [(0, 1), (3, 4)])
        set_clusters(doc, [[(0, 1)], [(3, 4)]], ["LOC", "GPE"])
        docs.append(doc)
    path = save(tmp_path / "a.spacy", *docs)
    with pytest.warns(UserWarning, match="RW08.* 2 given gold") as caught:
        examples = read(path, given=["types"])
    assert len(caught) == 1
    assert get_clusters(examples[0].predicted) == [[(2, 3)]] and get_types(examples[0].predicted) == ["GPE"]


def test_a_document_without_text(tmp_path):
    empty = Doc(NLP.vocab)
    set_mentions(empty, [])
    [eg] = read(save(tmp_path / "a.spacy", empty), given=["tokens", "sents", "types"])
    assert len(eg.predicted) == 0 and has_clusters(eg.predicted)


def test_folders_are_sorted_and_paths_may_be_several(tmp_path):
    save(tmp_path / "f/b.spacy", gold("b"))
    save(tmp_path / "f/a.spacy", gold("a1"), gold("a2"))
    save(tmp_path / "f/sub/c.spacy", gold("c"))
    (tmp_path / "f/notes.txt").write_text("not a corpus")
    single = save(tmp_path / "z.spacy", gold("z"))
    assert titles(read(tmp_path / "f")) == ["a1", "a2", "b", "c"]
    assert titles(read(f"{single}, {tmp_path / 'f'}")) == ["z", "a1", "a2", "b", "c"]
    assert titles(read(tmp_path / "f", limit=3)) == ["a1", "a2", "b"]


def test_a_comma_in_a_name(tmp_path):
    assert titles(read(save(tmp_path / "Oslo, Norway.spacy", gold("x")))) == ["x"]


def test_required_layers(tmp_path):
    path = save(tmp_path / "a.spacy", gold("x", relations=False), gold("y"), gold("z"))
    assert titles(read(path, require=["relations", "types"])) == ["y", "z"]
    assert titles(read(path, require=["relations"], limit=1)) == ["y"]


def test_it_can_be_read_twice(tmp_path):
    corpus = create_docre_corpus(save(tmp_path / "a.spacy", gold()))
    assert len(list(corpus(NLP))) == len(list(corpus(NLP))) == 1


@pytest.mark.parametrize("path", [None, "", "/no/such/folder", "/no/such/file.spacy,/nor/this.spacy"])
def test_missing_path(path):
    with pytest.raises(ValueError, match="R104"):
        list(create_docre_corpus(path)(NLP))


def test_no_documents(tmp_path):
    with pytest.raises(ValueError, match="R107"):
        read(tmp_path)
    with pytest.raises(ValueError, match="R107"):
        read(save(tmp_path / "empty.spacy"))
    with pytest.raises(ValueError, match="R107"):
        find_files(f"{save(tmp_path / 'f/a.spacy', gold())}, {tmp_path.joinpath('g').mkdir() or tmp_path / 'g'}")


def test_damaged_file(tmp_path):
    (tmp_path / "a.spacy").write_bytes(b"not a corpus")
    with pytest.raises(ValueError, match="R120.*a.spacy"):
        read(tmp_path)


def test_unknown_layers():
    with pytest.raises(ValueError, match="R106.*'relations'.*tokens, sents, mentions, clusters, types"):
        create_docre_corpus("x", given=["relations"])
    with pytest.raises(ValueError, match="R117.*'entities'"):
        create_docre_corpus("x", require=["entities"])
