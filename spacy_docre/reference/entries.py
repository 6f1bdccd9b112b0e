"""Entries of the reference: components and registered functions, from their signatures and docstrings."""

import inspect
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any, Dict, List, Tuple, get_type_hints

from spacy.language import Language

from ..errors import Errors
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
    raise ValueError(Errors.R180.format(value=name, options=options))
