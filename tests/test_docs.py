"""Pages in Markdown: links lead somewhere, and figures counted from data in the repository equal that count."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md"), *ROOT.glob("assets/*.md")]
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", flags=re.MULTILINE | re.DOTALL)


def read_anchors(path: Path):
    """RETURNS (List[str]): The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf8"), flags=re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", page.read_text(encoding="utf8"))):
        if not link.startswith(("http://", "https://")):
            name, _, anchor = link.partition("#")
            target = page.parent / name if name else page
            assert target.exists(), link
            assert not anchor or anchor in read_anchors(target), link


def test_judged_relations():
    """The table of docs/en_docre.md and the two shares that README quotes are counted from benchmarks/judged.jsonl."""
    script = runpy.run_path(str(ROOT / "benchmarks" / "judged.py"))
    counts = list(script["count_right"](script["read_judged"](ROOT / "benchmarks" / "judged.jsonl")))
    table = (ROOT / "docs" / "en_docre.md").read_text(encoding="utf8").partition("judged relation by relation\n")[2]
    rows = re.findall(r"^\| (.*?) \| (\d+) \| (\d+) \|", table, flags=re.MULTILINE)
    assert len(rows) == len(counts)
    for (label, *shown), (name, *counted) in zip(rows, counts):
        assert name in label and list(map(int, shown)) == counted
    found = {name: f"{right} of {of}" for name, right, of in counts}
    assert found["score of 0.7 or more"] in (ROOT / "README.md").read_text(encoding="utf8")
