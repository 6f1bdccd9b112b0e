"""`settings`: the settings of all components and registered functions."""

from typing import Optional

import typer

from ..reference.entries import find_entry, list_entries
from ..reference.page import describe, make_page
from ._util import app, one_line_errors

NAME = typer.Argument(None, metavar="[NAME]", help="One component or registered function; by default all, as a page.")


@app.command("settings")
def settings_cli(name: Optional[str] = NAME) -> None:
    """Print the settings of all components and registered functions as a page in Markdown, or those of one.

    Example: python -m spacy_docre settings docre_relations
    """
    with one_line_errors():
        entries = list_entries()
        if name is None:
            typer.echo(make_page(entries))
        else:
            typer.echo("\n\n".join(describe(find_entry(entries, name))))
