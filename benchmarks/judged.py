"""Count the judged relations of judged.jsonl: the table of ten paragraphs in docs/en_docre.md.

    python benchmarks/judged.py [judged.jsonl]

Each line is one relation that `en_docre` found in a paragraph of assets/paragraphs.jsonl: `document` is the paragraph's
id, `right` the verdict of `judge`, and `wrong` says what is wrong with a relation that is not right.
"""

import argparse
import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

BOUNDS = [0.6, 0.7, 0.8]


def read_judged(path: Path) -> List[Dict[str, Any]]:
    """RETURNS (List[Dict[str, Any]]): The judged relations, one a line."""
    return [json.loads(line) for line in path.read_text(encoding="utf8").splitlines()]


def count_right(relations: List[Dict[str, Any]]) -> Iterator[Tuple[str, int, int]]:
    """Count the right relations of each paragraph, of all, and of those with a high score.

    YIELDS (Tuple[str, int, int]): What is counted, how many are right, of how many.
    """
    groups: Dict[str, List[Dict[str, Any]]] = {}
    for relation in relations:
        groups.setdefault(relation["document"], []).append(relation)
    groups["all"] = relations
    for bound in BOUNDS:
        groups[f"score of {bound} or more"] = [r for r in relations if r["score"] >= bound]
    for name, group in groups.items():
        yield name, sum(r["right"] for r in group), len(group)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", type=Path, default=Path(__file__).with_suffix(".jsonl"))
    print("| | right | of |\n|---|---:|---:|")
    for row in count_right(read_judged(parser.parse_args().path)):
        print("| {} | {} | {} |".format(*row))
