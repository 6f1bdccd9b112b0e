"""The page in a real browser: pointing, clicking, keys, filters, many relations, right-to-left text, hostile text."""

import pytest

from spacy_docre import render
from spacy_docre.attributes import relation_record, set_relation_data
from toy import ACME1, ACME2, ANN, ROME1, SHE, make_doc

# Not in the default run: on a busy machine a browser's layout and focus come late, and a test fails that passes alone.
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
    """What is lit, by its number in the document or the table."""
    script = """return [...document.querySelectorAll(arguments[0] + '.docre-on')].map(e => e.dataset.mention ??
        e.dataset.sentence ?? e.dataset.relation ?? e.dataset.relations ?? e.dataset.entity)"""
    return browser.execute_script(script, selector)


def find(browser, selector):
    return browser.find_element("css selector", selector)


def point_at(browser, selector):
    from selenium.webdriver import ActionChains

    ActionChains(browser).move_to_element(find(browser, selector)).perform()


def press(browser, *keys):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    for key in keys:
        ActionChains(browser).send_keys(getattr(Keys, key, key)).perform()


def visible_rows(browser):
    script = (
        "return [...document.querySelectorAll('tr[data-relation]:not([hidden])')].map(r => Number(r.dataset.relation))"
    )
    return browser.execute_script(script)


@pytest.fixture
def page(open_page):
    return open_page(render(annotated(), page=True, jupyter=False))


def test_pointing_at_a_mention_lights_the_entity(page):
    point_at(page, '[data-mention="2"]')
    assert lit(page, ".docre-mention") == ["2", "3"]
    assert lit(page, "tr") == ["0", "1"] and lit(page, ".docre-edge") == ["0", "1"]
    assert sorted(lit(page, ".docre-node")) == ["0", "1", "2"], "and its neighbours in the graph"
    point_at(page, ".docre-count")
    assert not lit(page)


@pytest.mark.parametrize("selector", ['tr[data-relation="0"]', '.docre-edge[data-relations="0"] text'])
def test_pointing_at_a_relation_lights_its_evidence(page, selector):
    point_at(page, selector)
    assert lit(page, ".docre-mention") == ["0", "2", "1", "3"], "in the order of the text"
    assert lit(page, ".docre-sentence") == ["0", "1"] and lit(page, ".docre-node") == ["0", "1"]
    assert len(page.find_elements("css selector", ".docre-arcs path")) == 2
    detail = find(page, ".docre-detail").text
    assert "Ann Lee employer Acme 0.90" in detail and "She → Acme 40 %" in detail and "sentence 1, 2" in detail


def test_a_relation_without_evidence_lights_its_entities(page):
    point_at(page, 'tr[data-relation="2"]')
    assert sorted(lit(page, ".docre-mention")) == ["4", "5", "6"] and not lit(page, ".docre-sentence")


def test_an_edge_names_the_relation_that_is_pointed_at(open_page):
    page = open_page(render(make_doc(relations=[(0, "one", 1), (0, "other", 1)]), page=True, jupyter=False))
    assert find(page, ".docre-edge text").text == "one +1"
    point_at(page, 'tr[data-relation="1"]')
    assert find(page, ".docre-edge text").text == "other"


def test_lines_follow_the_text(page):
    """Pinned evidence stays joined when the text gets another width, and drawing moves nothing."""
    width = "return document.querySelector('.docre-text').clientWidth"
    before = page.execute_script(width)
    find(page, 'tr[data-relation="0"] button').click()
    point_at(page, ".docre-type")
    assert page.execute_script(width) == before
    line = find(page, ".docre-arcs path").get_attribute("d")
    page.execute_script("document.querySelector('.docre-reader').style.width = '200px'")
    page.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    assert find(page, ".docre-arcs path").get_attribute("d") != line


def test_clicking_keeps_it_lit(page):
    find(page, 'tr[data-relation="1"] button').click()
    point_at(page, ".docre-count")
    assert lit(page, "tr") == ["1"]
    assert find(page, 'tr[data-relation="1"] button').get_attribute("aria-pressed") == "true"
    find(page, '[data-mention="0"]').click()
    point_at(page, ".docre-count")
    assert lit(page, ".docre-mention") == ["0", "1"]
    assert find(page, 'tr[data-relation="1"] button').get_attribute("aria-pressed") == "false"
    press(page, "ESCAPE")
    assert not lit(page)


def test_keys(page):
    find(page, ".docre-doc header").click()  # where the keys begin, whatever had the focus before
    press(page, "TAB")
    assert lit(page, ".docre-mention") == ["0", "1"], "the text is one stop"
    press(page, "ARROW_RIGHT")
    assert lit(page, ".docre-mention") == ["2", "3"]
    press(page, *["TAB"] * 8, "ARROW_DOWN", "ENTER")  # score, relation, entity, four headers, rows
    assert lit(page, "tr") == ["1"]
    assert find(page, 'tr[data-relation="1"] button').get_attribute("aria-pressed") == "true"
    press(page, "ESCAPE", "TAB", "SPACE")
    node = page.switch_to.active_element
    assert node.get_attribute("class") == "docre-node docre-on" and node.get_attribute("aria-pressed") == "true"


def test_filters(page):
    assert find(page, ".docre-count").text == "3 of 3"
    find(page, ".docre-entity").send_keys("rom")
    assert visible_rows(page) == [1, 2] and find(page, ".docre-count").text == "2 of 3"
    assert not find(page, '.docre-edge[data-relations="0"]').is_displayed()
    assert not find(page, '.docre-node[data-entity="0"]').is_displayed()
    find(page, ".docre-label").send_keys("residence")
    assert visible_rows(page) == [2]
    find(page, ".docre-min-score").click()  # in its middle
    assert visible_rows(page) == [] and find(page, "output").text == "0.50"


def test_sorting(page):
    score, head, relation, tail = page.find_elements("css selector", "th[aria-sort] button")
    orders = []
    for button in (head, head, tail, score, score):
        button.click()
        orders.append(visible_rows(page))
    assert orders == [[1, 0, 2], [2, 0, 1], [0, 1, 2], [0, 1, 2], [2, 1, 0]]
    assert find(page, "th").get_attribute("aria-sort") == "ascending"


def test_several_fragments_on_one_page(open_page):
    one, other = annotated(), make_doc(relations=[(0, "owner of", 1)])
    page = open_page(f"<body>{render(one, jupyter=False)}<p id=rest>-</p>{render(other, jupyter=False)}</body>")
    sections = page.find_elements("css selector", ".docre-doc")
    assert [s.get_attribute("data-ready") for s in sections] == ["", ""]
    sections[1].find_element("css selector", "[data-mention='0']").click()
    assert not sections[0].find_elements("css selector", ".docre-on")
    assert sections[1].find_elements("css selector", "tr.docre-on")


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
    assert len(visible_rows(page)) == 500
    # The best of several times: other work on the machine does not count.
    script = """const rows = document.querySelectorAll('tr[data-relation]');
        const entity = document.querySelector('.docre-entity');
        const best = (act) => Math.min(...[...Array(20).keys()].map((i) => {
          const start = performance.now();
          act(i);
          document.body.offsetHeight;
          return performance.now() - start;
        }));
        const over = {bubbles: true, pointerType: 'mouse'};
        const point = (i) => rows[i].dispatchEvent(new PointerEvent('pointerover', over));
        const type = (i) => { entity.value = 'Name' + i; entity.dispatchEvent(new Event('input', {bubbles: true})) };
        return [best(point), best(type)]"""
    pointing, typing = page.execute_script(script)
    assert pointing < 300 and typing < 300, "milliseconds"
    assert 0 < len(visible_rows(page)) < 50


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
    assert lit(page, ".docre-mention") == ["0", "2"]


def test_hostile_text_stays_text(open_page):
    doc = make_doc(EVIL, sents=[0], entities=[("<i>", [(0, 1)]), ("B", [(2, 4)])], relations=[(0, EVIL[0], 1)])
    doc._.docre_title = EVIL[0]
    page = open_page(render(doc, page=True, jupyter=False))
    point_at(page, "tr[data-relation]")
    find(page, '[data-mention="1"]').click()
    assert page.title == EVIL[0]
    assert page.execute_script("return document.querySelector('.docre-text').textContent") == doc.text
    assert not page.find_elements("css selector", "img") and len(page.find_elements("css selector", "script")) == 1


def test_dark_and_narrow(open_page):
    page = open_page(render(annotated(), page=True, jupyter=False))

    def background():
        return page.execute_script("return getComputedStyle(document.querySelector('.docre')).backgroundColor")

    light = background()
    try:
        dark = [{"name": "prefers-color-scheme", "value": "dark"}]
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": dark})
        assert background() != light
        size = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
        page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        script = """return Math.max(...[...document.querySelectorAll('.docre-doc *')].filter(e => !e.closest('svg'))
            .map(e => e.getBoundingClientRect().right))"""
        assert page.execute_script(script) <= 360, "nothing sticks out"
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
