"""Scores as Markdown tables."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

LEVELS = {
    "Mentions": "mentions",
    "Clusters": "clusters",
    "Entities (cluster + type)": "types",
    "Relations (strict)": "relations",
    "Relations, types ignored": "relations_untyped",
    "Evidence sentences": "evidence",
}
CUTS = {
    "all": "relations_f",
    "Ign F1 (without facts seen in training)": "relations_ign_f",
    "within a sentence": "relations_f_intra",
    "across sentences": "relations_f_inter",
    "M1: head or tail has several mentions": "relations_f_m1",
    "M2: head and tail have several mentions": "relations_f_m2",
    "M2 of RSMAN: head or tail has more than two": "relations_f_m2_rsman",
    "head: the 10 most frequent relations in training": "relations_f_head",
    "mid: the rest": "relations_f_mid",
    "tail: the 20 least frequent": "relations_f_tail",
}
# Gold layers that each task of JEREX's table 4 starts from.
TASKS: Dict[str, Tuple[str, ...]] = {
    "mentions": (),
    "clusters": ("mentions",),
    "types": ("clusters",),
    "relations": ("types",),
}
TASK_TITLES = {
    "Mentions": ("mentions", "mentions"),
    "Clusters, given mentions": ("clusters", "clusters"),
    "Types, given clusters": ("types", "types"),
    "Relations, given entities": ("relations", "relations"),
    "Evidence sentences, given entities": ("relations", "evidence"),
}
COREF = {"MUC": "coref_muc", "B-cubed": "coref_b3", "CEAF of entities": "coref_ceafe", "CoNLL (mean)": "coref_conll"}

Row = List[str]


def table1(scores: Dict[str, Any]) -> str:
    """Tabulate precision, recall and F1 in percent of the strict levels and of untyped relations; "-" where nothing was
    scored.
    """
    return _prf_table("Level", [(title, scores, name) for title, name in LEVELS.items()])


def table_tasks(tasks: Dict[str, Dict[str, Any]]) -> str:
    """Tabulate precision, recall and F1 in percent of each task on gold input."""
    return _prf_table("Task on gold input", [(title, tasks[task], name) for title, (task, name) in TASK_TITLES.items()])


def table_cuts(scores: Dict[str, Any], title: str = "Relations (strict)") -> str:
    """Tabulate strict relation F1 in percent, by cut."""
    rows = [[name, _percent(scores.get(key)), *_interval(scores, key)] for name, key in CUTS.items()]
    return markdown([title, "F1"], rows)


def table_coref(scores: Dict[str, Any]) -> str:
    """Tabulate precision, recall and F1 in percent of the coreference scores, with and without singletons."""
    variants = {"": "", ", no singletons": "_no_singletons"}
    rows = [(f"{title}{t}", scores, f"{name}{v}") for t, v in variants.items() for title, name in COREF.items()]
    return _prf_table("Coreference", rows)


def table_per_type(scores: Dict[str, Any]) -> str:
    """Tabulate strict precision, recall and F1 in percent of each relation, by name."""
    per_type = scores.get("relations_per_type") or {}
    rows = [[label, *(_percent(values[key]) for key in "prf")] for label, values in sorted(per_type.items())]
    return markdown(["Relation", "P", "R", "F1"], rows)


def _prf_table(header: str, levels: Sequence[Tuple[str, Dict[str, Any], str]]) -> str:
    """levels: title, scores, name of each row."""
    rows = []
    for title, scores, name in levels:
        values = [_percent(scores.get(f"{name}_{key}")) for key in "prf"]
        rows.append([title, *values, *_interval(scores, f"{name}_f")])
    return markdown([header, "P", "R", "F1"], rows)


def _interval(scores: Dict[str, Any], key: str) -> Row:
    """Make the cell of a confidence interval, if intervals were asked for."""
    if f"{key}_interval" not in scores:
        return []
    bounds = scores[f"{key}_interval"]
    return ["-" if bounds is None else " to ".join(map(_percent, bounds))]


def _percent(value: Optional[float]) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def markdown(header: Sequence[str], rows: Sequence[Row]) -> str:
    """Make a Markdown table. Rows may have one cell more than the header: a confidence interval."""
    n = max(map(len, [header, *rows]))
    header = [*header, "95 percent of draws"][:n]
    cells = [[cell.replace("|", "\\|") for cell in row] + ["-"] * (n - len(row)) for row in (header, *rows)]
    widths = [max(3, *(len(row[i]) for row in cells)) for i in range(n)]
    lines: List[str] = []
    for row in cells:
        padded = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]
        lines.append("| " + " | ".join(padded) + " |")
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines.insert(1, "| " + " | ".join(rule) + " |")
    return "\n".join(lines)
