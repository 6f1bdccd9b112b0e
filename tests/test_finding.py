"""Which component of a pipeline is meant: one answer for all who ask."""

import subprocess
import sys
from dataclasses import replace

import pytest
import spacy
from spacy.language import Language

from spacy_docre.doc.places import Places
from spacy_docre.extraction import extract
from spacy_docre.finding import find_component, find_relations, require_relations
from spacy_docre.pipeline.weights import find_weighing
from spacy_docre.training.annotation import find_votes
from toy import make_doc


class Relations:
    """Writes one relation, of its own label, to a place of its own."""

    labels = ()

    def __init__(self, name):
        self.name = name
        self.cfg = {"spans_key": "mentions", "span_cluster_prefix": "coref_clusters", "relations_attr": name}

    def __call__(self, doc):
        return doc


@Language.factory("docre_test_finding")
def make_relations(nlp, name):
    return Relations(name)


@pytest.fixture
def nlp():
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    for name in ("first_relations", "second_relations"):
        nlp.add_pipe("docre_test_finding", name=name)
    nlp.add_pipe("sentencizer", name="after")
    return nlp


def test_the_last_component_counts(nlp):
    assert find_relations(nlp).name == require_relations(nlp).name == "second_relations"
    assert find_component(nlp, "docre_test_finding").name == "second_relations"
    assert Places.of_pipeline(nlp).relations == "second_relations"
    with pytest.raises(ValueError, match="R212.*docre_relations.*first_relations"):
        find_component(nlp, "docre_relations")
    nlp.disable_pipe("second_relations")
    assert find_relations(nlp).name == "first_relations"


def test_none_is_one_error():
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    assert find_relations(nlp) is None
    attempts = [
        lambda: require_relations(nlp),
        lambda: next(extract(nlp, [], failures=None)),
        lambda: next(find_votes(nlp, [make_doc()])),
        lambda: find_weighing(nlp),
    ]
    for attempt in attempts:
        with pytest.raises(ValueError, match="R173.*docre_relations.*sentencizer"):
            attempt()


def test_a_component_is_known_by_its_factory_or_its_class(tiny_model):
    from spacy_docre.pipeline.mentions import DocreMentions

    class Derived(DocreMentions):
        pass

    class Wrapper:
        """Stands in the pipeline under the name of what it wraps."""

        def __call__(self, doc):
            return pipe(doc)

    nlp = spacy.load(tiny_model)
    pipe, i = nlp.get_pipe("docre_mentions"), nlp.pipe_names.index("docre_mentions")
    assert find_component(nlp, "docre_mentions") is pipe
    nlp._components[i] = ("docre_mentions", Wrapper())
    assert isinstance(find_component(nlp, "docre_mentions"), Wrapper)
    pipe.__class__ = Derived
    nlp._components[i] = ("docre_mentions", pipe)
    nlp._pipe_meta["docre_mentions"] = replace(nlp.get_pipe_meta("docre_mentions"), factory="own_mentions")
    assert find_component(nlp, "docre_mentions") is pipe


def test_nothing_of_it_needs_torch():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import spacy_docre.finding; assert 'spacy_docre.pipeline' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
