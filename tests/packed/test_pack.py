"""Packing: the unpacked pipeline equals the packed one within 8 bits, and invalid files are refused."""

import io
import json
import pickletools
import zipfile

import pytest
import spacy
import torch
from spacy.training import Example
from typer.testing import CliRunner

from spacy_docre.cli import app
from spacy_docre.doc.layers import set_clusters, set_mentions
from spacy_docre.packed import pack_pipeline, read_archive, unpack_pipeline, write_archive
from spacy_docre.packed.quantize import pack_state, quantize, relative_error, unpack_state

TEXT = "Ada Berg lives in Oslo. Berg works for Norlys."


@pytest.fixture(scope="module")
def encoder(make_encoder):
    return make_encoder("bert", hidden_size=64)


@pytest.fixture(scope="module")
def nlp(encoder):
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer", config={"punct_chars": [".", "!"]})
    model = {"@architectures": "spacy-docre.TransformerModel.v1", "name": encoder}
    nlp.add_pipe("docre_transformer", config={"model": model})
    for name in ("docre_mentions", "docre_clusters", "docre_types", "docre_relations"):
        nlp.add_pipe(name)
    nlp.get_pipe("docre_mentions").cfg["threshold"] = 0.25
    nlp.tokenizer.add_special_case("Norlys.", [{"ORTH": "Norlys"}, {"ORTH": ".", "NORM": "!"}])
    doc = nlp.make_doc(TEXT)
    set_mentions(doc, [(0, 2), (4, 5), (6, 7), (9, 10)])
    set_clusters(doc, [[(0, 2), (6, 7)], [(4, 5)], [(9, 10)]], ["PER", "LOC", "/location/ORG"])
    doc._.relations = [(0, "residence", 1), (0, "/people/employer", 2)]
    torch.manual_seed(0)
    nlp.initialize(lambda: [Example(nlp.make_doc(TEXT), doc)])
    return nlp


@pytest.fixture(scope="module")
def packed(nlp, tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / "en_docre.zip"
    write_archive(path, pack_pipeline(nlp)[0])
    return path


def weights(nlp):
    for name, component in nlp.pipeline:
        for node in getattr(getattr(component, "model", None), "walk", list)():
            for shim in node.shims:
                for key, tensor in shim._model.state_dict().items():
                    yield f"{name}:{key}", tensor


def changed(path, tmp_path, **members):
    """Write the archive again with other members; None leaves one out."""
    known = read_archive(path)
    known.update({name.replace("__", "/"): data for name, data in members.items()})
    out = tmp_path / "changed.zip"
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in known.items():
            if data is not None:
                archive.writestr(name, data)
    return out


def test_round_trip(nlp, packed, tmp_path):
    unpack_pipeline(read_archive(packed), packed).to_disk(tmp_path / "en_docre")
    loaded = spacy.load(tmp_path / "en_docre")
    assert loaded.pipe_names == nlp.pipe_names
    assert (loaded.meta["lang"], loaded.meta["name"]) == ("en", "docre")
    assert loaded.get_pipe("sentencizer").punct_chars == {".", "!"}
    for name in ("docre_mentions", "docre_clusters", "docre_types", "docre_relations"):
        assert loaded.get_pipe(name).cfg == nlp.get_pipe(name).cfg
    assert [(t.text, t.norm_) for t in loaded.make_doc(TEXT)] == [(t.text, t.norm_) for t in nlp.make_doc(TEXT)]
    old, new = dict(weights(nlp)), dict(weights(loaded))
    assert old.keys() == new.keys() and len(old) > 40
    for key, tensor in old.items():
        assert new[key].dtype == tensor.dtype
        torch.testing.assert_close(new[key], tensor, rtol=0, atol=float(tensor.abs().max()) / 127)


def test_relations_have_the_same_structure(nlp, packed, tmp_path):
    loaded = unpack_pipeline(read_archive(packed), packed)
    for pipeline in (nlp, loaded):
        pipeline.get_pipe("docre_relations").cfg["threshold"] = 0.0
    try:
        for text in (TEXT, "", "Oslo."):
            old, new = nlp(text), loaded(text)
            assert [list(map(str, e.mentions)) for e in old._.entities] == [
                list(map(str, e.mentions)) for e in new._.entities
            ]
            triples = [{(r.head.id, r.label, r.tail.id): r.score for r in doc._.relations} for doc in (old, new)]
            assert triples[1] == pytest.approx(triples[0], abs=0.05)
    finally:
        nlp.get_pipe("docre_relations").cfg["threshold"] = 0.5


def test_no_pickle_no_paths(packed, encoder):
    members = read_archive(packed)
    assert {name.rsplit(".")[-1] for name in members} == {"json", "cfg", "txt", "safetensors"}
    for name, data in members.items():
        assert encoder.encode() not in data, name
        assert b"/tmp/" not in data, name
        with pytest.raises((ValueError, KeyError)):  # a file that begins like a pickle or torch.save would be read
            list(pickletools.genops(io.BytesIO(data)))


def test_same_pipeline_same_file(nlp, packed, tmp_path):
    write_archive(tmp_path / "again.zip", pack_pipeline(nlp)[0])
    assert (tmp_path / "again.zip").read_bytes() == packed.read_bytes()


def test_commands(nlp, tmp_path):
    nlp.to_disk(tmp_path / "model")
    run = CliRunner().invoke
    done = run(app, ["pack", str(tmp_path / "model"), str(tmp_path / "x.zip")])
    assert done.exit_code == 0 and "docre_relations" in done.output and " MB" in done.output
    arguments = ["unpack", str(tmp_path / "x.zip"), str(tmp_path / "new" / "out")]
    assert run(app, arguments).exit_code == 0
    again = run(app, arguments)
    assert again.exit_code == 1 and "R150" in again.output
    assert run(app, [*arguments, "--force"]).exit_code == 0
    spacy.load(tmp_path / "new" / "out")
    missing = run(app, ["unpack", str(tmp_path / "none.zip"), str(tmp_path / "out2")])
    assert missing.exit_code == 1 and "R159" in missing.output and not (tmp_path / "out2").exists()


def test_card_and_scores(nlp, tmp_path):
    """Unpacking returns both; a file that is not a card or not scores is refused before anything is written."""
    nlp.to_disk(tmp_path / "model")
    (tmp_path / "card.json").write_text('{"description": "Finds relations.", "license": "MIT", "notes": "| F1 |"}')
    (tmp_path / "scores.json").write_text('{"relations_f": 0.25, "tasks": {"types": {"types_f": 0.5}}}')
    (tmp_path / "other.json").write_text('{"licence": "MIT"}')
    (tmp_path / "list.json").write_text("[1]")
    arguments = ["pack", str(tmp_path / "model"), str(tmp_path / "x.zip")]
    for option, name, code in (("--card", "other", "R168"), ("--card", "list", "R167"), ("--scores", "list", "R167")):
        refused = CliRunner().invoke(app, [*arguments, option, str(tmp_path / f"{name}.json")])
        assert refused.exit_code == 1 and code in refused.output and not (tmp_path / "x.zip").exists()
    files = ["--card", str(tmp_path / "card.json"), "--scores", str(tmp_path / "scores.json")]
    assert CliRunner().invoke(app, [*arguments, *files]).exit_code == 0
    meta = unpack_pipeline(read_archive(tmp_path / "x.zip"), tmp_path / "x.zip").meta
    assert (meta["description"], meta["license"], meta["notes"]) == ("Finds relations.", "MIT", "| F1 |")
    assert meta["performance"] == {"relations_f": 0.25, "tasks": {"types": {"types_f": 0.5}}}


def test_force_replaces_pipelines_only(packed, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    done = CliRunner().invoke(app, ["unpack", str(packed), str(tmp_path), "--force"])
    assert done.exit_code == 1 and "R150" in done.output
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.parametrize(
    "name", ["../evil.json", "/etc/evil.json", "a/../../evil.json", "a\\..\\evil.json", "evil.py", "x.pkl"]
)
def test_strange_names_are_refused(packed, tmp_path, name):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        for known, data in read_archive(packed).items():
            archive.writestr(known, data)
        info = zipfile.ZipInfo("x")
        info.filename = name  # as a hostile writer would
        archive.writestr(info, b"{}")
    with pytest.raises(ValueError, match="R152"):
        read_archive(tmp_path / "evil.zip")
    with pytest.raises(ValueError, match="R152"):
        write_archive(tmp_path / "own.zip", {name: b"{}"})


@pytest.mark.parametrize("cut", [10, 1000, -2000])
def test_damaged_files_are_refused(packed, tmp_path, cut):
    (tmp_path / "cut.zip").write_bytes(packed.read_bytes()[:cut])
    with pytest.raises(ValueError, match="R159"):
        read_archive(tmp_path / "cut.zip")


def test_flipped_byte_is_noticed(packed, tmp_path):
    data = bytearray(packed.read_bytes())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "flipped.zip").write_bytes(data)
    with pytest.raises(ValueError, match="R159"):
        read_archive(tmp_path / "flipped.zip")


TRANSFORMER = "components/docre_transformer/0-0"


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"manifest.json": None}, "R159"),
        ({"manifest.json": b"[]"}, "R159"),
        ({"manifest.json": b"{"}, "R159"),
        ({"manifest.json": b'{"format": "spacy_docre.packed", "format_version": 99, "components": {}}'}, "R153"),
        ({"config.cfg": None}, "R159"),
        ({"meta.json": b'{"lang": "en", "name": "../x", "version": "0"}'}, "R159"),
        ({"components/docre_types/0-0.safetensors": None}, "R159"),
        ({"components/docre_types/0-0.safetensors": b"no tensors"}, "R159"),
        ({f"{TRANSFORMER}/tokenizer/tokenizer_config.json": b'{"auto_map": {"AutoTokenizer": ["x.X", null]}}'}, "R152"),
    ],
)
def test_foreign_contents_are_refused(packed, tmp_path, members, code):
    path = changed(packed, tmp_path, **members)
    with pytest.raises(ValueError, match=code):
        unpack_pipeline(read_archive(path), path)


@pytest.mark.parametrize("name", ["../x", "/x"])
def test_component_named_like_a_path_is_refused(packed, tmp_path, name):
    config = read_archive(packed)["config.cfg"].decode()
    config = config.replace("[components.sentencizer", f"[components.{name}").replace('"sentencizer"', f'"{name}"', 1)
    path = changed(packed, tmp_path, **{"config.cfg": config.encode()})
    with pytest.raises(ValueError):
        unpack_pipeline(read_archive(path), path)


def test_other_shapes_are_refused(packed, tmp_path):
    members = read_archive(packed)
    manifest = json.loads(members["manifest.json"])
    manifest["components"]["docre_types"]["shims"]["0-0"]["sizes"]["n_out"] = 7
    path = changed(packed, tmp_path, **{"manifest.json": json.dumps(manifest).encode()})
    with pytest.raises(ValueError, match="R154"):
        unpack_pipeline(read_archive(path), path)


def test_requirements_do_not_pass(packed, tmp_path):
    meta = json.loads(read_archive(packed)["meta.json"])
    meta["requirements"] = ["evil-package"]
    path = changed(packed, tmp_path, **{"meta.json": json.dumps(meta).encode()})
    assert not unpack_pipeline(read_archive(path), path).meta.get("requirements")


def test_what_cannot_be_packed_says_so():
    nlp = spacy.blank("en")
    nlp.add_pipe("docre_transformer")
    with pytest.raises(ValueError, match="R151.*not trained"):
        pack_pipeline(nlp)
    nlp = spacy.blank("en")
    nlp.add_pipe("tagger").add_label("NN")
    with pytest.raises(ValueError, match="R151"):
        pack_pipeline(nlp)


@pytest.mark.parametrize("axis", [0, 1])
def test_rows_lie_along_the_better_axis(axis):
    torch.manual_seed(0)
    tensor = torch.randn(64, 64) * torch.logspace(-3, 3, 64).unsqueeze(1 - axis)
    integers, scale = quantize(tensor)
    assert integers.dtype == torch.int8 and scale.shape[1 - axis] == 1 and scale.shape[axis] == 64
    assert float((integers * scale - tensor).abs().div(scale).max()) <= 0.5 + 1e-5


def test_any_rank_and_kind():
    state = {
        "scalar": torch.tensor(3.0),
        "vector": torch.randn(5000),
        "zeros": torch.zeros(64, 64),
        "half": torch.randn(64, 64).half(),
        "conv": torch.randn(16, 8, 3, 9),
        "ids": torch.arange(5000).view(50, 100),
        "flags": torch.ones(3, dtype=torch.bool),
    }
    restored = unpack_state(pack_state(state))
    assert {k: v.shape for k, v in restored.items()} == {k: v.shape for k, v in state.items()}
    assert relative_error(state, restored) < 0.02
    assert torch.equal(restored["ids"], state["ids"]) and torch.equal(restored["vector"], state["vector"])
    assert torch.equal(restored["zeros"], state["zeros"])
