"""Heads that are trained by expectation maximisation: what a phase changes, who leads through them, what is saved."""

import json
from typing import Any, Dict, List

import pytest
import spacy
import srsly
import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.training.loop import train_while_improving
from spacy.util import registry
from thinc.api import Adam, fix_random_seed

from spacy_docre.models.torch_model import get_module
from spacy_docre.packed.pipeline import pack_pipeline, unpack_pipeline
from spacy_docre.pipeline.phases import PhasedRelations, Phases
from spacy_docre.readers.corpus import create_docre_corpus
from spacy_docre.training.configs import make_config
from spacy_docre.training.em_schedule import create_em_schedule
from toy import make_doc
from trained import finish

ENCODERS = ["shared", "own", "marked"]
TRANSFORMER, RELATIONS = "docre_transformer", "docre_relations"


def mark(model: Dict[str, Any]) -> Dict[str, Any]:
    return {"@architectures": "spacy-docre.MarkedTransformer.v1", "marker": ".", "encoder": model}


@pytest.fixture
def make_kmgre(tiny_encoder, sample_corpus):
    """Build a pipeline with the KMGRE head; overrides are settings of the head.

    encoder (str): "shared": the classifier reads the shared encoder; "own": one of its own; "marked": it and the
        extractor have marked encoders of their own.
    others (Sequence[str]): Further components.
    """

    def make(encoder: str = "shared", others: Any = (), **settings: Any) -> Language:
        fix_random_seed(0)
        config = make_config("kmgre", encoder=tiny_encoder)
        model = config["components"][RELATIONS]["model"]
        transformer = config["components"][TRANSFORMER]["model"]
        if encoder == "marked":
            model["tok2vec"] = mark(transformer)
        if encoder != "shared":
            settings["encoder"] = {"own": dict, "marked": mark}[encoder](transformer)
        model["head"].update(settings)
        names = [RELATIONS] if encoder == "marked" and not others else [TRANSFORMER, *others, RELATIONS]
        config["nlp"]["pipeline"] = names
        config["components"] = {name: config["components"][name] for name in names}
        config["paths"].update(sample_corpus)
        config["initialize"]["components"] = {}
        config["training"].update(score_weights={}, annotating_components=[])
        return init_nlp(config)

    return make


def read(nlp: Language, sample_corpus, n: int = 3, given=("sents", "mentions", "clusters", "types")) -> List[Example]:
    return list(create_docre_corpus(sample_corpus["train"], given=list(given))(nlp))[:n]


def step(nlp: Language, examples: List[Example], optimizer: Any) -> float:
    losses: Dict[str, float] = {}
    nlp.update(examples, sgd=False, losses=losses)
    finish(nlp, optimizer)
    return losses[RELATIONS]


def parts(nlp: Language) -> Dict[str, Dict[str, torch.Tensor]]:
    """Copies of all weights: of the two parts of the head, of the encoder that the extractor reads, of the classifier's
    own one."""
    model = nlp.get_pipe(RELATIONS).model

    def weights(module: Any) -> Dict[str, torch.Tensor]:
        return {name: p.detach().clone() for name, p in module.named_parameters()}

    module = nlp.get_pipe(RELATIONS).module
    found = {"extractor": weights(module.extractor), "classifier": weights(module.classifier)}
    first = nlp.get_pipe(TRANSFORMER).model if nlp.has_pipe(TRANSFORMER) else model.layers[0]
    for name, encoder in zip(("encoder", "own encoder"), (first, *model.layers[1:])):
        (found[name],) = (weights(shim._model) for node in encoder.walk() for shim in node.shims)
    return found


def changed(before, after) -> Dict[str, bool]:
    """Which parts changed at all; frozen word embeddings do not."""
    return {name: any(not torch.equal(w, after[name][k]) for k, w in before[name].items()) for name in before}


# What a phase changes


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_phase_changes_what_it_trains_and_no_bit_else(make_kmgre, sample_corpus, encoder):
    """With momentum from the warm-up in the optimizer, and weight decay."""
    nlp = make_kmgre(encoder)
    pipe = nlp.get_pipe(RELATIONS)
    examples = read(nlp, sample_corpus)
    optimizer = Adam(0.001, L2=0.1, L2_is_weight_decay=True, use_averages=False)
    for phase in ("warmup", "E", "M", "E"):
        pipe.enter_phase(phase)
        before = parts(nlp)
        for _ in range(2):
            assert step(nlp, examples, optimizer) > 0
        found = changed(before, parts(nlp))
        assert found["extractor"] == (phase != "E") and found["classifier"] == (phase != "M")
        # A shared encoder learns from whoever reads it and is live.
        assert found["encoder"] == (phase != "E" or encoder == "shared")
        assert encoder == "shared" or found["own encoder"] == (phase != "M")
    assert pipe.phases.to_dict() == {"phase": "E", "warmup": 2, "E": 4, "M": 2}


def test_only_the_live_part_reaches_the_shared_encoder(make_kmgre, sample_corpus):
    """The gradient in the warm-up is the sum of those in the two others: M with all mention pairs is the extractor's
    share of it, E the classifier's."""
    nlp = make_kmgre()
    nlp.get_pipe(TRANSFORMER).module.config.hidden_dropout_prob = 0.0
    for module in nlp.get_pipe(TRANSFORMER).module.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    gradients = []
    for phase in ("warmup", "E", "M"):
        nlp.get_pipe(RELATIONS).enter_phase(phase)
        nlp.update(read(nlp, sample_corpus), sgd=False)
        nlp.get_pipe(TRANSFORMER)._backprop()
        transformer = nlp.get_pipe(TRANSFORMER).module
        grads = [p.grad.flatten() for p in transformer.parameters() if p.grad is not None]
        gradients.append(torch.cat(grads))
        transformer.zero_grad(set_to_none=True)
        nlp.get_pipe(RELATIONS).module.zero_grad(set_to_none=True)
    both, e, m = gradients
    assert e.abs().max() > 0 and m.abs().max() > 0 and torch.allclose(both, e + m, atol=1e-6)


@pytest.mark.parametrize("phase", ["E", "M"])
def test_other_components_go_on_training(make_kmgre, sample_corpus, phase):
    nlp = make_kmgre("own", others=["docre_mentions"])
    nlp.get_pipe(RELATIONS).enter_phase(phase)
    module = nlp.get_pipe("docre_mentions").module
    before = [p.detach().clone() for p in module.parameters()]
    encoder = parts(nlp)["encoder"]
    step(nlp, read(nlp, sample_corpus, given=["sents"]), Adam(0.001))
    assert not any(torch.equal(p, was) for p, was in zip(module.parameters(), before))
    assert changed({"encoder": encoder}, parts(nlp)) == {"encoder": True}


@pytest.mark.parametrize("phase,expected", [("warmup", [True, True]), ("E", [False, True]), ("M", [True, False])])
def test_encoders_that_do_not_learn_run_in_eval_mode(make_kmgre, sample_corpus, phase, expected):
    """Without dropout, and with nothing kept for a backward pass."""
    nlp = make_kmgre("marked")
    nlp.get_pipe(RELATIONS).enter_phase(phase)
    nlp.update(read(nlp, sample_corpus), sgd=False)
    encoders = [get_module(encoder.layers[0]) for encoder in nlp.get_pipe(RELATIONS).model.layers]
    assert [encoder.training for encoder in encoders] == expected
    assert [any(p.grad is not None for p in encoder.parameters()) for encoder in encoders] == expected


# Who leads through the phases


def names(phases: str) -> List[str]:
    return [{"w": "warmup"}.get(letter, letter) for letter in phases]


@pytest.mark.parametrize(
    "warmup,phase,expected", [(2, 1, "wwEMEMEM"), (3, 2, "wwwEEMME"), (0, 3, "EEEMMMEE"), (9, 1, "wwwwwwww")]
)
def test_phases_by_steps(warmup, phase, expected):
    phases, found = Phases(warmup=warmup, phase=phase), []
    for _ in expected:
        found.append(phases.follow_steps())
        phases.steps[found[-1]] += 1
    assert found == names(expected)


@pytest.mark.parametrize(
    "settings,state,expected",
    [
        # Two steps an epoch
        ({}, {}, "wwwwEEMMEE"),
        ({"warmup_epochs": 0}, {}, "EEMMEEMMEE"),
        ({"warmup_epochs": 1, "phase": "epoch"}, {}, "wwEEMMEEMM"),
        ({"warmup_epochs": 1, "phase": 1}, {}, "wwEMEMEMEM"),
        ({"warmup_epochs": 1, "phase": 3}, {}, "wwEEEMMMEE"),
        # A later training does not start with a warm-up, and goes on where the earlier one stood.
        ({"phase": "epoch"}, {"E": 40, "M": 40}, "EEMMEEMMEE"),
        ({"phase": 4}, {"E": 4, "M": 1}, "MMMEEEEMMM"),
    ],
)
def test_phases_by_callback(make_kmgre, settings, state, expected):
    nlp = make_kmgre()
    nlp.rename_pipe(RELATIONS, "my_relations")
    pipe, found = nlp.get_pipe("my_relations"), []
    pipe.phases.steps.update(state)
    lead = create_em_schedule("my_relations", **settings)
    for number in range(len(expected)):
        lead(nlp, {"step": number, "epoch": number // 2})
        found.append(pipe.phases.current)
        pipe.phases.steps[found[-1]] += 1
    assert found == names(expected) and pipe.phases.led


@pytest.mark.parametrize("phase", [0, -1, "epochs"])
def test_lengths_are_checked(phase):
    with pytest.raises(ValueError, match="R206.*phase"):
        create_em_schedule(phase=phase)


def test_heads_without_phases_are_left_alone(make_kmgre, sample_corpus):
    """Switched off, the classifier takes the phases with it, whatever the callback says."""
    nlp = make_kmgre(key_classifier=False)
    create_em_schedule()(nlp, {"step": 0, "epoch": 7})
    assert not isinstance(nlp.get_pipe(RELATIONS), PhasedRelations)
    assert step(nlp, read(nlp, sample_corpus), Adam(0.001)) > 0


def test_a_component_by_itself_counts_its_updates(make_kmgre, sample_corpus, capsys):
    """Those of the optimizer, however many batches each has; the log has a line where a phase begins."""
    nlp = make_kmgre(warmup_steps=2, phase_steps=1)
    examples, optimizer = read(nlp, sample_corpus), Adam(0.001)
    for _ in range(4):
        nlp.update(examples[:1], sgd=False)
        nlp.update(examples[1:], sgd=False)
        finish(nlp, optimizer)
    finish(nlp, optimizer)  # without a batch
    nlp.update(examples, sgd=optimizer)
    assert nlp.get_pipe(RELATIONS).phases.to_dict() == {"phase": "E", "warmup": 2, "E": 2, "M": 1}
    lines = [line for line in capsys.readouterr().out.splitlines() if "phase" in line]
    assert [line.split("phase ")[1][0] for line in lines] == ["E", "M", "E"]
    assert all(RELATIONS in line for line in lines) and "warmup 2, E 0, M 0" in lines[0]


def test_training_with_the_config(make_kmgre, sample_corpus):
    """spaCy's training loop with the callback of configs/kmgre.cfg: one warm-up epoch here, then E and M by epoch, each
    step of two batches."""
    nlp = make_kmgre()
    settings = nlp.config["training"]["before_update"]
    assert settings["@callbacks"] == "spacy-docre.em_schedule.v1" and settings["phase"] == "epoch"
    lead = registry.resolve({"lead": {**settings, "warmup_epochs": 1}})["lead"]
    examples = read(nlp, sample_corpus, 4)
    batches = [(epoch, batch) for epoch in range(4) for batch in (examples[:2], examples[2:])]
    pipe, found = nlp.get_pipe(RELATIONS), []
    loop = train_while_improving(
        nlp,
        Adam(0.001),
        batches,
        lambda: (0.0, {}),
        dropout=0.1,
        eval_frequency=100,
        accumulate_gradient=2,
        patience=0,
        max_steps=0,
        exclude=[],
        annotating_components=[],
        before_update=lead,
    )
    for _ in loop:
        found.append(pipe.phases.current)
    assert found == names("wwEEMMEE")
    assert pipe.phases.to_dict() == {"phase": "E", "warmup": 2, "E": 4, "M": 2}


# What is saved


def score(nlp: Language, docs: List[Doc]) -> Dict[Any, float]:
    pipe: Any = nlp.get_pipe(RELATIONS)
    pipe.cfg.update(threshold=0.0, top_k=100)
    docs = [Doc(nlp.vocab).from_bytes(doc.to_bytes()) for doc in docs]
    return {(i, r.head.id, r.label, r.tail.id): r.score for i, d in enumerate(nlp.pipe(docs)) for r in d._.relations}


COPIES = {
    "disk": lambda nlp, folder: (nlp.to_disk(folder), spacy.load(folder))[1],
    "bytes": lambda nlp, folder: spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes()),
    "packed": lambda nlp, folder: unpack_pipeline(pack_pipeline(nlp)[0], folder),
}


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_saved_and_loaded(make_kmgre, sample_corpus, tmp_path, encoder, way):
    """Both encoders, the phase and tau's step come back; what is packed is rounded."""
    nlp = make_kmgre(encoder)
    pipe = nlp.get_pipe(RELATIONS)
    step(nlp, read(nlp, sample_corpus), Adam(0.001))
    pipe.enter_phase("M")
    pipe.phases.steps["E"] = 3000
    docs = [eg.predicted for eg in read(nlp, sample_corpus)]
    wanted = score(nlp, docs)
    loaded = COPIES[way](nlp, tmp_path / "model")
    again: Any = loaded.get_pipe(RELATIONS)
    assert again.phases.to_dict() == {"phase": "M", "warmup": 1, "E": 3000, "M": 0}

    def difference() -> float:
        found = score(loaded, docs)
        assert found.keys() == wanted.keys() and found
        return sum(abs(found[key] - wanted[key]) for key in found) / len(found)

    assert difference() < (0.002 if way == "packed" else 1e-6)
    assert again.module.tau == pytest.approx(0.5 * (1 - 0.999**3000))
    again.phases.steps["E"] = 0  # then all mention pairs are key pairs
    assert difference() > 0.005


def test_phases_of_version_0_1_lie_in_the_settings(make_kmgre, tmp_path):
    state = {"phase": "M", "warmup": 5, "E": 30, "M": 20}
    nlp = make_kmgre()
    nlp.to_disk(tmp_path / "new")
    folder = tmp_path / "new" / RELATIONS
    (folder / "phases").unlink()
    srsly.write_json(folder / "cfg", {**srsly.read_json(folder / "cfg"), "em": state})
    pipe = spacy.load(tmp_path / "new").get_pipe(RELATIONS)
    assert pipe.phases.to_dict() == state and "em" not in pipe.cfg
    data = srsly.msgpack_loads(pipe.to_bytes())
    data["cfg"] = srsly.json_dumps({**pipe.cfg, "em": {**state, "M": 21}})
    del data["phases"]
    pipe.from_bytes(srsly.msgpack_dumps(data))
    assert pipe.phases.to_dict() == {**state, "M": 21} and "em" not in pipe.cfg
    members, _ = pack_pipeline(nlp)
    (member,) = [name for name in members if name.endswith(f"{RELATIONS}/cfg.json")]
    members[member] = json.dumps({**json.loads(members[member]), "em": state}).encode()
    del members[member.replace("cfg.json", "phases.json")]
    pipe = unpack_pipeline(members, tmp_path).get_pipe(RELATIONS)
    assert pipe.phases.to_dict() == state and "em" not in pipe.cfg


def test_the_shared_encoder_can_be_taken_over(make_kmgre, sample_corpus):
    """replace_listeners concerns the relation model's encoder, not the classifier's own."""
    nlp = make_kmgre("own")
    docs = [eg.predicted for eg in read(nlp, sample_corpus)]
    wanted = score(nlp, docs)
    second = nlp.get_pipe(RELATIONS).model.layers[1]
    nlp.replace_listeners(TRANSFORMER, RELATIONS, ["model.tok2vec"])
    model = nlp.get_pipe(RELATIONS).model
    assert model.layers[1] is second and model.layers[0].name == "docre-transformer"
    nlp.remove_pipe(TRANSFORMER)
    assert score(nlp, docs) == pytest.approx(wanted)
    before = parts(nlp)
    nlp.get_pipe(RELATIONS).enter_phase("E")
    step(nlp, read(nlp, sample_corpus), Adam(0.001))
    found = changed(before, parts(nlp))
    assert found == {"extractor": False, "classifier": True, "encoder": False, "own encoder": True}


def test_a_document_without_entities(make_kmgre):
    nlp = make_kmgre("own")
    assert nlp(make_doc(entities=[], relations=None, vocab=nlp.vocab))._.relations == ()
