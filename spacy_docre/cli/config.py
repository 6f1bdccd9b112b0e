"""`config HEAD`: the whole training config of a relation head."""

from pathlib import Path
from typing import Optional

import typer

from ..training.configs import list_heads, make_config
from ._util import app, one_line_errors

HEAD = typer.Argument(..., metavar="HEAD", help=f"Relation head: {', '.join(list_heads())}.")
ENCODER = typer.Option(None, "--encoder", "-e", help="Hugging Face name, a folder, or package:NAME.")
MIXED = typer.Option(False, "--mixed-precision", help="Train in bfloat16 where torch can.")
MARKED = typer.Option(
    False, "--marked/--shared", help="Whether relations have an encoder of their own, with markers round mentions."
)
ONLY = typer.Option(False, "--relations-only", help="Relations between gold entities alone, as the papers have them.")
OUTPUT = typer.Option(None, "--output", "-o", help="File to write; by default the config is printed.")


@app.command("config")
def config_cli(
    head: str = HEAD,
    encoder: Optional[str] = ENCODER,
    mixed_precision: bool = MIXED,
    marked: bool = MARKED,
    relations_only: bool = ONLY,
    output: Optional[Path] = OUTPUT,
) -> None:
    """Print a config for `spacy train`: the base config with a relation head, all defaults filled in.

    Example: python -m spacy_docre config atlop --encoder bert-base-cased > my.cfg
    """
    with one_line_errors():
        options = {"mixed_precision": mixed_precision, "marked": marked, "relations_only": relations_only}
        config = make_config(head, encoder=encoder, **options)
        if output is None:
            typer.echo(config.to_str(interpolate=False))
        else:
            output.parent.mkdir(parents=True, exist_ok=True)
            config.to_disk(output, interpolate=False)
