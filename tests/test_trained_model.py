"""The real encoder and the trained model of this repository, assets/en_docre.zip, component by component."""

from pathlib import Path

import pytest
import torch
from spacy.language import Language
from spacy.training import Example
from thinc.api import Adam
from transformers import AutoModel

from spacy_docre.models.transformer.model import get_shim
from spacy_docre.packed import read_archive, unpack_pipeline
from toy import attention_rows

PACKED = Path(__file__).parents[1] / "assets" / "en_docre.zip"
COMPONENTS = ["docre_transformer", "docre_mentions", "docre_clusters", "docre_types", "docre_relations"]
TEXT = (
    "Helena Varga (born 14 March 1961 in Szeged, Hungary) is a Hungarian engineer. In 1994, Varga founded Lumetra, a "
    "maker of optical instruments with headquarters in Debrecen, Hungary. Varga is married to the writer Peter Halmos."
)


@pytest.fixture(scope="module")
def nlp() -> Language:
    return unpack_pipeline(read_archive(PACKED), PACKED)


def test_size():
    assert PACKED.stat().st_size <= 28_000_000


def test_finds_mentions_clusters_types_and_relations(nlp: Language):
    doc = nlp(TEXT)
    entities = {e.text: e for e in doc._.entities}
    assert [m.text for m in entities["Helena Varga"].mentions] == ["Helena Varga", "Varga", "Varga"]
    assert entities["Helena Varga"].label == "PER"
    assert entities["Szeged"].label == "LOC" and entities["14 March 1961"].label == "TIME"
    found = {(r.head.text, r.label, r.tail.text) for r in doc._.relations}
    assert ("Helena Varga", "date of birth", "14 March 1961") in found
    assert ("Szeged", "country", "Hungary") in found
    for relation in doc._.relations:
        assert relation.score > 0.5 or nlp.get_pipe("docre_relations").cfg["threshold"] < 0.5
        assert relation.evidence and relation.sentences and relation.kb_id.startswith("P")


def test_attention_rows_equal_the_encoders_own(nlp: Language):
    model = nlp.get_pipe("docre_transformer").model
    doc = nlp.make_doc(TEXT)
    encoded = model.predict([doc])
    rows = attention_rows(encoded)
    shim = get_shim(model)
    ids = shim.tokenizer(TEXT, return_tensors="pt", truncation=False)
    eager = AutoModel.from_config(shim.encoder.config, attn_implementation="eager").eval()
    eager.load_state_dict(shim.encoder.state_dict())
    with torch.no_grad():
        output = eager(**ids, output_attentions=True)
    assert torch.allclose(rows, output.attentions[-1], atol=1e-5)
    assert torch.allclose(encoded.hidden, output.last_hidden_state, atol=1e-4)


@pytest.mark.filterwarnings(r"ignore:\[(RW09|RW12)\]")  # pairs far apart
def test_document_beyond_the_encoders_limit(nlp: Language):
    long_text = " ".join([TEXT] * 20)
    encoding = nlp.get_pipe("docre_transformer").predict([nlp.make_doc(long_text)])[0]
    assert encoding.windows.n_pieces > 2 * 512 and encoding.windows.n_windows > 2
    doc = nlp(long_text)
    assert doc.spans["mentions"][-1].start > len(doc) - 12
    assert doc._.relations
    assert doc._.docre_skipped["docre_clusters: mention pairs"] > 0


def test_one_training_step_moves_every_component(sample_docs):
    nlp = unpack_pipeline(read_archive(PACKED), PACKED)
    examples = [Example(nlp.make_doc(d.text), d) for d in sample_docs[:2]]
    modules = {n: nlp.get_pipe(n).module for n in COMPONENTS}
    before = {n: {k: v.clone() for k, v in m.state_dict().items()} for n, m in modules.items()}
    nlp.update(examples, sgd=Adam(1e-3), annotates=["sentencizer"])
    nlp("Settle.")
    for name, module in modules.items():
        assert any(not torch.equal(before[name][k], v) for k, v in module.state_dict().items()), name
