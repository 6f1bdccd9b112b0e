"""All commands do the same whatever places a pipeline or a corpus keeps its layers at."""

import json
import re
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin
from spacy.training.initialize import init_nlp
from thinc.api import Adam
from typer.testing import CliRunner

from spacy_docre.cli import app
from spacy_docre.doc.copying import move_layers
from spacy_docre.doc.places import DEFAULT, Places
from spacy_docre.pipeline.naming import rename_components
from spacy_docre.readers.corpus import DocreCorpus
from spacy_docre.scoring.evaluation import read_known
from spacy_docre.writers.jsonl import doc_to_record
from toy import make_doc, read_docs, write_docs

PREFIX = "press"
PRESS = DEFAULT.prefixed(PREFIX)
NAMES = "mentions=press_mentions,clusters=press_coref_clusters,relations=press_relations,entities=press_entities"
N_STEPS = 80
TEXT = "Ada Berg met Ole Dahl in Oslo. Berg works for Norlys."

# What is run, the file that it writes, and whether --places says where the corpora that it reads or writes keep things.
COMMANDS = {
    "evaluate": ("evaluate MODEL CORPUS --tasks --per-type --facts TRAIN --json OUT.json", True),
    "evaluate-given": ("evaluate MODEL CORPUS --given mentions,clusters --json OUT.json", True),
    "tune": ("tune MODEL CORPUS --given mentions --output OUT", True),
    "tune-given": ("tune MODEL CORPUS --given mentions,clusters,types --calibrate", True),
    "extract-jsonl": ("extract TEXTS OUT.jsonl --model MODEL", False),
    "extract-csv": ("extract TEXTS OUT.csv --model MODEL", False),
    "annotate": ("annotate ENTITIES OUT.spacy --model MODEL --min-score 0.1", True),
    "annotate-jsonl": ("annotate ENTITIES OUT.jsonl --model MODEL --min-score 0.1", True),
    "show-text": ("show TEXTS OUT.html --model MODEL", False),
    "show-corpus": ("show CORPUS OUT.html --model MODEL", True),
    "show-heatmap": ("show CORPUS OUT.html --model MODEL --heatmap", True),
    "demo": ("demo --model MODEL", False),
    "stats": ("stats CORPUS --against TRAIN --json OUT.json", True),
    "noise": ("noise CORPUS OUT.spacy", True),
    "relabel": ("relabel CORPUS TRAIN,CORPUS OUT.spacy", True),
    "convert": ("convert jsonl LINES OUT.spacy", True),
}


@pytest.fixture(scope="module")
def files(tiny_settings, sample_corpus, tmp_path_factory):
    """Models and corpora at the usual places ("") and at those of a prefix. The model's head weighs mentions."""
    folder = tmp_path_factory.mktemp("places")
    config = tiny_settings.copy()
    head = {"@architectures": "spacy-docre.RsmanHead.v1", "reduced_width": 8, "prototype_width": 8}
    config["components"]["docre_relations"]["model"]["head"] = head
    head["loss"] = {"@losses": "spacy-docre.AdaptiveThreshold.v1"}
    spacy.util.fix_random_seed(0)
    nlp = init_nlp(config)
    examples, optimizer = list(DocreCorpus(sample_corpus["dev"], limit=4)(nlp)), Adam(0.003)
    for _ in range(N_STEPS):
        nlp.update(examples, sgd=optimizer)
    nlp.to_disk(folder / "model")
    rename_components(nlp, PREFIX)
    nlp.to_disk(folder / "model-press")
    corpora = {name: read_docs(sample_corpus[name])[:5] for name in ("train", "dev")}
    corpora["entities"] = [make_doc(relations=None), make_doc()]
    for name, docs in corpora.items():
        write_docs(folder / f"{name}.spacy", *docs)
        write_docs(folder / f"{name}-press.spacy", *(move_layers(doc, DEFAULT, PRESS) for doc in docs))
    (folder / "texts.txt").write_text(examples[0].reference.text, encoding="utf8")
    line = {"text": TEXT, "entities": [{"label": "PER", "mentions": [[0, 8], [31, 35]]}, {"mentions": [[25, 29]]}]}
    (folder / "lines.jsonl").write_text(json.dumps({**line, "relations": [{"head": 0, "label": "a", "tail": 1}]}))
    return folder


def run(files: Path, folder: Path, command: str, model: str, corpus: str, places: str):
    """RETURNS (Tuple[str, Dict[str, Any]]): What is printed, and what is written."""
    folder.mkdir()
    words = {
        "MODEL": files / f"model{model}",
        "CORPUS": files / f"dev{corpus}.spacy",
        "TRAIN": files / f"train{corpus}.spacy",
        "TRAIN,CORPUS": f"{files}/train{corpus}.spacy,{files}/dev{corpus}.spacy",
        "ENTITIES": files / f"entities{corpus}.spacy",
        "TEXTS": files / "texts.txt",
        "LINES": files / "lines.jsonl",
    }
    args = [str(words.get(word, word.replace("OUT", f"{folder}/out"))) for word in command.split()]
    done = CliRunner().invoke(app, [*args, *(["--places", places] if places else [])])
    assert done.exit_code == 0, done.output
    written = {path.name: read(path, Places.parse(places)) for path in folder.iterdir()}
    names = {f"{name}{end}": name for name, end in (("model", model), ("dev", corpus), ("train", corpus)) if end}
    return clean(done.stdout, folder, names), written


def clean(text, folder, names):
    """What is printed, without paths, speeds and the width of columns."""
    text = re.sub(r"words/s.*|\b\d[\d,.]* words.*", "", text.replace(str(folder), ""))
    for long, short in names.items():
        text = text.replace(long, short)
    return [re.sub(r"-+", "-", " ".join(line.split())) for line in text.splitlines() if "Speed" not in line]


def read(path, places):
    if path.suffix == ".spacy":
        nothing = Places("no", "no", "no", "no")
        docs = list(DocBin().from_disk(path).get_docs(spacy.blank("en").vocab))
        others = [doc_to_record(doc, DEFAULT if places != DEFAULT else nothing) for doc in docs]
        assert all("relations" not in record and "entities" not in record for record in others)
        return [doc_to_record(doc, places) for doc in docs]
    if path.suffix == ".json":
        return {key: value for key, value in json.loads(path.read_text("utf8")).items() if key != "speed"}
    if path.suffix == ".origin":
        return None  # names the model
    if path.is_dir():
        nlp = spacy.load(path)
        return [pipe.cfg.get("threshold") for _, pipe in nlp.pipeline if hasattr(pipe, "cfg")]
    return path.read_text("utf8")


@pytest.fixture(scope="module")
def expected(files, tmp_path_factory):
    """What each command does with the usual places."""
    found = {}

    def once(name):
        if name not in found:
            found[name] = run(files, tmp_path_factory.mktemp(name) / "usual", COMMANDS[name][0], "", "", "")
        return found[name]

    return once


def test_there_is_something_to_compare(expected):
    scores = expected("evaluate")[1]["out.json"]
    assert 0 < scores["relations_f"] < scores["tasks"]["relations"]["relations_f"] < 1
    assert scores["relations_ign_f"] is not None
    for name, file in (("extract-jsonl", "out.jsonl"), ("annotate-jsonl", "out.jsonl")):
        records = [json.loads(line) for line in expected(name)[1][file].splitlines()]
        assert any(relation["score"] < 1 for record in records for relation in record["relations"])
    assert "<caption>" in expected("show-heatmap")[1]["out.html"]
    assert 'data-relation="' in expected("show-text")[1]["out.html"]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_renamed_pipeline_does_the_same(files, expected, tmp_path, name):
    printed, written = run(files, tmp_path / "run", COMMANDS[name][0], "-press", "", "")
    assert (printed, written) == expected(name)


@pytest.mark.parametrize("model", ["", "-press"])
@pytest.mark.parametrize("name", [name for name, (_, reads_places) in COMMANDS.items() if reads_places])
def test_a_renamed_corpus_is_the_same(files, expected, tmp_path, name, model):
    printed, written = run(files, tmp_path / "run", COMMANDS[name][0], model, "-press", PREFIX)
    assert (printed, written) == expected(name)


def test_extract_takes_what_lies_at_the_places(files, expected, tmp_path):
    command = COMMANDS["extract-jsonl"][0]
    assert run(files, tmp_path / "run", command, "-press", "", PREFIX) == expected("extract-jsonl")
    args = [str(files / "texts.txt"), str(tmp_path / "out.jsonl"), "--model", str(files / "model-press")]
    wrong = CliRunner().invoke(app, ["extract", *args, "--places", "mentions=mentions"])
    assert wrong.exit_code == 1 and "R179" in wrong.stderr and "press_relations" in wrong.stderr


@pytest.mark.parametrize("layer", ["mentions", "clusters", "relations"])
def test_places_that_differ_in_one_name(files, tmp_path, layer):
    """What is converted is all there, for commands and readers that name the same places."""
    out, places = tmp_path / "out.spacy", f"{layer}=other"
    done = CliRunner().invoke(app, ["convert", "jsonl", str(files / "lines.jsonl"), str(out), "--places", places])
    assert done.exit_code == 0, done.output
    counts = []
    for corpus in (out, files / "lines.jsonl"):
        args = [str(corpus), "--places", places, "--json", str(tmp_path / "stats.json")]
        assert CliRunner().invoke(app, ["stats", *args]).exit_code == 0
        counts.append(json.loads((tmp_path / "stats.json").read_text()))
    assert counts[0] == counts[1]
    assert [counts[0][key] for key in ("entities", "mentions", "facts")] == [2, 3, 1]


def test_facts_at_the_models_own_places(files, tmp_path):
    """Training data beside a renamed model may have the usual names or the model's."""
    nlp = spacy.load(files / "model-press")
    usual = read_known(nlp, [str(files / "train.spacy")])
    assert usual["facts"] and usual == read_known(nlp, [str(files / "train-press.spacy")])


def test_resume_with_other_places(files, tmp_path):
    args = ["extract", str(files / "texts.txt"), str(tmp_path / "out.jsonl"), "--model", str(files / "model-press")]
    assert CliRunner().invoke(app, args).exit_code == 0
    assert "Nothing to resume" in CliRunner().invoke(app, [*args, "--resume"]).stderr
    other = CliRunner().invoke(app, [*args, "--resume", "--places", PREFIX])
    assert other.exit_code == 1 and "R174" in other.stderr and "--places" in other.stderr


def test_a_prefix_or_names(files, tmp_path):
    found = [run(files, tmp_path / name, "stats CORPUS", "", "-press", name) for name in (PREFIX, NAMES)]
    assert found[0] == found[1]
    wrong = CliRunner().invoke(app, ["stats", str(files / "dev.spacy"), "--places", "entity=x"])
    assert wrong.exit_code == 1 and "R108" in wrong.stderr and wrong.stderr.count("\n") == 1
