"""The command line: `python -m spacy_docre`. Each module of this room adds its commands to `app` when imported."""

import typer

app = typer.Typer(
    name="spacy_docre",
    help="Document-level relation extraction in spaCy.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def main() -> None:
    """Document-level relation extraction in spaCy."""


from . import (  # noqa: E402, F401
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
