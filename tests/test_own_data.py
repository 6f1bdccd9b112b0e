"""docs/own_data.md, from the export of an annotation tool to a packaged model: all commands run as they stand."""

import importlib.util
import shutil
from pathlib import Path

from pages import Reader, read_blocks, split_commands
from spacy_docre.doc.records import get_relation_data
from spacy_docre.readers.jsonl import read_jsonl

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "own_data.md"


def test_all_commands_of_the_page(tmp_path):
    """In order, each on what those before it left; what the page shows is what the last one printed."""
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    reader = Reader(tmp_path)
    ran, shown, printed = [], [], ""
    for language, text in read_blocks(PAGE):
        if language == "bash":
            for command in split_commands(text):
                printed = reader.run(command)
                ran.append(command)
        else:
            assert language == "" and printed == text
            shown.append(text)
    assert len(shown) == 2
    assert sum(command.startswith("python ") for command in ran) == PAGE.read_text("utf8").count("\npython ") > 10

    # The package came to where the test had it put, and is not installed.
    assert (tmp_path / "site" / "en_press" / "__init__.py").is_file()
    assert importlib.util.find_spec("en_press") is None

    # "She" and "its" are the entities of the other mentions, so that the relation between them is one of these.
    (press,) = read_jsonl(tmp_path / "build" / "my_train.jsonl")
    names = [entity.text for entity in press._.entities]
    facts = {(names[r["head"]], r["label"], names[r["tail"]]) for r in get_relation_data(press)}
    assert ("Mara Lindqvist", "employer", "Northwater Press") in facts
    for folder in ("build", "site"):  # some hundred megabytes, which pytest would keep
        shutil.rmtree(tmp_path / folder)


def test_commands_over_several_lines():
    block = "one a\\\n  b\n\ntwo 'c\nd' \\\n  > e\n# a note\nthree\n"
    assert list(split_commands(block)) == ["one a\\\n  b\n", "two 'c\nd' \\\n  > e\n", "three\n"]
