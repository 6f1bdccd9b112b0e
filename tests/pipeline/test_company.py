"""In company: stock components on our transformer, ours in a host's pipeline, sourced, copied, in another process."""

import copy
import json
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List

import numpy
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import load_model_from_config
from thinc.api import Adam, Config, fix_random_seed

from spacy_docre.doc.layers import get_clusters, get_mentions, get_types, set_clusters, set_mentions
from spacy_docre.doc.places import Places
from spacy_docre.doc.records import get_relation_data, set_relation_data
from spacy_docre.pipeline.naming import rename_components
from toy import make_doc
from trained import finish, layers_of, train

OURS = ["docre_transformer", "docre_mentions", "docre_clusters", "docre_types", "docre_relations"]
STOCK = {
    "@architectures": "spacy-transformers.TransformerListener.v1",
    "grad_factor": 1.0,
    "pooling": {"@layers": "reduce_mean.v1"},
}
TOK2VEC = {
    "@architectures": "spacy.HashEmbedCNN.v2",
    "width": 16,
    "depth": 1,
    "embed_size": 100,
    "window_size": 1,
    "maxout_pieces": 2,
    "subword_features": True,
    "pretrained_vectors": None,
}


def stock_config(factory: str, tok2vec: Dict[str, Any], **changes: Any) -> Dict[str, Any]:
    """Config of a stock component that reads `tok2vec`, else as spaCy has it."""
    nlp = spacy.blank("en")
    nlp.add_pipe(factory)
    return {"model": {**nlp.get_pipe_config(factory)["model"], "tok2vec": {**tok2vec, **changes}}}


@pytest.fixture
def gold() -> List[Doc]:
    """Two gold documents, with what stock components learn as well: entities, tags, categories, spans."""
    words = "Mara Lind founded Acme in Oslo . Lind left Acme in 1999 .".split()
    entities = [("PER", [(0, 2), (7, 8)]), ("ORG", [(3, 4), (9, 10)]), ("LOC", [(5, 6)]), ("TIME", [(11, 12)])]
    other = make_doc(words, sents=(0, 7), entities=entities, relations=[(1, "founded by", 0), (0, "employer", 1)])
    docs = [make_doc(), other]
    for doc in docs:
        doc.ents = [Span(doc, m.start, m.end, label=e.label) for e in doc._.entities for m in e.mentions]
        doc.spans["sc"] = doc.ents
        doc.cats = {"founding": float(doc is other), "working": float(doc is not other)}
        for token in doc:
            token.tag_ = token.shape_[:2]
    return docs


def make_examples(nlp: Language, gold: List[Doc]) -> List[Example]:
    return [Example(nlp.make_doc(doc.text), doc) for doc in gold]


@pytest.fixture
def nlp(make_nlp) -> Language:
    nlp = make_nlp()
    nlp.get_pipe("docre_mentions").cfg["threshold"] = 0.45
    return nlp


# Stock components on our transformer


@pytest.fixture
def make_company(tiny_config: Config, gold: List[Doc]) -> Callable[..., Language]:
    """Build and initialise a pipeline of our components and stock ones, in the order of their names."""

    def make(names: List[str], upstream: str = "docre_transformer", **settings: Any) -> Language:
        config = tiny_config.copy()
        config["nlp"]["pipeline"] = ["sentencizer", *names]
        config["components"]["docre_transformer"].update(settings)
        for name in names:
            if name not in OURS:
                config["components"][name] = {"factory": name, **stock_config(name, STOCK, upstream=upstream)}
        config["components"] = {name: config["components"][name] for name in config["nlp"]["pipeline"]}
        config["initialize"] = {}
        nlp = load_model_from_config(config, auto_fill=True)
        nlp.initialize(lambda: make_examples(nlp, gold))
        return nlp

    return make


ORDERS = {
    "stock first": ["docre_transformer", "ner", "tagger", *OURS[1:]],
    "stock last": [*OURS, "ner", "tagger"],
    "mixed": [*OURS[:3], "ner", "docre_types", "textcat", "docre_relations", "spancat"],
    "stock only": ["docre_transformer", "textcat", "ner", "tagger"],
}


@pytest.mark.parametrize("names", ORDERS.values(), ids=ORDERS)
def test_stock_components_learn_beside_ours(make_company, gold, tmp_path, names):
    nlp = make_company(names)
    assert nlp.get_pipe("docre_transformer").listening_components == names[1:]
    learned = {"ner": "ents_f", "tagger": "tag_acc", "textcat": "cats_score", "docre_relations": "relations_f"}
    learned["spancat"] = "spans_sc_f"
    wanted = {key: 1.0 for name, key in learned.items() if name in names}
    for rate in (0.003, 0.001, 0.001):
        train(nlp, make_examples(nlp, gold), steps=60, rate=rate)
        scores = nlp.evaluate(make_examples(nlp, gold))
        if {key: scores[key] for key in wanted} == wanted:
            break
    assert {key: scores[key] for key in wanted} == wanted
    nlp.to_disk(tmp_path)
    docs = list(spacy.load(tmp_path).pipe([gold[0].text, "", " \n ", gold[1].text]))
    for doc, single in zip(docs, [nlp(doc.text) for doc in docs]):
        assert [(e.text, e.label_) for e in doc.ents] == [(e.text, e.label_) for e in single.ents]
        assert doc._.trf_data is None and not [key for key in doc.user_data if not isinstance(key, tuple)]


@pytest.mark.parametrize("training", [False, True])
def test_a_missing_transformer_is_an_error(make_company, gold, training):
    nlp = make_company(["docre_transformer", "ner"])
    with pytest.raises(ValueError, match="R201.*'ner'"), nlp.select_pipes(disable="docre_transformer"):
        nlp.update(make_examples(nlp, gold)) if training else nlp(gold[0].text)


def test_frozen_transformer_among_the_annotating_trains_stock_components(make_company, gold):
    nlp = make_company(["docre_transformer", "ner", "docre_mentions"])
    before = nlp.get_pipe("docre_transformer").model.to_bytes()
    optimizer, losses = Adam(0.003), []
    for _ in range(20):
        losses.append({})
        nlp.update(
            make_examples(nlp, gold),
            sgd=optimizer,
            losses=losses[-1],
            exclude=["docre_transformer"],
            annotates=["sentencizer", "docre_transformer", "ner"],
        )
    assert losses[-1]["ner"] < losses[0]["ner"] and losses[-1]["docre_mentions"] < losses[0]["docre_mentions"]
    assert nlp.get_pipe("docre_transformer").model.to_bytes() == before


def test_gradients_of_stock_listeners_are_added(make_company, gold):
    nlp = make_company(["docre_transformer", "docre_mentions", "ner", "docre_relations"])
    train(nlp, make_examples(nlp, gold), steps=2)  # the last layer of ner begins at 0
    encoder = nlp.get_pipe("docre_transformer")

    def gradient(weight: float, exclude: List[str]) -> torch.Tensor:
        for name in ("docre_mentions", "docre_relations"):
            nlp.get_pipe(name).cfg["loss_weight"] = weight
        fix_random_seed(0)
        nlp.update(make_examples(nlp, gold), sgd=False, exclude=exclude, annotates=["sentencizer"])
        encoder._backprop()
        parameters = [p for p in encoder.module.parameters() if p.grad is not None]
        found = torch.cat([p.grad.flatten() for p in parameters])
        finish(nlp, Adam(0.0))
        return found

    together, ours, stock = gradient(1.0, []), gradient(1.0, ["ner"]), gradient(0.0, [])
    assert stock.any() and torch.allclose(together, ours + stock, atol=1e-5)


def test_listeners_to_any_transformer_are_adopted_by_a_setting(make_company, gold, tmp_path):
    """From then on they name it: no other pipeline's transformer is meant, nor does it take those of another."""
    names = ["docre_transformer", "ner", "docre_mentions"]
    with pytest.raises(ValueError, match="R214.*'ner'"):
        make_company(names, upstream="*")
    nlp = make_company(names, upstream="*", adopt_wildcards=True)
    assert nlp.config["components"]["ner"]["model"]["tok2vec"]["upstream"] == "docre_transformer"
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    assert loaded.get_pipe("docre_transformer").listening_components == names[1:]
    loaded.add_pipe("tagger", config=stock_config("tagger", STOCK, upstream="*"))
    assert loaded.get_pipe("docre_transformer").listening_components == names[1:]
    loaded.add_pipe("docre_transformer", name="other", config={"adopt_wildcards": True})
    with pytest.raises(ValueError, match="R213.*'tagger'.*docre_transformer, other"):
        loaded.get_pipe("docre_transformer").initialize(lambda: make_examples(loaded, gold), nlp=loaded)


def test_stock_listeners_can_be_replaced(make_company, gold, tmp_path):
    nlp = make_company(["docre_transformer", "tagger", "docre_mentions"])
    train(nlp, make_examples(nlp, gold), steps=20)
    text = gold[0].text
    wanted = [token.tag_ for token in nlp(text)]
    assert len(set(wanted)) > 1
    nlp.replace_listeners("docre_transformer", "tagger", ["model.tok2vec"])
    assert nlp.get_pipe("docre_transformer").listening_components == ["docre_mentions"]
    nlp.to_disk(tmp_path)
    for pipeline in (nlp, spacy.load(tmp_path)):
        pipeline.remove_pipe("docre_transformer")
        pipeline.remove_pipe("docre_mentions")
        assert [token.tag_ for token in pipeline(text)] == wanted
        losses: Dict[str, float] = {}
        before = pipeline.get_pipe("tagger").model.to_bytes()
        pipeline.update(make_examples(pipeline, gold), sgd=Adam(0.001), losses=losses)
        assert losses["tagger"] > 0 and pipeline.get_pipe("tagger").model.to_bytes() != before


# Ours in the pipeline of a host


def blank() -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    return nlp


def spacy_transformers_host(encoder: str, folder: Path) -> Language:
    nlp = blank()
    get_spans = {"@span_getters": "spacy-transformers.strided_spans.v1", "window": 32, "stride": 24}
    nlp.add_pipe("transformer", name="host", config={"model": {"name": encoder, "get_spans": get_spans}})
    return add_readers(nlp, {**STOCK, "upstream": "*"})


def tok2vec_host(encoder: str, folder: Path) -> Language:
    nlp = blank()
    nlp.add_pipe("tok2vec", name="host", config={"model": TOK2VEC})
    return add_readers(nlp, {"@architectures": "spacy.Tok2VecListener.v1", "width": 16, "upstream": "*"})


def curated_transformers_host(encoder: str, folder: Path) -> Language:
    pytest.importorskip("spacy_curated_transformers")
    from spacy_curated_transformers.tokenization import build_wordpiece_encoder_loader_v1
    from transformers import AutoTokenizer

    vocab = AutoTokenizer.from_pretrained(encoder).get_vocab()
    (folder / "vocab.txt").write_text("\n".join(sorted(vocab, key=vocab.__getitem__)), encoding="utf8")
    nlp = blank()
    model = {
        "@architectures": "spacy-curated-transformers.BertTransformer.v1",
        "vocab_size": len(vocab),
        "hidden_width": 16,
        "intermediate_width": 16,
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
        "piece_encoder": {"@architectures": "spacy-curated-transformers.BertWordpieceEncoder.v1"},
        "with_spans": {"@architectures": "spacy-curated-transformers.WithStridedSpans.v1"},
    }
    host = nlp.add_pipe("curated_transformer", name="host", config={"model": model})
    loader = build_wordpiece_encoder_loader_v1(path=folder / "vocab.txt", lowercase=True)
    host.model.get_ref("piece_encoder").init = loader
    listener = {
        "@architectures": "spacy-curated-transformers.LastTransformerLayerListener.v1",
        "width": 16,
        "pooling": {"@layers": "reduce_mean.v1"},
        "upstream": "*",
    }
    return add_readers(nlp, listener)


HOST = ["host", "ner", "tagger"]


def add_readers(nlp: Language, listener: Dict[str, Any]) -> Language:
    for factory in HOST[1:]:
        nlp.add_pipe(factory, config=stock_config(factory, listener))
    return nlp


def host_state(nlp: Language, texts: List[str]) -> Dict[str, Any]:
    """Bytes of a host's components, and all that they leave on Docs."""
    docs = [*map(nlp, texts), *nlp.pipe(texts)]
    found = []
    for doc in docs:
        data = doc._.trf_data
        if data is not None:
            data = getattr(data, "last_hidden_layer_state", None) or data.model_output.last_hidden_state
        vectors = doc.tensor if data is None else getattr(data, "dataXd", data)
        found.append(([(e.text, e.label_) for e in doc.ents], [token.tag_ for token in doc], vectors.tobytes()))
    return {"found": found, **{name: nlp.get_pipe(name).to_bytes(exclude=["vocab"]) for name in HOST}}


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("make_host", [spacy_transformers_host, tok2vec_host, curated_transformers_host])
def test_a_host_pipeline_is_left_as_it_was(nlp, gold, sample_docs, tiny_encoder, tmp_path, make_host, place):
    """To the bit: its weights, vectors and predictions, also after our components were trained beside it."""
    host = make_host(tiny_encoder, tmp_path)
    host.initialize(lambda: make_examples(host, gold))
    random = numpy.random.default_rng(0)
    for node in [node for name in HOST[1:] for node in host.get_pipe(name).model.walk()]:
        for param in node.param_names:  # output layers begin at 0, and would find nothing
            node.set_param(param, random.normal(size=node.get_param(param).shape).astype("float32"))
    texts = [doc.text for doc in gold]
    state = host_state(host, texts)
    assert all(ents and len(set(tags)) > 1 and vectors for ents, tags, vectors in state["found"])
    wanted = [layers_of(nlp(text)) for text in texts]
    for name in OURS:
        host.add_pipe(name, source=nlp, **({"before": "host"} if place == "before" else {}))
    assert host_state(host, texts) == state
    assert [layers_of(doc) for doc in host.pipe(texts)] == wanted
    encoder = host.get_pipe("docre_transformer").model.to_bytes()
    optimizer = Adam(0.003)
    for _ in range(2):
        host.update(make_examples(host, sample_docs[:2]), sgd=False, exclude=HOST, annotates=["sentencizer"])
        finish(host, optimizer, exclude=HOST)
    assert host.get_pipe("docre_transformer").model.to_bytes() != encoder
    assert host_state(host, texts) == state


READERS = {
    "ours": {"@architectures": "spacy-docre.TransformerListener.v1", "upstream": "host"},
    "stock": {**STOCK, "upstream": "*"},
    "stock, of ours": {**STOCK, "upstream": "docre_transformer"},
}


@pytest.mark.parametrize("tok2vec", READERS.values(), ids=READERS)
def test_a_head_that_would_get_no_attention_is_refused(tiny_encoder, gold, tmp_path, tok2vec):
    host = spacy_transformers_host(tiny_encoder, tmp_path)
    host.add_pipe("docre_transformer", config={"model": {"name": tiny_encoder}})
    host.add_pipe("docre_relations", config={"model": {"tok2vec": tok2vec}})
    with pytest.raises(ValueError, match=f"R219.*'docre_relations'.*'{re.escape(tok2vec['upstream'])}'"):
        host.initialize(lambda: make_examples(host, gold))


# Sourced, copied, in another process


def sourced(folder: Path, names: List[str], **settings: Any) -> Language:
    """A new pipeline whose components come from a saved one."""
    components = {name: {"source": str(folder), **settings.get(name, {})} for name in names}
    return load_model_from_config({"nlp": {"lang": "en", "pipeline": names}, "components": components}, auto_fill=True)


REPLACED = {"replace_listeners": ["model.tok2vec"]}
SOURCED: Dict[str, Any] = {
    "all": (["sentencizer", *OURS], {}),
    "one and its transformer": (["sentencizer", *OURS[:2]], {}),
    "one with an encoder of its own": (["sentencizer", *OURS], {"docre_relations": REPLACED}),
    "all with encoders of their own": (["sentencizer", *OURS[1:]], dict.fromkeys(OURS[1:], REPLACED)),
}
READ = """
import json, sys, spacy
from pathlib import Path
sys.path[:0] = {paths}
from trained import layers_of
for path in sys.argv[2:]:
    print(json.dumps(layers_of(spacy.load(path)(sys.argv[1]))))
"""


def plain(doc: Doc) -> Any:
    return json.loads(json.dumps(layers_of(doc)))


def test_sourced_components_find_the_same_in_a_new_process(nlp, sample_docs, tmp_path):
    text = sample_docs[0].text
    wanted = plain(nlp(text))
    assert wanted["relations"]
    nlp.to_disk(tmp_path / "source")
    for case, (names, settings) in SOURCED.items():
        sourced(tmp_path / "source", names, **settings).to_disk(tmp_path / case)
    tests = Path(__file__).resolve().parents[1]
    code = READ.format(paths=[str(tests.parent), str(tests)])
    command = [sys.executable, "-c", code, text, *(str(tmp_path / case) for case in SOURCED)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for (case, (names, _)), line in zip(SOURCED.items(), output.splitlines(), strict=True):
        found = json.loads(line)
        assert found["mentions"] == wanted["mentions"], case
        assert found == wanted or "docre_relations" not in names, case


def test_a_source_goes_on_working(nlp, sample_docs, tmp_path):
    """Where the part that was sourced has the last reader, or was loaded once more."""
    nlp.to_disk(tmp_path)
    text = sample_docs[0].text
    wanted = layers_of(nlp(text))
    for source, names in ((nlp, [OURS[0], OURS[-1]]), (spacy.load(tmp_path), OURS[:2])):
        part = blank()
        for name in names:
            part.add_pipe(name, source=source)
        docs = [part(text), *part.pipe([text])]
        assert not [key for doc in docs for key in doc.user_data if not isinstance(key, tuple)]
        assert layers_of(nlp(text)) == wanted and [layers_of(doc) for doc in nlp.pipe([text])] == [wanted]
    part = blank()
    for name in OURS[:2]:
        part.add_pipe(name, source=nlp)
    with pytest.raises(ValueError, match="R201.*load it once more"):
        nlp(text)


def test_two_pipelines_on_one_doc(nlp, sample_docs, gold, tmp_path):
    """A trained one, with a stock listener, gets other names, is saved, loaded and put beside another one."""
    nlp.to_disk(tmp_path / "one")
    other = spacy.load(tmp_path / "one")
    tagger = other.add_pipe("tagger", config=stock_config("tagger", STOCK, upstream="docre_transformer"))
    tagger.initialize(lambda: make_examples(other, gold), nlp=other)
    other.get_pipe("docre_mentions").cfg.update(threshold=0.45, max_mentions=0.1)
    with torch.no_grad():
        other.get_pipe("docre_transformer").module.embeddings.word_embeddings.weight.mul_(2.0)
    text = sample_docs[0].text
    doc = other(text)
    wanted = layers_of(doc), [token.tag_ for token in doc]
    rename_components(other, "b")
    other.to_disk(tmp_path / "other")
    other = spacy.load(tmp_path / "other")
    ours = [f"b_{name}" for name in OURS]
    assert other.pipe_names == ["sentencizer", *ours, "tagger"]
    assert other.get_pipe("b_docre_transformer").listening_components == [*ours[1:], "tagger"]

    def found(doc: Doc) -> Any:
        view = Doc(doc.vocab).from_bytes(doc.to_bytes())
        places = Places().prefixed("b")
        set_mentions(view, get_mentions(view, places))
        set_clusters(view, get_clusters(view, places), get_types(view, places))
        set_relation_data(view, get_relation_data(view, places))
        assert [str(e) for e in doc._.b_entities] == [str(e) for e in view._.entities]
        assert [str(r) for r in doc._.b_relations] == [str(r) for r in view._.relations]
        return layers_of(view), [token.tag_ for token in doc]

    alone = layers_of(nlp(text))
    assert found(other(text)) == wanted and len(wanted[0]["mentions"]) < len(alone["mentions"])
    for name in [*ours, "tagger"]:
        nlp.add_pipe(name, source=other)
    doc = nlp(text)
    assert layers_of(doc) == alone and found(doc) == wanted and wanted[0]["relations"]


@pytest.mark.parametrize("way", [copy.deepcopy, lambda nlp: pickle.loads(pickle.dumps(nlp))], ids=["copy", "pickle"])
def test_copies_of_a_pipeline(nlp, sample_docs, way):
    """A copy made in the middle of training is one of its own, and listens to itself."""
    examples = [Example(nlp.make_doc(doc.text), doc) for doc in sample_docs[:2]]
    nlp._optimizer = None  # that of the config has a schedule that no one can copy
    nlp.update(examples, sgd=Adam(0.0001), annotates=["sentencizer"])
    copied = way(nlp)
    text = sample_docs[0].text
    wanted = layers_of(nlp(text))
    doc = copied(text)
    assert layers_of(doc) == wanted and wanted["relations"]
    assert not [key for key in doc.user_data if not isinstance(key, tuple)]
    before = copied.get_pipe("docre_transformer").model.to_bytes()
    train(copied, examples, steps=1)
    assert copied.get_pipe("docre_transformer").model.to_bytes() != before
    assert layers_of(nlp(text)) == wanted


@pytest.mark.parametrize("name", OURS)
def test_copies_of_a_model(nlp, sample_docs, name):
    """thinc's `Model.copy`: the same results, and weights of its own."""
    pipe, text = nlp.get_pipe(name), sample_docs[0].text
    wanted = layers_of(nlp(text))
    original, copied = pipe.model, pipe.model.copy()
    pipe.model = copied
    nlp._link_components()
    assert layers_of(nlp(text)) == wanted
    before = original.to_bytes()
    train(nlp, [Example(nlp.make_doc(doc.text), doc) for doc in sample_docs[:2]], steps=1)
    assert copied.to_bytes() != before and original.to_bytes() == before
