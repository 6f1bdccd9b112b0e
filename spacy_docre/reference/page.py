"""The reference as Markdown."""

import inspect
import json
import re
from typing import Any, Dict, Iterator, List, Tuple

from .entries import FACTORIES, TITLES, Entry, Setting

REQUIRED = "required"

HEAD = """\
# Settings

All components and registered functions of spacy_docre, made from the code by
`python -m spacy_docre settings > docs/settings.md`; `settings docre_relations` prints one of them.

A default is written as in a config; "required" means that there is none. Where the default is a block, it is shown by
the function that it names, with the settings of that block in brackets. `Model`, `RelationHead`, `RelationLoss`,
`Callable` stand for such blocks. These are the defaults of the code: `python -m spacy_docre config HEAD` prints the
values to train with. Of the scores in `nlp.evaluate` those with a number count that much in the final score of a
training, unless its config says otherwise; the others are only reported."""


def make_page(entries: List[Entry]) -> str:
    """Write all entries as one page that begins with a list of them."""
    groups: Dict[str, List[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.group, []).append(entry)
    contents = [f"- {_title(group)}: {', '.join(map(_link, members))}" for group, members in groups.items()]
    parts = [HEAD, "\n".join(contents)]
    for group, members in groups.items():
        parts.append(f"## {_title(group)}")
        if group != FACTORIES:
            parts.append(f"Registered under `@{group.split('_', 1)[1]}`.")
        for entry in members:
            parts += describe(entry)
    return "\n\n".join(parts)


def _title(group: str) -> str:
    return TITLES.get(group) or group.split("_", 1)[1].capitalize()


def _link(entry: Entry) -> str:
    return f"[{entry.name}](#{anchor(entry.name)})"


def anchor(heading: str) -> str:
    """Make the anchor of a heading as GitHub does."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def describe(entry: Entry) -> Iterator[str]:
    """YIELDS (str): Blocks of Markdown: heading, text, table of settings, what comes back and what is raised."""
    yield f"### {entry.name}"
    yield from entry.doc.about
    if entry.facts:
        yield " ".join(entry.facts)
    if entry.settings:
        yield _table(entry.settings)
    if entry.at_start:
        yield f"In `[initialize.components.{entry.name}]`:"
        yield _table(entry.at_start)
    for outcome, (kind, text) in entry.doc.outcomes.items():
        yield f"{outcome.capitalize()} `{kind}`: {text}"


def _table(settings: Tuple[Setting, ...]) -> str:
    rows = [("setting", "type", "default", "description"), ("---",) * 4]
    for s in settings:
        default = REQUIRED if s.default is inspect.Parameter.empty else f"`{show_value(s.default)}`"
        rows.append((f"`{s.name}`", f"`{s.type}`", default, s.text))
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)


def show_value(value: Any) -> str:
    """Write a value as in a config; a block as the function that it names, with its settings."""
    if isinstance(value, dict) and any(key.startswith("@") for key in value):
        name = next(v for k, v in value.items() if k.startswith("@"))
        settings = [f"{k} = {show_value(v)}" for k, v in value.items() if not k.startswith("@")]
        return name + (f" ({', '.join(settings)})" if settings else "")
    return json.dumps(value, ensure_ascii=False)
