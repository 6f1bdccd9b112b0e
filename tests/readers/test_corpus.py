"""The corpus reader of the configs: paths, given layers, places."""

import json

import pytest
import spacy
from spacy.tokens import Doc, DocBin
from spacy.util import load_model_from_config
from thinc.api import Adam, fix_random_seed

from spacy_docre.doc.copying import copy_layers
from spacy_docre.doc.layers import (
    cluster_keys,
    get_clusters,
    get_mentions,
    get_types,
    has_clusters,
    has_mentions,
    set_clusters,
    set_mentions,
)
from spacy_docre.doc.notes import is_given
from spacy_docre.doc.places import DEFAULT, Places
from spacy_docre.doc.records import get_relation_data, has_relations, relation_record, set_relation_data
from spacy_docre.pipeline.naming import rename_components
from spacy_docre.readers.corpus import DocreCorpus, create_docre_corpus, find_files
from spacy_docre.readers.sources import create_jsonl
from spacy_docre.writers.jsonl import write_jsonl

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
    with pytest.warns(UserWarning, match="RW19.*mentions, clusters, types"):
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
    with pytest.raises(ValueError, match="R206.*given.*tokens, sents, mentions, clusters, types.*'relations'"):
        create_docre_corpus("x", given=["relations"])
    with pytest.raises(ValueError, match="R206.*require.*'entities'"):
        create_docre_corpus("x", require=["entities"])


# Places

PRESS = Places.parse("press")
FILES = Places("names", "chains", "facts")  # where gold lies in the files
IN_FILES = {"spans_key": "names", "span_cluster_prefix": "chains", "relations_attr": "facts"}
OURS = ("docre_transformer", "docre_mentions", "docre_clusters", "docre_types", "docre_relations")


@pytest.fixture(autouse=True)
def no_extensions_left():
    yield
    for places in (PRESS, FILES):
        for name in (places.relations, places.relation_data, places.entities):
            if name != "entities" and Doc.has_extension(name):
                Doc.remove_extension(name)


@pytest.fixture
def other_files(sample_corpus, tmp_path):
    """The sample corpus with its gold layers under other names, and under these alone."""
    docs = []
    for doc in DocBin().from_disk(sample_corpus["train"]).get_docs(NLP.vocab):
        copy_layers(doc, DEFAULT, FILES)
        for key in list(doc.spans):
            if key not in (FILES.mentions, *cluster_keys(doc, FILES.clusters)):
                del doc.spans[key]
        set_relation_data(doc, None)
        docs.append(doc)
    return save(tmp_path / "other.spacy", *docs)


@pytest.mark.parametrize("block", [False, True])
def test_jsonl_and_reader_blocks_come_to_the_places(tmp_path, block):
    """Formats without places of their own are read as if they had the corpus's."""
    write_jsonl([gold()], tmp_path / "a.jsonl")
    path = str(tmp_path / "a.jsonl")
    source = create_jsonl(path) if block else path
    (eg,) = create_docre_corpus(source, given=["types"], **IN_FILES)(NLP)
    assert len(get_clusters(eg.predicted)) == 3
    (eg,) = create_docre_corpus(source, given=["types"], spans_key="other")(NLP)
    assert len(get_clusters(eg.predicted)) == 3 and len(get_mentions(eg.predicted)) > 3


def test_given_layers_that_no_document_has(tmp_path, other_files):
    """Such as those that the files keep under other names."""
    with pytest.warns(UserWarning, match="RW19.*types.*spans_key"):
        examples = read(other_files, given=["types"])
    assert examples and not any(has_mentions(eg.reference) for eg in examples)


def everything(doc, places):
    """All layers; as JSON, because files turn lists into tuples."""
    readers = get_mentions, get_clusters, get_types, get_relation_data
    return json.dumps([read_layer(doc, places) for read_layer in readers])


def test_gold_under_other_names(sample_corpus, other_files):
    """It comes to the places of the pipeline, whatever it is called in the files; so do the given layers."""
    given = {"given": ["sents", "types"], "require": ["relations"]}
    expected = read(sample_corpus["train"], **given)
    assert read(other_files, require=["relations"]) == []
    found = read(other_files, **given, **IN_FILES)
    assert len(found) == len(expected) > 1
    for eg, wanted in zip(found, expected):
        assert everything(eg.reference, DEFAULT) == everything(wanted.reference, DEFAULT)
        assert everything(eg.predicted, DEFAULT) == everything(wanted.predicted, DEFAULT)
        assert get_clusters(eg.predicted) and eg.predicted._.docre_given == wanted.predicted._.docre_given


def run(config, corpus, prefix=""):
    """Initialise, train and evaluate a pipeline, with and without given layers.

    RETURNS (Dict): Labels, losses and scores, by names without the prefix.
    """
    nlp = load_model_from_config({**config, "initialize": {}}, auto_fill=True)
    if prefix:
        rename_components(nlp, prefix)
    fix_random_seed(0)
    nlp.initialize(lambda: corpus()(nlp))
    start = f"{prefix}_" if prefix else ""
    labels = {name: nlp.get_pipe(start + name).labels for name in ("docre_types", "docre_relations")}
    losses = {}
    for _ in range(2):
        nlp.update(list(corpus(given=["sents"])(nlp)), losses=losses, sgd=Adam(0.003))
    nlp.get_pipe(f"{start}docre_relations").cfg.update(threshold=0.0, top_k=1)
    scores = [nlp.evaluate(list(corpus(given=given)(nlp))) for given in ([], ["sents", "types"])]
    for score in scores:
        del score["speed"]
    return {"labels": labels, "losses": {key.removeprefix(start): n for key, n in losses.items()}, "scores": scores}


def test_renamed_pipelines_give_the_same_numbers(tiny_config, sample_corpus, other_files):
    """Initialised, trained and scored by `nlp.evaluate`: with the names of `rename_components`, with gold under other
    names in the files, and with both."""

    def default(**settings):
        return create_docre_corpus(sample_corpus["train"], limit=3, **settings)

    def renamed(**settings):
        return create_docre_corpus(other_files, limit=3, **settings, **IN_FILES)

    expected = run(tiny_config, default)
    assert expected["labels"]["docre_relations"] and all(expected["losses"].values())
    assert expected["scores"][1]["mentions_f"] == expected["scores"][1]["types_f"] == 1.0
    assert expected["scores"][1]["relations_f"] > 0 and expected["scores"][0]["clusters_f"] is not None
    assert run(tiny_config, default, "press") == expected
    assert run(tiny_config, renamed) == expected
    assert run(tiny_config, renamed, "press") == expected


def test_two_pipelines_on_one_doc(tiny_nlp, tmp_path):
    """Each gets the given layers and the gold at its own places."""
    tiny_nlp.to_disk(tmp_path / "model")
    other = spacy.load(tmp_path / "model")
    rename_components(other, "press")
    for name in OURS:
        tiny_nlp.add_pipe(f"press_{name}", source=other)
    [eg] = create_docre_corpus(save(tmp_path / "a.spacy", gold()), given=["types"])(tiny_nlp)
    assert everything(eg.reference, PRESS) == everything(eg.reference, DEFAULT) == everything(gold(), DEFAULT)
    assert everything(eg.predicted, PRESS) == everything(eg.predicted, DEFAULT)
    assert len(get_clusters(eg.predicted, PRESS)) == 3 and not has_relations(eg.predicted, PRESS)
    scores = tiny_nlp.evaluate([eg])
    assert scores["mentions_f"] == scores["clusters_f"] == 1.0 and scores["relations_f"] is not None
    assert everything(eg.predicted, PRESS) == everything(eg.predicted, DEFAULT)
