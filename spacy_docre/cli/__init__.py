"""The command line: `python -m spacy_docre`. Each module adds its commands to `app` when imported."""

from . import (
    annotate,
    benchmark,
    config,
    convert,
    demo,
    evaluate,
    extract,
    noise,
    pack,
    prepare,
    relabel,
    settings,
    show,
    stats,
    tune,
)
from ._util import app
