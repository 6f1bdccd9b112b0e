"""Fixtures shared by all rooms. No test downloads anything; encoders are small and randomly initialised."""

import os

# Before torch and transformers are imported: tiny tensors gain nothing from threads, and no test may reach out.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["HF_HUB_OFFLINE"] = "1"

import json
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest
import spacy
from hypothesis import settings
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from thinc.api import Config, fix_random_seed

from spacy_docre.doc.records import get_relation_data
from spacy_docre.readers.jsonl import read_jsonl

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = sorted((ROOT / "assets").glob("sample_*.jsonl"))

# Examples are the same in every run: what fails once fails again.
settings.register_profile("docre", deadline=None, max_examples=50, derandomize=True)
settings.load_profile("docre")


def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked:
        import torch

        if not torch.cuda.is_available():
            for item in marked:
                item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    """Layers are initialised alike in every run, in whatever order the tests come."""
    spacy.util.fix_random_seed(0)


@pytest.fixture(scope="session")
def sample_text() -> str:
    """Text of the sample corpus."""
    return "\n".join(doc.text for path in SAMPLES for doc in read_jsonl(path))


@pytest.fixture(scope="session")
def make_encoder(sample_text: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Save a tiny, randomly initialised encoder and its fast tokenizer; returns the folder.

    model_type (str): Family, as transformers calls it.
    options: Settings of its config, beyond width 32, 2 layers, 2 heads, 64 positions.
    """
    from tiny_encoders import save_encoder

    built: Dict[Any, str] = {}

    def make(model_type: str = "bert", **options: Any) -> str:
        key = (model_type, *sorted(options.items()))
        if key not in built:
            built[key] = str(tmp_path_factory.mktemp("encoder") / model_type)
            save_encoder(built[key], model_type, sample_text, options)
        return built[key]

    return make


@pytest.fixture(scope="session")
def tiny_encoder(make_encoder: Callable[..., str]) -> str:
    """Folder of a BERT with width 32, 2 layers, 2 heads, 64 positions."""
    return make_encoder("bert")


@pytest.fixture
def sample_docs() -> List[Doc]:
    """Gold documents of assets/sample_train.jsonl, made anew for each test."""
    nlp = spacy.blank("en")
    return list(read_jsonl(ROOT / "assets" / "sample_train.jsonl", nlp=nlp))


@pytest.fixture(scope="session")
def sample_corpus(tmp_path_factory: pytest.TempPathFactory) -> Dict[str, str]:
    """Values of [paths] for the sample corpus: train and dev as .spacy files, relation_labels."""
    folder = tmp_path_factory.mktemp("corpus")
    paths = {name: str(folder / f"{name}.spacy") for name in ("train", "dev")}
    labels: Dict[str, str] = {}
    for name, path in paths.items():
        docs = list(read_jsonl(ROOT / "assets" / f"sample_{name}.jsonl"))
        DocBin(store_user_data=True, docs=docs).to_disk(path)
        labels.update({r["label"]: r["kb_id"] for doc in docs for r in get_relation_data(doc) or ()})
    paths["relation_labels"] = str(folder / "relation_labels.json")
    Path(paths["relation_labels"]).write_text(json.dumps(dict(sorted(labels.items()))), encoding="utf8")
    return paths


@pytest.fixture(scope="session")
def tiny_settings(tiny_encoder: str, sample_corpus: Dict[str, str]) -> Config:
    """configs/base.cfg on the tiny encoder and the sample corpus, without dropout."""
    config = Config().from_disk(ROOT / "configs" / "base.cfg", interpolate=False)
    config["vars"]["encoder"] = tiny_encoder
    config["paths"].update(sample_corpus)
    for name in config["nlp"]["pipeline"]:
        if "model" in config["components"][name]:
            model = config["components"][name]["model"]
            part = model["head"] if "head" in model else model
            part["dropout"] = 0.0
            if "block_size" in part:
                part["block_size"] = 16
    return config


@pytest.fixture
def tiny_config(tiny_settings: Config) -> Config:
    """The config of tiny_settings, to be changed."""
    return tiny_settings.copy()


@pytest.fixture(scope="session")
def tiny_model(tiny_settings: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the pipeline of tiny_nlp, for tests that do not change it."""
    from spacy.training.initialize import init_nlp

    spacy.util.fix_random_seed(0)
    folder = tmp_path_factory.mktemp("tiny") / "model"
    init_nlp(tiny_settings).to_disk(folder)
    return folder


@pytest.fixture
def tiny_nlp(tiny_config: Config) -> Language:
    """The pipeline of tiny_config, initialised on the sample corpus."""
    from spacy.training.initialize import init_nlp

    return init_nlp(tiny_config)


@pytest.fixture
def make_nlp(tiny_config: Config) -> Callable[..., Language]:
    """Build and initialise the pipeline of configs/base.cfg with a tiny encoder; arguments override the config."""

    from spacy.training.initialize import init_nlp

    def make(**overrides: Any) -> Language:
        fix_random_seed(0)
        dotted = {key.replace("__", "."): value for key, value in overrides.items()}
        config = tiny_config.copy()
        for path, value in dotted.items():
            section = config
            *parents, last = path.split(".")
            for parent in parents:
                section = section[parent]
            section[last] = value
        return init_nlp(config)

    return make
