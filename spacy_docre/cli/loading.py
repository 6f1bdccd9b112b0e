"""Loading of pipelines that commands name."""

from pathlib import Path
from typing import Optional

import spacy
import typer
from spacy.cli._util import import_code
from spacy.language import Language

from ..errors import Errors

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
