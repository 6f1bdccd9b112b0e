"""`pack` and `unpack`: a trained pipeline as one small file, and back."""

import shutil
from pathlib import Path
from typing import Any, Dict, Optional

import typer

from ..errors import Errors
from ..readers.checks import load_json
from ._util import MODEL, app, load_pipeline, one_line_errors

OUT = typer.Argument(..., metavar="OUT", help="File to write, such as en_docre.zip.")
PACKED = typer.Argument(..., metavar="PACKED", help="File that `pack` wrote.")
OUT_DIR = typer.Argument(..., metavar="OUT_DIR", help="Folder to write the pipeline to.")
NAME = typer.Option("docre", "--name", "-n", help="Name of the pipeline, without its language.")
CARD = typer.Option(None, "--card", metavar="IN", help="JSON object with description, author, license, notes, ….")
SCORES = typer.Option(None, "--scores", metavar="IN", help="Scores to keep in the model: JSON that `evaluate` wrote.")
FORCE = typer.Option(False, "--force", "-f", help="Replace what OUT_DIR holds.")


@app.command("pack")
def pack_cli(
    model: str = MODEL,
    out: Path = OUT,
    name: str = NAME,
    card: Optional[Path] = CARD,
    scores: Optional[Path] = SCORES,
) -> None:
    """Pack a trained pipeline into one file: large weights as 8-bit integers, no code, no pickle.

    The card and the scores go into its meta.json; `spacy package` makes the README of the model from them.

    Example: python -m spacy_docre pack training/model-best assets/en_docre.zip --card assets/en_docre.json
    """
    from ..packed import META_KEYS, pack_pipeline, write_archive  # imports torch, which other commands do without

    with one_line_errors():
        words, performance = read_object(card), read_object(scores)
        unknown = sorted(words.keys() - set(META_KEYS))
        if unknown:
            raise ValueError(Errors.R168.format(path=card, unknown=unknown, known=", ".join(META_KEYS)))
        nlp = load_pipeline(model)
        nlp.meta.update(words)
        if scores is not None:
            nlp.meta["performance"] = performance
        members, components = pack_pipeline(nlp, name=name)
        write_archive(out, members)
    typer.echo(f"{'component':<24} {'weights':>12}  largest relative error")
    for component in components:
        typer.echo(f"{component.name:<24} {component.weights:>12,}  {component.error:.4f}")
    typer.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB")


def read_object(path: Optional[Path]) -> Dict[str, Any]:
    """Read a JSON object; empty without a path. RAISES (ValueError): If the file holds something else."""
    content = {} if path is None else load_json(path)
    if not isinstance(content, dict):
        raise ValueError(Errors.R167.format(path=path, kind=type(content).__name__))
    return content


@app.command("unpack")
def unpack_cli(packed: Path = PACKED, out_dir: Path = OUT_DIR, force: bool = FORCE) -> None:
    """Build the pipeline that `pack` took apart; spacy.load and `spacy package` take the folder.

    Example: python -m spacy_docre unpack assets/en_docre.zip packages/en_docre
    """
    from ..packed import read_archive, unpack_pipeline

    with one_line_errors():
        check_free(out_dir, force)
        nlp = unpack_pipeline(read_archive(packed), packed)
        if out_dir.is_dir():
            shutil.rmtree(out_dir)
        out_dir.parent.mkdir(parents=True, exist_ok=True)
        nlp.to_disk(out_dir)
    typer.echo(f"{out_dir}: {nlp.meta['lang']}_{nlp.meta['name']} {nlp.meta['version']}, {', '.join(nlp.pipe_names)}")


def check_free(folder: Path, force: bool) -> None:
    """RAISES (ValueError): If a folder holds what may not be replaced: all, or with `force` all but a pipeline."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(Errors.R150.format(path=folder))
    if folder.is_dir() and any(folder.iterdir()) and not (force and (folder / "config.cfg").is_file()):
        raise ValueError(Errors.R150.format(path=folder))
