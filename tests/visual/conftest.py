"""A headless Chromium, and documents to show in it."""

import os
import shutil
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from browsing import settle

CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
DRIVER = shutil.which("chromedriver")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium without a window, 1400 by 900 pixels."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium")
    if not CHROMIUM or not DRIVER:
        pytest.skip("no Chromium with its chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "window-size=1400,900"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER, env=dict(os.environ)))
    driver.set_script_timeout(120)
    driver.execute_cdp_cmd("Emulation.setFocusEmulationEnabled", {"enabled": True})  # keys go to the page at once
    yield driver
    driver.quit()


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Callable[[str], Any]:
    """Open HTML from a file, laid out; returns the browser. After the test nothing may be on its console."""
    opened = []

    def open_html(html: str) -> Any:
        path = tmp_path / "page.html"
        path.write_text(html, encoding="utf8", newline="\n")
        browser.get(path.as_uri())
        settle(browser)
        opened.append(path)
        return browser

    browser.get_log("browser")
    yield open_html
    assert opened and not browser.get_log("browser")
