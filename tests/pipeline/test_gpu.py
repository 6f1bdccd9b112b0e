"""The whole pipeline on a CUDA device: training, mixed precision, and models that change the device."""

from pathlib import Path
from typing import Any, Callable, Iterator, List

import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import require_cpu, require_gpu

from trained import train

pytestmark = pytest.mark.gpu
OURS = ["docre_transformer", "docre_mentions", "docre_clusters", "docre_types", "docre_relations"]


@pytest.fixture(autouse=True)
def gpu() -> Iterator[None]:
    pytest.importorskip("cupy", reason="thinc uses a GPU through cupy alone")
    require_gpu()
    yield
    require_cpu()


def devices(nlp: Language) -> set:
    return {p.device.type for name in OURS for p in nlp.get_pipe(name).module.parameters()}


def outputs(nlp: Language, docs: List[Doc]) -> List[torch.Tensor]:
    """Vectors of the encoder, and scores of mentions."""
    docs = [nlp.get_pipe("sentencizer")(nlp.make_doc(doc.text)) for doc in docs]
    encoder, mentions = nlp.get_pipe("docre_transformer"), nlp.get_pipe("docre_mentions")
    encodings = encoder.predict(docs)
    encoder.set_annotations(docs, encodings)
    logits = mentions.model.predict((docs, mentions.make_batch(docs)))["logits"]
    return [t.cpu() for t in (*(encoding.hidden for encoding in encodings), logits)]


def agree(one: List[torch.Tensor], other: List[torch.Tensor]) -> bool:
    return all(torch.allclose(a, b, atol=1e-3) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("mixed", [False, True], ids=["float32", "mixed precision"])
def test_trains_and_predicts(make_nlp: Callable[..., Language], sample_docs: List[Doc], mixed: bool):
    """A gradient that is no number would be a warning, and so an error here."""
    nlp = make_nlp(vars__mixed_precision=mixed)
    assert devices(nlp) == {"cuda"}
    examples = [Example(nlp.make_doc(doc.text), doc) for doc in sample_docs[:2]]
    first = train(nlp, examples, steps=1)
    last = train(nlp, examples, steps=100)
    assert all(last[name] < 0.5 * first[name] for name in OURS[1:])
    assert all(p.isfinite().all() for name in OURS for p in nlp.get_pipe(name).module.parameters())
    scores = nlp.evaluate([Example(nlp.make_doc(doc.text), doc) for doc in sample_docs[:2]])
    assert scores["mentions_f"] > 0.9 and scores["relations_f"] > 0
    docs = list(nlp.pipe([doc.text for doc in sample_docs]))
    assert not [key for doc in docs for key in doc.user_data if not isinstance(key, tuple)]


def test_stock_components_learn_beside_ours(make_nlp: Callable[..., Language], sample_docs: List[Doc]):
    nlp = make_nlp()
    listener = {
        "@architectures": "spacy-transformers.TransformerListener.v1",
        "upstream": "docre_transformer",
        "pooling": {"@layers": "reduce_mean.v1"},
    }
    tagger = {"@architectures": "spacy.Tagger.v2", "nO": None, "normalize": False, "tok2vec": listener}
    nlp.add_pipe("tagger", config={"model": tagger})
    for doc in sample_docs:
        for token in doc:
            token.tag_ = token.shape_[:2]
    examples = [Example(nlp.make_doc(doc.text), doc) for doc in sample_docs[:2]]
    nlp.get_pipe("tagger").initialize(lambda: examples, nlp=nlp)
    first = train(nlp, examples, steps=1)
    assert train(nlp, examples, steps=50)["tagger"] < 0.5 * first["tagger"]


@pytest.mark.parametrize("save,load", [(require_gpu, require_cpu), (require_cpu, require_gpu)], ids=["down", "up"])
def test_a_model_trained_on_one_device_loads_on_the_other(
    make_nlp: Callable[..., Language], sample_docs: List[Doc], tmp_path: Path, save: Any, load: Any
):
    save()
    nlp = make_nlp()
    train(nlp, [Example(nlp.make_doc(doc.text), doc) for doc in sample_docs[:2]], steps=3)
    wanted = outputs(nlp, sample_docs[:2])
    nlp.to_disk(tmp_path)
    load()
    loaded = spacy.load(tmp_path)
    assert devices(loaded) == ({"cuda"} if load is require_gpu else {"cpu"})
    assert agree(outputs(loaded, sample_docs[:2]), wanted)


def test_a_model_moves_to_another_device(make_nlp: Callable[..., Language], sample_docs: List[Doc]):
    nlp = make_nlp()
    wanted = outputs(nlp, sample_docs[:2])
    for name in OURS:
        nlp.get_pipe(name).model.to_cpu()
    require_cpu()
    assert devices(nlp) == {"cpu"} and agree(outputs(nlp, sample_docs[:2]), wanted)
    require_gpu()
    for name in OURS:
        nlp.get_pipe(name).model.to_gpu(0)
    assert devices(nlp) == {"cuda"} and agree(outputs(nlp, sample_docs[:2]), wanted)
