"""Loading of pipelines that commands name, and whether they fit a corpus."""

from collections import Counter
from pathlib import Path
from typing import Any, Iterable, Iterator, Optional

import spacy
import typer
from spacy.cli._util import import_code
from spacy.language import Language
from spacy.training import Example

from ..attributes import get_relation_data
from ..errors import Errors, Warnings

CODE = typer.Option(None, "--code", "-c", help="Python file that registers heads or losses of your own.")


def load_pipeline(model: str, code: Optional[Path] = None) -> Language:
    """Load an installed package or a folder.

    code (Optional[Path]): Python file to import before.

    RAISES (ValueError): If there is none of that name, or it is a packed file or an unzipped one.
    """
    import_code(code)
    path = Path(model)
    if spacy.util.is_package(model):
        return spacy.load(model)
    if path.is_file() or (path / "manifest.json").is_file():
        raise ValueError(Errors.R158.format(model=model))
    if not (path / "config.cfg").is_file():
        raise ValueError(Errors.R155.format(model=model))
    return spacy.load(path)


def find_relations(nlp: Language) -> Any:
    """RETURNS (Any): The component that writes relations; None if there is none."""
    return next((pipe for _, pipe in nlp.pipeline if "relations_attr" in (getattr(pipe, "cfg", None) or ())), None)


class LabelCheck:
    """Counts gold relations of which the pipeline does not know the label, and so can never find.

    nlp (Language): The pipeline.
    """

    def __init__(self, nlp: Language) -> None:
        self.cfg = getattr(find_relations(nlp), "cfg", {})
        self.counts: Counter = Counter()

    def watch(self, examples: Iterable[Example]) -> Iterator[Example]:
        """YIELDS (Example): The examples as they pass."""
        for example in examples:
            if self.cfg:
                records = get_relation_data(example.reference, self.cfg["relations_attr"])
                self.counts.update(record["label"] for record in records or ())
            yield example

    def report(self) -> None:
        """Say on stderr what is not known, if anything."""
        unknown = sorted(self.counts.keys() - set(self.cfg.get("labels", ())))
        if unknown:
            n = sum(self.counts[label] for label in unknown)
            named = ", ".join(map(repr, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
            typer.echo(
                Warnings.RW18.format(
                    n=n, total=self.counts.total(), n_labels=len(unknown), n_all=len(self.counts), named=named
                ),
                err=True,
            )
