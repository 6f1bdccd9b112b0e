"""Loading of pipelines that commands name."""

from pathlib import Path

import spacy
from spacy.language import Language

from ..errors import Errors


def load_pipeline(model: str) -> Language:
    """Load an installed package or a folder.

    RAISES (ValueError): If there is none of that name, or it is a packed file or an unzipped one.
    """
    path = Path(model)
    if spacy.util.is_package(model):
        return spacy.load(model)
    if path.is_file() or (path / "manifest.json").is_file():
        raise ValueError(Errors.R158.format(model=model))
    if not (path / "config.cfg").is_file():
        raise ValueError(Errors.R155.format(model=model))
    return spacy.load(path)
