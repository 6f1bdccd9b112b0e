"""`config HEAD`: the whole training config of a relation head."""

from pathlib import Path
from typing import List, Optional

import typer
from spacy.util import load_model_from_config
from thinc.api import Config

from ..errors import Errors
from . import app
from .convert import one_line_errors

BASE = "base"
# In a checkout the configs lie beside the package, once installed inside it.
FOLDERS = [Path(__file__).parents[1] / "configs", Path(__file__).parents[2] / "configs"]
GIVEN = ("mentions", "clusters", "types")

HEAD = typer.Argument(..., metavar="HEAD", help="Relation head, such as atlop.")
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


def make_config(
    head: str,
    *,
    encoder: Optional[str] = None,
    mixed_precision: bool = False,
    marked: bool = False,
    relations_only: bool = False,
) -> Config:
    """Join the base config and that of a relation head.

    encoder (Optional[str]): Name of an encoder as configs have it; None for that of the base config.
    mixed_precision (bool): Whether to train in bfloat16.
    marked (bool): Whether relations get an encoder of their own, with markers round the mentions.
    relations_only (bool): Whether mentions, clusters and types are those of the corpus, so that none looks for them.
    RETURNS (Config): Complete and not interpolated.
    RAISES (ValueError): If there is no such head.
    """
    if head not in list_heads():
        raise ValueError(Errors.R305.format(what="relation head", value=head, options=", ".join(list_heads())))
    config = read_config(BASE).merge(read_config(head))
    if encoder is not None:
        config["vars"]["encoder"] = encoder
    config["vars"]["mixed_precision"] = mixed_precision
    components = config["components"]
    if marked:
        encoder_block = dict(components["docre_transformer"]["model"])
        tok2vec = {"@architectures": "spacy-docre.MarkedTransformer.v1", "encoder": encoder_block}
        components["docre_relations"]["model"]["tok2vec"] = tok2vec
    if relations_only:
        needed = ["sentencizer", *([] if marked else ["docre_transformer"]), "docre_relations"]
        config["nlp"]["pipeline"] = needed
        config["components"] = {name: components[name] for name in needed}
        config["corpora"]["dev"]["given"] = list(GIVEN)
        config["training"]["score_weights"].update({f"{layer}_f": None for layer in GIVEN})
    return load_model_from_config(config, auto_fill=True).config


def list_heads() -> List[str]:
    """RETURNS (List[str]): Names of the heads that have a config."""
    return sorted(path.stem for path in find_folder().glob("*.cfg") if path.stem != BASE)


def read_config(name: str) -> Config:
    """RETURNS (Config): A config of this package, not interpolated."""
    return Config().from_disk(find_folder() / f"{name}.cfg", interpolate=False)


def find_folder() -> Path:
    """RETURNS (Path): Where the configs lie."""
    return next((folder for folder in FOLDERS if (folder / f"{BASE}.cfg").is_file()), FOLDERS[0])
