"""Fixtures shared by all rooms. No test downloads anything; encoders are small and randomly initialised."""

import os

# Before torch and transformers are imported: tiny tensors gain nothing from threads, and no test may reach out.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["HF_HUB_OFFLINE"] = "1"

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest
import spacy
from hypothesis import settings
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from thinc.api import Config

from spacy_docre.attributes import get_relation_data
from spacy_docre.readers.jsonl import read_jsonl

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = sorted((ROOT / "assets").glob("sample_*.jsonl"))
SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}

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
    built: Dict[Any, str] = {}

    def make(model_type: str = "bert", **options: Any) -> str:
        key = (model_type, *sorted(options.items()))
        if key not in built:
            built[key] = str(tmp_path_factory.mktemp("encoder") / model_type)
            save_encoder(built[key], model_type, sample_text, options)
        return built[key]

    return make


def save_encoder(folder: str, model_type: str, text: str, options: Dict[str, Any]) -> None:
    import torch
    from transformers import AutoModel, BertTokenizerFast
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    # Padding is piece 1, as RoBERTa has it, whose position embeddings start behind it.
    characters = sorted(set(text.lower()) - set(" \n"))
    words = [word for word, n in Counter(re.findall(r"\w+", text.lower())).most_common(300) if len(word) > 1]
    pieces = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", *characters, *(f"##{c}" for c in characters), *words]
    os.makedirs(folder)
    vocab_file = Path(folder) / "vocab.txt"
    vocab_file.write_text("\n".join(pieces), encoding="utf8")
    tokenizer = BertTokenizerFast(vocab_file=str(vocab_file), do_lower_case=True, mask_token="[MASK]", **SPECIAL)
    names = {
        "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48},
        "default": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48},
    }
    sizes = {"vocab_size": len(pieces), "max_position_embeddings": 64, "pad_token_id": 1}
    sizes.update(names.get(model_type, names["default"]), **options)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModel.from_config(CONFIG_MAPPING[model_type](**sizes))
        for name, parameter in model.named_parameters():
            # Rows of fresh encoders are all but uniform, and biases 0: too tame to show a mistake.
            if "norm" not in name.lower():
                torch.nn.init.normal_(parameter, std=0.2)
    model.eval().save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    vocab_file.unlink(missing_ok=True)


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


@pytest.fixture
def tiny_config(tiny_encoder: str, sample_corpus: Dict[str, str]) -> Config:
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
def tiny_nlp(tiny_config: Config) -> Language:
    """The pipeline of tiny_config, initialised on the sample corpus."""
    from spacy.training.initialize import init_nlp

    return init_nlp(tiny_config)
