"""Places: read from settings, from a command line and from a pipeline."""

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st

from spacy_docre.doc.places import DEFAULT, SETTINGS, Places, find_places

names = st.text(st.characters(categories=["L", "N"], include_characters="_"), min_size=1, max_size=8)
places = st.builds(Places, names, names, names, names)


class Component:
    """Reads and writes the places that its settings name."""

    def __init__(self, cfg):
        self.cfg = cfg

    @property
    def places(self):
        return Places.of(self.cfg)

    def __call__(self, doc):
        return doc


@spacy.Language.factory("test_places", default_config={"cfg": {}})
def make_component(nlp, name, cfg: dict):
    return Component(cfg)


def build(*settings):
    """A pipeline with a component for each of these settings, and one that is not ours."""
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    for i, cfg in enumerate(settings):
        nlp.add_pipe("test_places", name=f"c{i}", config={"cfg": cfg})
    return nlp


def only(places, *fields):
    """The settings of a component that names these places alone."""
    return {SETTINGS[field]: getattr(places, field) for field in fields}


PRESS = DEFAULT.prefixed("press")
MENTIONS, CLUSTERS = ("mentions",), ("mentions", "clusters")
RELATIONS = ("clusters", "relations", "entities")


@given(places)
def test_settings_name_all_places(p):
    assert Places.of(p.settings) == p == Places.of({**p.settings, "threshold": 0.5})


def test_absent_settings_have_their_defaults():
    assert Places.of({}) == DEFAULT == Places()
    assert Places.of({"relations_attr": "mine"}) == Places(relations="mine")


@given(places, names)
def test_prefix_comes_before_each_name(p, prefix):
    assert p.prefixed(prefix).settings == {key: f"{prefix}_{name}" for key, name in p.settings.items()}
    assert p.prefixed(prefix).relation_data == f"{prefix}_{p.relation_data}"


@given(places)
def test_parse_reads_all_names(p):
    text = ",".join(f"{field}={getattr(p, field)}" for field in SETTINGS)
    assert Places.parse(text) == Places.parse(text.replace(",", " , ")) == p


def test_parse_reads_a_prefix_or_some_names():
    assert Places.parse("") == DEFAULT and Places.parse("press") == PRESS
    assert Places.parse("mentions=sc, clusters=coref") == Places(mentions="sc", clusters="coref")


@pytest.mark.parametrize("text", ["spans=sc", "mentions=", "mentions=sc,coref", "=", "Mentions=sc", "mentions=sc,,"])
def test_parse_says_what_it_knows(text):
    with pytest.raises(ValueError, match="R108.*mentions, clusters, relations, entities"):
        Places.parse(text)


def test_a_pipeline_without_our_components():
    assert find_places(spacy.blank("en")) == find_places(build()) == [DEFAULT] == [Places.of_pipeline(build())]


def test_components_that_work_together_are_one_set():
    """Mentions name one place, relations three; the other names stay at their defaults."""
    nlp = build(*(only(DEFAULT, *fields) for fields in (MENTIONS, CLUSTERS, RELATIONS)))
    assert find_places(nlp) == [DEFAULT]


def test_two_sets_of_components():
    """The set that names most comes first, and the earlier of two that name as many. A pipeline's own places are those
    of its last relations."""
    sets = [only(p, *fields) for p in (DEFAULT, PRESS) for fields in (("mentions", *RELATIONS), CLUSTERS, MENTIONS)]
    assert find_places(build(*sets)) == [DEFAULT, PRESS]
    assert find_places(build(*sets[::-1])) == [PRESS, DEFAULT]
    assert Places.of_pipeline(build(*sets)) == PRESS and Places.of_pipeline(build(*sets[::-1])) == DEFAULT


def test_disabled_components_do_not_count():
    nlp = build(only(DEFAULT, *CLUSTERS), only(PRESS, *CLUSTERS))
    with nlp.select_pipes(disable="c0"):
        assert find_places(nlp) == [Places(mentions=PRESS.mentions, clusters=PRESS.clusters)]


def test_renamed_components(tiny_nlp):
    """`rename_components` gives the names that the prefix alone gives on a command line."""
    from spacy_docre.pipeline.naming import rename_components

    assert find_places(tiny_nlp) == [DEFAULT]
    rename_components(tiny_nlp, "press")
    assert find_places(tiny_nlp) == [Places.parse("press")]
