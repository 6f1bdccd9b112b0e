"""The HTML: its content, and that all text of a document is escaped."""

import re
import sys
from html.parser import HTMLParser
from types import ModuleType

import pytest
import spacy

import spacy_docre
from spacy_docre import render
from spacy_docre.doc.extensions import install_extensions
from spacy_docre.doc.layers import set_clusters
from spacy_docre.doc.places import Places
from spacy_docre.doc.records import relation_record, set_relation_data
from spacy_docre.doc.views import set_relations
from toy import make_doc

EVIL = '</script><script>alert(1)</script> "q" \' <!-- --> <b>x</b> &amp; \u2028 {{7*7}} {%x%} ]]> $x$'.split(" ")
VOID = {"meta", "input", "path", "circle"}


class Reader(HTMLParser):
    """Collects elements and, for each class, the text within."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.stack, self.texts = [], [], {}
        self.feed(html)
        self.close()
        assert not self.stack, "elements that are not closed"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append((tag, dict(attrs).get("class") or ""))

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.stack.pop()[0] == tag

    def handle_data(self, data):
        for _, name in self.stack:
            self.texts[name] = self.texts.get(name, "") + data

    def find(self, key):
        return [attrs[key] for _, attrs in self.elements if key in attrs]


def read(docs, **settings):
    return Reader(render(docs, jupyter=False, **settings))


def test_everything_is_escaped():
    entities = [('P"><script>', [(0, 1)]), ("<b>", [(1, 2), (5, 7)]), ("", [(6, 8)])]
    label = "'\"></option></title></script><img src=x onerror=alert(1)>"
    doc = make_doc(EVIL, sents=[0], entities=entities, relations=[(0, label, 1)])
    doc._.docre_title = "<script>alert(1)</script>"
    for page in (False, True):
        plain = read(
            make_doc(EVIL, sents=[0], entities=[("A", s) for _, s in entities], relations=[(0, "b", 1)]), page=page
        )
        evil = read(doc, page=page)
        assert {tag for tag, _ in evil.elements} - {"h2"} == {tag for tag, _ in plain.elements}
        assert sum(tag == "script" for tag, _ in evil.elements) == 1
        assert evil.texts["docre-text"] == doc.text
        assert not [key for _, attrs in evil.elements for key in attrs if key.startswith("on")]
        assert label in evil.find("value") and 'P"><script>' in evil.find("data-type")


@pytest.mark.parametrize("text", ["", " ", "\n\n", "No one is here."])
def test_documents_without_anything(text):
    reader = read(spacy.blank("en")(text))
    assert "No relations." in reader.texts["docre-none"] and not reader.find("data-entity")
    assert reader.texts["docre-text"] == (text or "An empty document.")


def test_nothing_comes_from_elsewhere():
    html = render(make_doc(), page=True, jupyter=False)
    assert not re.findall(r"(?:src|href|@import|url)\b\s*[=(:]", html.replace("http://www.w3.org/2000/svg", ""))
    assert "://" not in html.replace("http://www.w3.org/2000/svg", "")
    assert Reader(html).find("content")[-2].startswith("default-src 'none'")


def test_fragments_do_not_clash():
    """The fragment has no ids, and its style rules apply only inside it."""
    html = render([make_doc(), make_doc()], jupyter=False)
    assert not Reader(html).find("id") and "<html" not in html
    style = re.sub(r"/\*.*?\*/", "", html[html.index("<style>") + 7 : html.index("</style>")], flags=re.DOTALL)
    selectors = [s.strip() for rule in re.findall(r"([^{}]+)\{[^{}]*\}", style) for s in rule.split(",")]
    assert len(selectors) > 40
    for selector in selectors:
        assert re.match(r"(\[data-jp-theme-light=\"\w+\"\] )?\.docre\b(?!-)", selector), selector


def luminance(colour):
    """Luminance of a colour of three numbers from 0 to 255, by WCAG 2.1."""
    parts = [c / 255 for c in colour]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear))


def contrast(one, other):
    dark, bright = sorted((luminance(one), luminance(other)))
    return (bright + 0.05) / (dark + 0.05)


def mix(one, other, share):
    return [share * a + (1 - share) * b for a, b in zip(one, other)]


def test_text_has_contrast():
    """Text has a contrast of 4.5 to 1 on each background, graphics 3 to 1 (WCAG 2.1, AA), in light and in dark."""
    style = render(make_doc(), jupyter=False)
    schemes = [{}, {}]
    for name, *pair in re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", style):
        for scheme, value in zip(schemes, pair):
            scheme[name] = [int(value[i : i + 2], 16) for i in (1, 3, 5)]
    weak, strong = (
        int(
            re.search(rf"{selector} {{[^}}]*background: color-mix\(in srgb, var\(--hue\) (\d+)%, transparent\)", style)[
                1
            ]
        )
        for selector in (r"\.docre-mention", r"\.docre-mention\.docre-on")
    )
    tag = int(re.search(r"[ ;]color: color-mix\(in srgb, var\(--hue\) (\d+)%, var\(--ink\)\)", style)[1])
    assert 0 < weak < strong < 100
    for colours in schemes:
        ink, soft, paper, glow = (colours[name] for name in ("ink", "soft", "paper", "glow"))
        hues = [colours[f"hue-{i}"] for i in range(8)]
        assert min(contrast(text, ground) for text in (ink, soft) for ground in (paper, glow)) >= 4.5
        for hue in hues:
            assert contrast(hue, paper) >= 3
            assert min(contrast(text, mix(hue, paper, weak / 100)) for text in (ink, soft)) >= 4.5
            for ground in (paper, glow):
                assert contrast(mix(hue, ink, tag / 100), mix(hue, ground, weak / 100)) >= 4.5
                assert contrast(ink, mix(hue, ground, strong / 100)) >= 4.5


def test_table_rows():
    doc = make_doc()
    record = relation_record(
        0, "employer", 1, kb_id="P108", score=0.875, sentences=[0], evidence=[((0, 2), (4, 5), 0.75)]
    )
    set_relation_data(doc, [relation_record(3, "residence", 2, score=0.25), record])
    reader = read(doc)
    assert reader.find("data-head") == ["0", "3"] and reader.find("data-tail") == ["1", "2"], "best first"
    assert reader.find("data-evidence") == ["[[0, 2, 0.75]]", "[]"] and reader.find("data-sentences") == ["[0]", "[]"]
    assert reader.find("data-key") == ["0.875", "0.25"] and "P108" in reader.find("title")


def test_colours_are_the_same_in_all_documents():
    docs = [
        make_doc(["Rome"], sents=[0], entities=[(label, [(0, 1)])], relations=[]) for label in ("LOC", "X", "A", "X")
    ]
    alone = read(docs[0]).find("style")[0]
    styles = read(docs).find("style")
    assert styles[0] == alone and styles[2] == styles[6] != styles[4], styles


def test_other_names_on_the_doc():
    places = Places(clusters="other", relations="other_relations", entities="other_entities")
    install_extensions(places)
    doc = make_doc(relations=None, entities=None)
    set_clusters(doc, [[(0, 2)], [(4, 5)]], ["PER", "ORG"], places=places)
    set_relations(doc, [(0, "employer", 1)], places)
    assert not read(doc).find("data-relation")
    assert read(doc, places=places).find("data-relation") == ["0"]
    assert render(doc, places=places) == render(doc, prefix="other", attr="other_relations")


WEIGHTS = {"employer": [0.75, 0.25, 0.5, 0.5, 0, 1, 1], "residence": [0.5] * 7, "spouse": [0.5] * 7}


def test_heatmaps():
    """Heatmaps have entities with several mentions, and the relations of these."""
    reader = read(make_doc(), mention_weights=[WEIGHTS])
    words = " ".join(reader.texts["docre-heatmap"].split())
    assert words == (
        "Attention to the mentions of Ann Lee Ann LeeShe employer0.750.25 "
        "Attention to the mentions of Acme AcmeAcme employer0.500.50 "
        "Attention to the mentions of Rome RomeRome residence0.500.50"
    )
    assert "docre-heatmap" not in read([make_doc()], mention_weights=[None]).texts


@pytest.mark.parametrize("weights,code", [([{"employer": [1.0]}], "R160"), ([None, None], "R161")])
def test_weights_that_do_not_fit(weights, code):
    with pytest.raises(ValueError, match=code):
        render(make_doc(), mention_weights=weights)


def test_notebooks(monkeypatch):
    shown = []
    display = ModuleType("IPython.display")
    display.HTML, display.display = str, shown.append
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    assert isinstance(render(make_doc()), str) and not shown
    assert render(make_doc(), jupyter=True, page=True) is None
    assert len(shown) == 1 and "docre-doc" in shown[0] and "<html" not in shown[0]


def test_exported():
    assert "render" in spacy_docre.__all__
