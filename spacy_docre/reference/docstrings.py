"""Docstrings in spaCy's form, taken apart: `name (type): text` for each argument, RETURNS and RAISES."""

import inspect
import re
from dataclasses import dataclass, field
from typing import Any, Dict, List, Tuple

# Begins at the margin; lines that go on are indented.
LINE = re.compile(r"(?P<names>\w+(?:, \w+)*) \((?P<type>.+?)\): (?P<text>.+)")
OUTCOMES = ("RETURNS", "YIELDS", "RAISES")


@dataclass(frozen=True)
class Docstring:
    """What a docstring says.

    about (Tuple[str, ...]): Paragraphs on the function itself, each on one line.
    arguments (Dict[str, Tuple[str, str]]): Type and text of each argument.
    outcomes (Dict[str, Tuple[str, str]]): The same of what comes back and what is raised, by RETURNS, YIELDS, RAISES.
    """

    about: Tuple[str, ...] = ()
    arguments: Dict[str, Tuple[str, str]] = field(default_factory=dict)
    outcomes: Dict[str, Tuple[str, str]] = field(default_factory=dict)


def read_docstring(function: Any) -> Docstring:
    """Read the docstring of a function; the result is empty where it has none."""
    about: List[List[str]] = [[]]
    found: Dict[str, Tuple[str, List[str]]] = {}
    lines: List[str] = []  # of the entry that is being read
    for line in (inspect.getdoc(function) or "").splitlines():
        entry = LINE.fullmatch(line)
        if entry is not None:
            lines = [entry["text"]]
            found.update(dict.fromkeys(entry["names"].split(", "), (entry["type"], lines)))
        elif lines and line.startswith(" "):
            lines.append(line.strip())
        else:
            lines = []
            if line:
                about[-1].append(line.strip())
            else:
                about.append([])
    entries = {name: (kind, " ".join(text)) for name, (kind, text) in found.items()}
    return Docstring(
        tuple(" ".join(paragraph) for paragraph in about if paragraph),
        {name: entry for name, entry in entries.items() if name not in OUTCOMES},
        {name: entry for name, entry in entries.items() if name in OUTCOMES},
    )
