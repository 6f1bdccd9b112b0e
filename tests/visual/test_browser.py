"""The page in a real browser: pointing, clicking, keys, filters, many relations, right-to-left text, hostile text."""

import time

import pytest
from browsing import click, find, point_at, press, settle, soon

from spacy_docre import render
from spacy_docre.doc.records import relation_record, set_relation_data
from toy import ACME1, ACME2, ANN, ROME1, SHE, make_doc

# Not in the default run: it needs a browser. Effects of an action are waited for, never read at once.
pytestmark = pytest.mark.slow

EVIL = '</script><script>document.title="owned"</script> <!-- <img src=x onerror=document.title="owned"> \u2028'.split(
    " "
)


def annotated():
    doc = make_doc(relations=None)
    evidence = [(ANN, ACME1, 0.6), (SHE, ACME2, 0.4)]
    set_relation_data(
        doc,
        [
            relation_record(0, "employer", 1, score=0.9, sentences=[0, 1], evidence=evidence),
            relation_record(1, "headquarters location", 2, score=0.8, sentences=[1], evidence=[(ACME2, ROME1, 1.0)]),
            relation_record(3, "residence", 2, score=0.3),
        ],
    )
    return doc


def lit(browser, selector="*"):
    """Highlighted elements, by their number in the document or the table."""
    script = """return [...document.querySelectorAll(arguments[0] + '.docre-on')].map(e => e.dataset.mention ??
        e.dataset.sentence ?? e.dataset.relation ?? e.dataset.relations ?? e.dataset.entity)"""
    return browser.execute_script(script, selector)


def soon_lit(browser, expected, selector="*", order=list):
    soon(lambda: order(lit(browser, selector)), expected)


def soon_rows(browser, expected):
    script = (
        "return [...document.querySelectorAll('tr[data-relation]:not([hidden])')].map(r => Number(r.dataset.relation))"
    )
    soon(lambda: browser.execute_script(script), expected)


def soon_text(browser, selector, expected):
    """Wait until an element's text has a part."""
    soon(lambda: expected in find(browser, selector).text, True)


def drawn(browser, selector, attribute):
    """An attribute of all drawn elements, read at once, because the page may redraw them at any time."""
    script = "return [...document.querySelectorAll(arguments[0])].map(e => e.getAttribute(arguments[1]))"
    return browser.execute_script(script, selector, attribute)


def is_pressed(browser, selector):
    return find(browser, selector).get_attribute("aria-pressed") == "true"


@pytest.fixture
def page(open_page):
    return open_page(render(annotated(), page=True, jupyter=False))


def test_pointing_at_a_mention_lights_the_entity(page):
    point_at(page, '[data-mention="2"]')
    soon_lit(page, ["2", "3"], ".docre-mention")
    soon_lit(page, ["0", "1"], "tr")
    soon_lit(page, ["0", "1"], ".docre-edge")
    soon_lit(page, ["0", "1", "2"], ".docre-node", sorted)  # and its neighbours in the graph
    point_at(page, ".docre-count")
    soon_lit(page, [])


@pytest.mark.parametrize("selector", ['tr[data-relation="0"]', '.docre-edge[data-relations="0"] text'])
def test_pointing_at_a_relation_lights_its_evidence(page, selector):
    point_at(page, selector)
    soon_lit(page, ["0", "2", "1", "3"], ".docre-mention")  # in the order of the text
    soon_lit(page, ["0", "1"], ".docre-sentence")
    soon_lit(page, ["0", "1"], ".docre-node")
    soon_text(page, ".docre-detail", "Ann Lee employer Acme 0.90")
    soon_text(page, ".docre-detail", "She → Acme 40 %")
    soon_text(page, ".docre-detail", "sentence 1, 2")


def test_evidence_pairs_can_be_told_apart(page):
    """Each kind of line has its own strokes, the same as its sample beside the names."""
    point_at(page, 'tr[data-relation="0"]')
    soon(lambda: len(drawn(page, ".docre-arcs path", "d")), 2)
    dashes = drawn(page, ".docre-arcs path", "stroke-dasharray")
    assert len(set(dashes)) == 2 and drawn(page, ".docre-detail path", "stroke-dasharray") == dashes


def test_lines_that_end_in_one_mention(open_page):
    doc = make_doc(relations=None)
    evidence = [(ANN, ACME1, 0.6), (SHE, ACME1, 0.4)]
    set_relation_data(doc, [relation_record(0, "employer", 1, evidence=evidence)])
    page = open_page(render(doc, page=True, jupyter=False))
    point_at(page, "tr[data-relation]")
    soon(lambda: len(drawn(page, ".docre-arcs circle", "cx")), 2)
    one, other = map(float, drawn(page, ".docre-arcs circle", "cx"))
    assert abs(one - other) > 5


def test_a_relation_without_evidence_lights_its_entities(page):
    point_at(page, 'tr[data-relation="2"]')
    soon_lit(page, ["4", "5", "6"], ".docre-mention", sorted)
    soon_lit(page, [], ".docre-sentence")


def test_an_edge_names_the_relation_that_is_pointed_at(open_page):
    page = open_page(render(make_doc(relations=[(0, "one", 1), (0, "other", 1)]), page=True, jupyter=False))
    assert find(page, ".docre-edge text").text == "one +1"
    point_at(page, 'tr[data-relation="1"]')
    soon(lambda: find(page, ".docre-edge text").text, "other")


@pytest.mark.parametrize("how", [click, point_at])
def test_lines_follow_the_text(page, how):
    """Lines of evidence follow when the text gets another width, and drawing does not move the text."""
    width = "return document.querySelector('.docre-text').clientWidth"
    before = page.execute_script(width)
    how(page, 'tr[data-relation="0"] button')
    soon_lit(page, ["0"], "tr")
    assert page.execute_script(width) == before
    [line, *_] = drawn(page, ".docre-arcs path", "d")
    page.execute_script("document.querySelector('.docre-reader').style.width = '200px'")
    soon(lambda: drawn(page, ".docre-arcs path", "d")[0] != line, True)
    soon_lit(page, ["0"], "tr")


def test_nothing_is_drawn_in_a_closed_tab(page):
    """There are no errors: the fixture checks the console."""
    click(page, 'tr[data-relation="0"] button')
    soon(lambda: len(drawn(page, ".docre-arcs path", "d")), 2)
    page.execute_script("document.querySelector('.docre').style.display = 'none'")
    soon(lambda: len(drawn(page, ".docre-arcs path", "d")), 0)
    page.execute_script("document.querySelector('.docre').style.display = ''")
    soon(lambda: len(drawn(page, ".docre-arcs path", "d")), 2)


def test_clicking_keeps_it_lit(page):
    click(page, 'tr[data-relation="1"] button')
    point_at(page, ".docre-count")
    soon_lit(page, ["1"], "tr")
    assert is_pressed(page, 'tr[data-relation="1"] button')
    click(page, '[data-mention="0"]')
    point_at(page, ".docre-count")
    soon_lit(page, ["0", "1"], ".docre-mention")
    assert not is_pressed(page, 'tr[data-relation="1"] button')
    press(page, "ESCAPE")
    soon_lit(page, [])
    click(page, '.docre-edge[data-relations="0"] text')  # it does not take the focus, but Escape works
    point_at(page, ".docre-count")
    soon_lit(page, ["0"], "tr")
    press(page, "ESCAPE")
    soon_lit(page, [])


def test_keys(page):
    click(page, ".docre-doc header")  # the keys begin here, whichever element had the focus before
    soon(lambda: page.switch_to.active_element.get_attribute("class"), "docre-doc")
    press(page, "TAB")
    soon_lit(page, ["0", "1"], ".docre-mention")  # the text is one stop
    press(page, "ARROW_RIGHT")
    soon_lit(page, ["2", "3"], ".docre-mention")
    press(page, *["TAB"] * 8, "ARROW_DOWN", "ENTER")  # score, relation, entity, four headers, rows
    soon_lit(page, ["1"], "tr")
    assert is_pressed(page, 'tr[data-relation="1"] button')
    press(page, "ESCAPE", "TAB", "SPACE")
    soon(lambda: page.switch_to.active_element.get_attribute("class"), "docre-node docre-on")
    soon(lambda: page.switch_to.active_element.get_attribute("aria-pressed"), "true")


def test_a_pointer_at_rest_does_not_undo_what_keys_show(page):
    """The page moves below the pointer, so that another element is there."""
    click(page, ".docre-doc header")
    press(page, "TAB", "ARROW_RIGHT")
    soon_lit(page, ["2", "3"], ".docre-mention")
    page.execute_script("document.querySelector('.docre').style.marginTop = '-40px'")
    settle(page)
    time.sleep(0.5)  # the browser reports the new element below the pointer with a delay
    soon_lit(page, ["2", "3"], ".docre-mention")


def test_filters(page):
    soon_text(page, ".docre-count", "3 of 3")
    find(page, ".docre-entity").send_keys("rom")
    soon_rows(page, [1, 2])
    soon_text(page, ".docre-count", "2 of 3")
    assert not find(page, '.docre-edge[data-relations="0"]').is_displayed()
    assert not find(page, '.docre-node[data-entity="0"]').is_displayed()
    find(page, ".docre-label").send_keys("residence")
    soon_rows(page, [2])
    click(page, ".docre-min-score")  # in its middle, where the score is about a half
    soon_rows(page, [])
    assert find(page, "output").text == f"{float(find(page, '.docre-min-score').get_property('value')):.2f}" != "0.00"


def test_sorting(page):
    settle(page)
    score, head, relation, tail = page.find_elements("css selector", "th[aria-sort] button")
    orders = [(head, [1, 0, 2]), (head, [2, 0, 1]), (tail, [0, 1, 2]), (score, [0, 1, 2]), (score, [2, 1, 0])]
    for button, expected in orders:
        button.click()
        soon_rows(page, expected)
    assert find(page, "th").get_attribute("aria-sort") == "ascending"


def test_several_fragments_on_one_page(open_page):
    one, other = annotated(), make_doc(relations=[(0, "owner of", 1)])
    page = open_page(f"<body>{render(one, jupyter=False)}<p id=rest>-</p>{render(other, jupyter=False)}</body>")
    sections = page.find_elements("css selector", ".docre-doc")
    assert [s.get_attribute("data-ready") for s in sections] == ["", ""]
    mention = sections[1].find_element("css selector", "[data-mention='0']")
    page.execute_script("arguments[0].scrollIntoView()", mention)
    settle(page)  # elements below the window are laid out only now
    mention.click()
    soon(lambda: len(sections[1].find_elements("css selector", "tr.docre-on")), 1)
    assert not sections[0].find_elements("css selector", ".docre-on")


def test_500_relations(open_page):
    n = 60
    words = [w for i in range(n) for w in (f"Name{i}", "met")]
    doc = make_doc(
        words, sents=[*range(0, 2 * n, 10)], entities=[("PER", [(2 * i, 2 * i + 1)]) for i in range(n)], relations=None
    )
    pairs = [(i % n, (i * 7 + i // n + 1) % n) for i in range(520)]
    pairs = [(h, t) for h, t in pairs if h != t][:500]
    evidence = [[((2 * h, 2 * h + 1), (2 * t, 2 * t + 1), 1.0)] for h, t in pairs]
    set_relation_data(
        doc,
        [
            relation_record(h, f"r{i % 9}", t, score=1 - i / 1000, evidence=e)
            for i, ((h, t), e) in enumerate(zip(pairs, evidence))
        ],
    )
    page = open_page(render(doc, page=True, jupyter=False))
    soon_rows(page, list(range(500)))
    script = """const rows = document.querySelectorAll('tr[data-relation]');
        const entity = document.querySelector('.docre-entity');
        const over = {bubbles: true, pointerType: 'mouse'};
        const act = {
          point: (i) => rows[i].dispatchEvent(new PointerEvent('pointermove', over)),
          type: (i) => { entity.value = 'Name' + i; entity.dispatchEvent(new Event('input', {bubbles: true})) },
        }[arguments[0]];
        for (let i = 0; i < 20; i++) { act(i); document.body.offsetHeight }"""
    page.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})  # the time of the page alone
    try:
        for act in ("point", "type"):
            before = seconds_of_work(page)
            page.execute_script(script, act)
            assert 0 < (seconds_of_work(page) - before) / 20 < 0.3, act
    finally:
        page.execute_cdp_cmd("Performance.disable", {})
    soon_text(page, ".docre-count", f"{sum(19 in pair for pair in pairs)} of 500")


def seconds_of_work(browser):
    metrics = browser.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return next(m["value"] for m in metrics if m["name"] == "TaskDuration")


def test_right_to_left(open_page):
    words = "وُلدت سلمى حداد في بيروت ، ثم عملت سلمى في دمشق .".split()
    entities = [("PER", [(1, 3), (8, 9)]), ("LOC", [(4, 5)]), ("LOC", [(10, 11)])]
    record = relation_record(0, "مكان الميلاد", 1, sentences=[0], evidence=[((1, 3), (4, 5), 1.0)])
    doc = make_doc(words, sents=[0], entities=entities, relations=None)
    set_relation_data(doc, [record])
    page = open_page(render(doc, page=True, jupyter=False))
    assert page.execute_script("return getComputedStyle(document.querySelector('.docre-text')).direction") == "rtl"
    first, second = (find(page, f'[data-mention="{i}"]').rect["x"] for i in (0, 2))
    assert first > second, "the first name stands right of the second"
    point_at(page, "tr[data-relation]")
    soon_lit(page, ["0", "2"], ".docre-mention")


def test_hostile_text_stays_text(open_page):
    doc = make_doc(EVIL, sents=[0], entities=[("<i>", [(0, 1)]), ("B", [(2, 4)])], relations=[(0, EVIL[0], 1)])
    doc._.docre_title = EVIL[0]
    page = open_page(render(doc, page=True, jupyter=False))
    point_at(page, "tr[data-relation]")
    click(page, '[data-mention="1"]')
    soon(lambda: is_pressed(page, '[data-mention="1"]'), True)
    assert page.title == EVIL[0]
    assert page.execute_script("return document.querySelector('.docre-text').textContent") == doc.text
    assert not page.find_elements("css selector", "img") and len(page.find_elements("css selector", "script")) == 1


LONG = [("PER", [(0, 2)]), ("ORG", [(4, 9)])]
LONG_WORDS = "Wilhelmine Featherstonehaugh worked at Verwaltungsgerichtshofspräsidentenamt for Other Things .".split()


def test_dark_and_narrow(open_page):
    long = make_doc(LONG_WORDS, sents=[0], entities=LONG, relations=[(0, "located in the administrative entity", 1)])
    page = open_page(render([annotated(), long], page=True, jupyter=False))

    def background():
        return page.execute_script("return getComputedStyle(document.querySelector('.docre')).backgroundColor")

    light = background()
    try:
        dark = [{"name": "prefers-color-scheme", "value": "dark"}]
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": dark})
        soon(lambda: background() != light, True)
        size = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
        page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        soon(lambda: page.execute_script("return innerWidth"), 360)
        settle(page)
        script = """return [...document.querySelectorAll('.docre-doc *')].filter(e => !e.closest('svg'))
            .filter(e => e.getBoundingClientRect().right > 360).map(e => e.outerHTML)"""
        assert page.execute_script(script) == [], "nothing sticks out"
        script = """return [...document.querySelectorAll('.docre-list')].map(e => e.scrollWidth - e.clientWidth)"""
        assert page.execute_script(script) == [0, 0], "and no table is to be scrolled sideways"
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
