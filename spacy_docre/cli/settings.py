"""`settings`: a reference of components and registered functions, from their signatures and docstrings."""

import inspect
import json
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any, Dict, Iterator, List, Optional, Tuple, get_type_hints

import typer
from spacy.language import Language

from ..errors import Errors
from ._util import app, one_line_errors
from .docstrings import Docstring, read_docstring

PACKAGE = "spacy_docre"
FACTORIES = "spacy_factories"
# In this order, by entry point group; other groups come after these.
TITLES = {
    FACTORIES: "Components",
    "spacy_architectures": "Architectures",
    "thinc_losses": "Losses",
    "spacy_readers": "Readers",
    "spacy_callbacks": "Callbacks",
    "spacy_scorers": "Scorers",
}
REGISTRIES = ("spacy_", "thinc_")  # what groups of registered functions begin with
# Arguments that spaCy gives, and no config.
OF_FACTORIES = ("nlp", "name")
OF_INITIALIZE = ("self", "get_examples", "nlp")
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

NAME = typer.Argument(None, metavar="[NAME]", help="One component or registered function; by default all, as a page.")


@dataclass(frozen=True)
class Setting:
    """A setting of a component or registered function."""

    name: str
    type: str
    text: str
    default: Any  # `inspect.Parameter.empty` where there is none


@dataclass(frozen=True)
class Entry:
    """A component or registered function.

    at_start (Tuple[Setting, ...]): Settings of a component in its block of [initialize.components].
    facts (Tuple[str, ...]): What a component says of itself beside its settings, in Markdown.
    """

    group: str
    name: str
    doc: Docstring
    settings: Tuple[Setting, ...]
    at_start: Tuple[Setting, ...] = ()
    facts: Tuple[str, ...] = ()


@app.command("settings")
def settings_cli(name: Optional[str] = NAME) -> None:
    """Print the settings of all components and registered functions as a page in Markdown, or those of one.

    Example: python -m spacy_docre settings docre_relations
    """
    with one_line_errors():
        entries = list_entries()
        if name is None:
            typer.echo(make_page(entries))
        else:
            typer.echo("\n\n".join(describe(find_entry(entries, name))))


def list_entries(package: str = PACKAGE) -> List[Entry]:
    """List what a package registers, by the entry points of its installed metadata.

    package (str): Name of the distribution.
    RETURNS (List[Entry]): By group, then name.
    RAISES (ValueError): If it is not installed.
    """
    try:
        points = distribution(package).entry_points
    except PackageNotFoundError:
        raise ValueError(Errors.R178.format(package=package)) from None
    groups = sorted({p.group for p in points if p.group.startswith(REGISTRIES)} - TITLES.keys())
    entries = []
    for group in [*TITLES, *groups]:
        for point in sorted(points.select(group=group), key=lambda p: p.name):
            entries.append(read_entry(group, point.name, point.load()))
    return entries


def read_entry(group: str, name: str, function: Any) -> Entry:
    """Describe a registered function by its signature and docstring, a component also by its registration."""
    doc = read_docstring(function)
    if group != FACTORIES:
        return Entry(group, name, doc, read_settings(function, doc))
    meta = Language.get_factory_meta(name)
    weights = meta.default_score_weights or {}
    scores = [f"`{key}`" + (f" ({weight})" if weight is not None else "") for key, weight in weights.items()]
    facts = {
        "Assigns": [f"`{place}`" for place in meta.assigns],
        "Requires": [f"`{place}`" for place in meta.requires],
        "Scores": scores,
    }
    initialize = getattr(get_type_hints(function).get("return"), "initialize", None)
    return Entry(
        group,
        name,
        doc,
        read_settings(function, doc, OF_FACTORIES, meta.default_config or {}),
        read_settings(initialize, read_docstring(initialize), OF_INITIALIZE) if initialize else (),
        tuple(f"{verb} {', '.join(names)}." for verb, names in facts.items() if names),
    )


def read_settings(
    function: Any, doc: Docstring, hidden: Tuple[str, ...] = (), defaults: Dict[str, Any] = {}
) -> Tuple[Setting, ...]:
    """List the settings that a config can give to a function.

    hidden (Tuple[str, ...]): Arguments that it can't.
    defaults (Dict[str, Any]): Defaults beside those of the signature.
    """
    return tuple(
        Setting(name, *doc.arguments.get(name, ("", "")), defaults.get(name, parameter.default))
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in hidden
    )


def find_entry(entries: List[Entry], name: str) -> Entry:
    """Find an entry by its name. RAISES (ValueError): If none has it; the message names those that are close."""
    for entry in entries:
        if entry.name == name:
            return entry
    from rapidfuzz import fuzz, process, utils  # only a wrong name needs it

    names = [entry.name for entry in entries]
    close = process.extract(name, names, scorer=fuzz.WRatio, processor=utils.default_process, score_cutoff=60, limit=3)
    options = ", ".join([match for match, *_ in close] or names)
    raise ValueError(Errors.R179.format(value=name, options=options))


# Markdown


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
