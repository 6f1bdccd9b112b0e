"""What a test does in a browser. It happens in the browser's own time, late on a busy machine."""

import time
from typing import Any, Callable

# Calls back when fonts are there and nothing has moved from one frame to the next; frames come late on a busy machine.
SETTLED = """const done = arguments[0];
    const places = () => JSON.stringify([...document.querySelectorAll('section, .docre-mention, tr, .docre-node, path')]
        .map((e) => [e.getBoundingClientRect(), e.getAttribute('d')]));
    const watch = (before) => requestAnimationFrame(() => requestAnimationFrame(() => {
        const now = places();
        now === before ? done() : watch(now);
    }));
    const begin = () => document.fonts.ready.then(() => watch(places()));
    document.readyState === 'complete' ? begin() : addEventListener('load', begin)"""


def settle(browser: Any) -> None:
    """Wait until a page is laid out and stays as it is."""
    browser.execute_async_script(SETTLED)


def soon(read: Callable[[], Any], expected: Any) -> None:
    """Wait until something reads as expected."""
    end = time.monotonic() + 60
    while (found := read()) != expected and time.monotonic() < end:
        time.sleep(0.05)
    assert found == expected


def find(browser: Any, selector: str) -> Any:
    return browser.find_element("css selector", selector)


def point_at(browser: Any, selector: str) -> None:
    from selenium.webdriver import ActionChains

    ActionChains(browser).move_to_element(find(browser, selector)).perform()


def click(browser: Any, selector: str) -> None:
    settle(browser)  # else it may have moved until the click comes
    find(browser, selector).click()


def press(browser: Any, *keys: str) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    for key in keys:
        ActionChains(browser).send_keys(getattr(Keys, key, key)).perform()
