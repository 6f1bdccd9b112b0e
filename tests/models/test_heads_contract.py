"""What every relation head promises, with every loss: one row of HEADS each, the last ones those of docs/heads.md."""

import copy
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, List

import numpy
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.training.initialize import init_nlp
from thinc.api import Adam, Config, fix_random_seed

from spacy_docre.doc.layers import get_clusters, get_types, set_clusters
from spacy_docre.models.relation_head import Explains
from spacy_docre.models.relation_model import relation_scores
from spacy_docre.models.torch_model import encode, get_module
from spacy_docre.readers.corpus import create_docre_corpus
from spacy_docre.readers.jsonl import read_jsonl
from spacy_docre.training.configs import make_config, read_config

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "heads.md").read_text(encoding="utf8")


def read_blocks(language: str) -> List[str]:
    """RETURNS (List[str]): Code blocks of docs/heads.md."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def read_page_config(name: str = "MeanHead", **settings: Any) -> Config:
    """Read the page's config, for another one of its heads where that is asked for."""
    (block,) = read_blocks("ini")
    parents = "[components]\n[components.docre_relations]\n[components.docre_relations.model]\n"
    config = read_config("base").merge(Config().from_str(parents + block))
    head = config["components"]["docre_relations"]["model"]["head"]
    head.update({"@architectures": f"acme.{name}.v1", **settings})
    return config


exec("\n".join(read_blocks("python")), {"__name__": "acme"})


def share_encoder(config: Config) -> None:
    config["nlp"]["pipeline"] = ["docre_transformer", "docre_relations"]


def mark_mentions(config: Config) -> None:
    config["nlp"]["pipeline"] = ["docre_relations"]
    marked = {"@architectures": "spacy-docre.MarkedTransformer.v1", "marker": "."}  # tiny encoders have no asterisk
    marked["encoder"] = config["components"]["docre_transformer"]["model"]
    config["components"]["docre_relations"]["model"]["tok2vec"] = marked


def mark_twice(config: Config) -> None:
    """A marked encoder for the relation model, another one for its head."""
    mark_mentions(config)
    model = config["components"]["docre_relations"]["model"]
    model["head"]["encoder"] = copy.deepcopy(model["tok2vec"])


def read_twice(config: Config) -> None:
    """The shared encoder for the relation model, another one, plain, for its head."""
    share_encoder(config)
    encoder = copy.deepcopy(config["components"]["docre_transformer"]["model"])
    config["components"]["docre_relations"]["model"]["head"]["encoder"] = encoder


def make_kmgre_config() -> Config:
    """With phases so short that all of them come."""
    config = make_config("kmgre")
    config["components"]["docre_relations"]["model"]["head"].update(warmup_steps=20, phase_steps=10)
    return config


def make_bilinear_kmgre_config() -> Config:
    config = make_kmgre_config()
    config["components"]["docre_relations"]["model"]["head"]["scorer"] = "bilinear"
    return config


ENCODERS = {"shared": share_encoder, "marked": mark_mentions, "marked twice": mark_twice, "two": read_twice}
HEADS = {
    "atlop": lambda: make_config("atlop"),
    "pemscl": lambda: make_config("pemscl"),
    "rsman": lambda: make_config("rsman"),
    "kmgre": make_kmgre_config,
    "kmgre bilinear": make_bilinear_kmgre_config,
    "jerex_mrc": lambda: make_config("jerex_mrc"),
    "jerex_grc": lambda: make_config("jerex_grc"),
    "docs": lambda: read_page_config("ExplainedHead"),
}
HOOKS = {  # of the page, one head each
    "docs plain": read_page_config,
    "docs types": lambda: read_page_config("TypedHead"),
    "docs encoder": lambda: read_page_config("TwoReaders"),
    "docs phases": lambda: read_page_config("ReadersInTurn", warmup_steps=20, phase_steps=10),
}
RATES = {"kmgre bilinear": 0.001}  # it diverges at the others' rate
LOSSES = ["spacy-docre.AdaptiveThreshold.v1", "spacy-docre.BinaryCrossEntropy.v1"]
CELLS = [("shared", head, loss) for head in HEADS for loss in LOSSES]
OWN = {"pemscl": "spacy-docre.PairwiseMovingThreshold.v1", "docs": "acme.FocalLoss.v1"}
CELLS += [("shared", head, loss) for head, loss in OWN.items()]
CELLS += [("marked", head, OWN.get(head, LOSSES[0])) for head in HEADS]
CELLS += [("marked twice", "kmgre", LOSSES[0])]
CELLS += [("two" if head in ("docs encoder", "docs phases") else "shared", head, OWN["docs"]) for head in HOOKS]


def find_corpus(folder: Path) -> str:
    """Save two documents of the sample corpus."""
    path = folder / "two.spacy"
    docs = list(read_jsonl(ROOT / "assets" / "sample_train.jsonl", nlp=spacy.blank("en")))[:2]
    DocBin(docs=docs, store_user_data=True).to_disk(path)
    return str(path)


@lru_cache
def make_head_config(head: str) -> Config:
    return {**HEADS, **HOOKS}[head]()


def build(encoder: str, head: str, loss: str, path: str, folder: str) -> Language:
    """Build the relation component of a config alone, behind a tiny encoder."""
    fix_random_seed(0)
    config = make_head_config(head).copy()
    config["nlp"]["lang"] = "xx"  # a language without special cases is built in half the time
    config["vars"].update(encoder=folder, head_scale=1.0)
    config["paths"].update(train=path, dev=path)
    config["components"]["docre_transformer"]["model"].update(dropout=0.0)
    ENCODERS[encoder](config)
    config["components"] = {name: config["components"][name] for name in config["nlp"]["pipeline"]}
    settings = config["components"]["docre_relations"]["model"]["head"]
    settings.update(dropout=0.0, loss={"@losses": loss}, **({"block_size": 16} if "block_size" in settings else {}))
    config["initialize"]["components"] = {}
    config["training"].update(score_weights={}, annotating_components=[])
    return init_nlp(config)


def read(nlp: Language, path: str) -> List[Example]:
    return list(create_docre_corpus(path, given=["sents", "types"])(nlp))


class Cell:
    """A pipeline that has learned two documents by heart."""

    def __init__(self, encoder: str, head: str, loss: str, path: str, folder: str) -> None:
        self.nlp = build(encoder, head, loss, path, folder)
        self.path = path
        self.pipe: Any = self.nlp.get_pipe("docre_relations")
        self.gradients = train(self.nlp, path, RATES.get(head, 0.005))

    @property
    def module(self) -> Any:
        return get_module(self.pipe.model)

    def docs(self) -> List[Doc]:
        return [eg.predicted for eg in read(self.nlp, self.path)]

    def encode(self, docs: List[Doc]) -> List[Doc]:
        """Run what comes before the component."""
        for _, pipe in self.nlp.pipeline[:-1]:
            pipe.set_annotations(docs, pipe.predict(docs))
        return docs

    def score(self, docs: List[Doc]) -> List[Dict[Any, numpy.ndarray]]:
        """RETURNS: Scores of all relations of each entity pair of each document."""
        docs = self.encode(docs)
        batch = self.pipe.make_batch(docs)
        logits = self.pipe.model.predict((docs, batch))["logits"]
        scores = relation_scores(logits, None if self.pipe.model.attrs["threshold_class"] else 0.5)
        first = numpy.searchsorted(batch.entities.doc, numpy.arange(len(docs)))
        found: List[Dict[Any, numpy.ndarray]] = [{} for _ in docs]
        for doc, head, tail, row in zip(batch.doc, batch.head, batch.tail, scores):
            found[doc][head - first[doc], tail - first[doc]] = row
        return found


def train(nlp: Language, path: str, rate: float) -> Dict[str, float]:
    """Train until all is learned by heart, or 400 steps.

    RETURNS (Dict[str, float]): Largest gradient of each parameter of the relation model in all steps.
    """
    optimizer = Adam(rate, L2=0.0, use_averages=False, grad_clip=1.0)
    module = get_module(nlp.get_pipe("docre_relations").model)
    largest = {name: 0.0 for name, _ in module.named_parameters()}
    examples = read(nlp, path)
    for step in range(400):
        if step % 20 == 19 and step > 20 and nlp.evaluate(read(nlp, path))["relations_f"] == 1.0:
            break
        nlp.update(examples, sgd=False)
        for name, parameter in module.named_parameters():
            largest[name] = max(largest[name], 0.0 if parameter.grad is None else float(parameter.grad.abs().max()))
        for _, pipe in nlp.pipeline:
            pipe.finish_update(optimizer)
    return largest


@pytest.fixture(scope="module", params=CELLS, ids=lambda cell: "-".join(part.split(".")[-2:][0] for part in cell))
def cell(request, tiny_encoder, tmp_path_factory) -> Cell:
    return Cell(*request.param, find_corpus(tmp_path_factory.mktemp("contract")), tiny_encoder)


def view(doc: Doc) -> Dict[Any, float]:
    return {(r.head.id, r.label, r.tail.id): r.score for r in doc._.relations}


@pytest.mark.parametrize("head", [head for head in HEADS if head != "docs"])
def test_relations_are_rare_at_the_start(head, tiny_encoder, tmp_path):
    """Without a threshold class, a head would else learn nothing but that for hundreds of steps."""
    path = find_corpus(tmp_path)
    nlp = build("shared", head, LOSSES[1], path, tiny_encoder)
    docs = [eg.predicted for eg in read(nlp, path)]
    nlp.get_pipe("docre_transformer").set_annotations(docs, nlp.get_pipe("docre_transformer").predict(docs))
    pipe = nlp.get_pipe("docre_relations")
    logits = pipe.model.predict((docs, pipe.make_batch(docs)))["logits"]
    assert len(logits) and logits.sigmoid().mean() < 0.05


def test_learns_two_documents_by_heart(cell):
    assert cell.nlp.evaluate(read(cell.nlp, cell.path))["relations_f"] == 1.0


def test_every_parameter_gets_a_gradient(cell):
    assert cell.gradients and all(cell.gradients.values()), cell.gradients


def test_saved_and_loaded_it_gives_the_same_answer(cell, tmp_path):
    cell.nlp.to_disk(tmp_path / "model")
    loaded = spacy.load(tmp_path / "model")
    fresh = spacy.blank("xx").from_config(cell.nlp.config).from_bytes(cell.nlp.to_bytes())
    for doc in cell.docs():
        wanted = view(cell.nlp(doc.copy()))
        for other in (loaded, fresh):
            assert wanted and view(other(Doc(other.vocab).from_bytes(doc.to_bytes()))) == pytest.approx(wanted)


def same(a: Dict[Any, numpy.ndarray], b: Dict[Any, numpy.ndarray], tolerance: float = 1e-5) -> bool:
    return a.keys() == b.keys() and all(numpy.allclose(a[pair], b[pair], atol=tolerance) for pair in a)


def test_a_document_alone_scores_as_in_a_batch(cell):
    for doc, among in zip(cell.docs(), cell.score(cell.docs())):
        (alone,) = cell.score([doc])
        assert alone and same(alone, among)


def test_renumbered_entities_change_nothing(cell):
    for doc in cell.docs():
        (before,) = cell.score([doc])
        clusters, types = get_clusters(doc), get_types(doc)
        set_clusters(doc, clusters[::-1], types[::-1])
        order = [len(clusters) - 1 - i for i in range(len(clusters))]
        (after,) = cell.score([doc])
        assert same(before, {(order[h], order[t]): row for (h, t), row in after.items()})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gives_numbers(cell, dtype):
    docs = cell.encode(cell.docs())
    batch = cell.pipe.make_batch(docs)
    leaves = encode(cell.pipe.model, (docs, batch)).leaves()
    with torch.enable_grad():
        exact = cell.module(leaves, batch)["logits"]
        with torch.autocast("cpu", dtype=dtype):
            rough = cell.module(leaves, batch)["logits"]
        wanted = [leaves.hidden, *cell.module.parameters()]  # of which those count that the logits depend on
        gradients = torch.autograd.grad(rough.float().sum(), wanted, allow_unused=True)
    assert (rough - exact).norm() < 0.05 * exact.norm()
    assert all(torch.isfinite(g).all() for g in gradients if g is not None) and gradients[0] is not None


def test_documents_without_pairs(cell):
    """An empty document and one of one entity, alone and beside others, at run time and in training."""
    nlp = cell.nlp
    empty, single = nlp.make_doc(""), nlp.make_doc("Mara lives in Skarne.")
    set_clusters(single, [[(0, 1)]], ["PER"])
    for docs in ([empty.copy()], [single.copy()], [empty.copy(), single.copy()]):
        assert [doc._.relations for doc in nlp.pipe(docs)] == [()] * len(docs)
    (full, *_) = cell.docs()
    wanted = view(nlp(full.copy()))
    assert view(list(nlp.pipe([empty.copy(), full, single.copy()]))[1]) == pytest.approx(wanted)
    examples = read(nlp, cell.path)[:1]
    for doc in (empty, single):
        gold = doc.copy()
        gold._.relations = []
        examples.append(Example(doc, gold))
    losses = [nlp.update(batch, sgd=False)["docre_relations"] for batch in (examples, examples[1:])]
    assert numpy.isfinite(losses[0]) and losses[1] == 0.0


@pytest.mark.parametrize("value", [False, True])
def test_no_and_all_relations_can_be_learned(cell, value):
    examples = read(cell.nlp, cell.path)
    batch, (gold, doc) = cell.pipe.make_training_batch(examples)
    scores = cell.pipe.model.predict((cell.encode([eg.predicted for eg in examples]), batch))
    logits = scores["logits"].requires_grad_()
    loss = cell.pipe.model.attrs["loss"](scores, numpy.full_like(gold, value), doc)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert torch.isfinite(loss) and torch.isfinite(gradient).all() and gradient.abs().max() > 0


def find_relations(cell: Cell) -> List[Any]:
    return [relation for doc in cell.nlp.pipe(cell.docs()) for relation in doc._.relations]


def test_evidence_adds_up(cell):
    """Every head of this package explains its relations; the weights are shares of a relation's mention pairs."""
    if not isinstance(cell.module, Explains):
        assert type(cell.module).__name__ == "MeanHead" and not any(r.evidence for r in find_relations(cell))
        return
    cell.pipe.cfg["evidence_mass"] = 1.0
    relations = find_relations(cell)
    cell.pipe.cfg["evidence_mass"] = 0.8
    assert relations
    for relation in relations:
        assert sum(e.weight for e in relation.evidence) == pytest.approx(1.0, abs=1e-3)
        assert {e.head for e in relation.evidence} <= set(relation.head.mentions)
        assert {e.tail for e in relation.evidence} <= set(relation.tail.mentions)


def test_the_page_shows_a_head_in_about_40_lines():
    head = read_blocks("python")[0]
    assert len([line for line in head.splitlines() if line.strip()]) <= 42


def test_the_pages_heads_import_from_one_place():
    found = re.findall(r"^from (spacy_docre\S*) import", "\n".join(read_blocks("python")), flags=re.MULTILINE)
    assert found == ["spacy_docre.heads"]
