"""Scores as Markdown tables."""

from typing import Any, Dict, List, Optional, Sequence

LEVELS = {
    "Mentions": "mentions",
    "Clusters": "clusters",
    "Entities (cluster + type)": "types",
    "Relations (strict)": "relations",
    "Relations, types ignored": "relations_untyped",
    "Evidence sentences": "evidence",
}
CUTS = {
    "Ign F1 (without facts seen in training)": "relations_ign_f",
    "within a sentence": "relations_f_intra",
    "across sentences": "relations_f_inter",
    "M1: head or tail has several mentions": "relations_f_m1",
    "M2: head and tail have several mentions": "relations_f_m2",
    "M2 of RSMAN: head or tail has more than two": "relations_f_m2_rsman",
}


def table1(scores: Dict[str, Any]) -> str:
    """RETURNS (str): Precision, recall and F1 in percent of the four strict levels and of untyped relations. "-" stands
    where nothing was scored.
    """
    rows = [[title, *(_percent(scores.get(f"{name}_{key}")) for key in "prf")] for title, name in LEVELS.items()]
    return _markdown(["Level", "P", "R", "F1"], rows)


def table_cuts(scores: Dict[str, Any]) -> str:
    """RETURNS (str): Strict relation F1 in percent, by cut."""
    rows = [[title, _percent(scores.get(key))] for title, key in CUTS.items()]
    return _markdown(["Relations (strict)", "F1"], rows)


def table_per_type(scores: Dict[str, Any]) -> str:
    """RETURNS (str): Strict precision, recall and F1 in percent of each relation, by name."""
    per_type = scores.get("relations_per_type") or {}
    rows = [[label, *(_percent(values[key]) for key in "prf")] for label, values in sorted(per_type.items())]
    return _markdown(["Relation", "P", "R", "F1"], rows)


def _percent(value: Optional[float]) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines: List[str] = []
    for row in cells:
        padded = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]
        lines.append("| " + " | ".join(padded) + " |")
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines.insert(1, "| " + " | ".join(rule) + " |")
    return "\n".join(lines)
