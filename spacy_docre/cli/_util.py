"""What the commands share: the application, arguments and options, how a pipeline is loaded, how errors are shown."""

import contextlib
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Iterable, Iterator, List, Optional

import spacy
import srsly
import typer
from spacy.cli._util import import_code
from spacy.language import Language
from spacy.tokens import Doc
from spacy.vocab import Vocab
from tqdm import tqdm

from ..doc.layers import LAYERS
from ..doc.names import normalize_space
from ..doc.places import DEFAULT, Places
from ..errors import Errors
from ..readers.faults import Faults
from ..writers.corpus import Sizes, write_corpus

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


# Arguments and options of several commands

_PIPELINE = "Installed pipeline or folder."
MODEL = typer.Argument(..., metavar="MODEL", help=_PIPELINE)
MODEL_OPTION = typer.Option("en_docre", "--model", "-m", help=_PIPELINE)
CODE = typer.Option(None, "--code", "-c", help="Python file that registers heads or losses of your own.")
CORPUS = typer.Argument(..., metavar="CORPUS", help="Gold documents: .spacy, our .jsonl, a folder, several by commas.")
OUT_CORPUS = typer.Argument(..., metavar="OUT", help="File to write (.spacy or .jsonl), or a folder for .spacy shards.")
GIVEN = typer.Option("", "--given", help=f"Gold layers to start from, by commas: {', '.join(LAYERS)}.")
REL_INFO = typer.Option(None, "--rel-info", help="JSON object from relation id to readable name.")
LIMIT = typer.Option(0, "--limit", min=0, help="Number of documents; 0 for all.")
BATCH_SIZE = typer.Option(None, "--batch-size", min=1, help="Documents in a batch; the pipeline's own by default.")
BATCH_SIZE_16 = typer.Option(16, "--batch-size", min=1, help="Documents in a batch.")
GPU_ID = typer.Option(-1, "--gpu-id", "-g", help="GPU to use; -1 for the CPU.")


def json_option(what: str) -> Any:
    """Make the option --json of a command that prints some of what it finds."""
    return typer.Option(None, "--json", metavar="OUT", help=f"Write all {what} to this file.")


def seed_option(what: str) -> Any:
    """Make the option --seed of a command that draws at random."""
    return typer.Option(0, "--seed", min=0, help=f"Draws {what}: the same seed, the same draw.")


def places_option(what: str) -> Any:
    """Make the option `--places`. what: Whose places they are."""
    names = "mentions=KEY,clusters=PREFIX,relations=ATTR,entities=ATTR"
    return typer.Option("", "--places", help=f"{what}: a prefix, or names as in {names}.")


def split_names(names: str) -> List[str]:
    """Split what an option takes by commas."""
    return [name.strip() for name in names.split(",") if name.strip()]


# What commands do

# On stderr, as results go to stdout; work that is done at once shows no bar.
show_progress = partial(tqdm, unit=" docs", delay=0.5)


def write_json(path: Path, data: Any) -> None:
    """Write a file of JSON, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    srsly.write_json(path, data)


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Print an expected error as one line and leave with exit code 1."""
    try:
        yield
    except (ValueError, OSError) as e:
        typer.echo(normalize_space(str(e)), err=True)
        raise typer.Exit(1) from None


def use_gpu(gpu_id: int) -> None:
    """Let models that are loaded from now on run on a GPU, unless its number is negative."""
    if gpu_id >= 0:
        spacy.require_gpu(gpu_id)


def load_pipeline(model: str, code: Optional[Path] = None) -> Language:
    """Load an installed package or a folder.

    code (Optional[Path]): Python file to import before.
    RETURNS (Language): The pipeline.
    RAISES (ValueError): If nothing has that name, or it is a packed file or an unzipped one.
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


def convert_docs(
    docs: Iterable[Doc],
    in_path: Path,
    out_path: Path,
    faults: Faults,
    limit: int = 0,
    *,
    places: Places = DEFAULT,
    vocab: Optional[Vocab] = None,
) -> None:
    """Write documents where the ending of the path says, with progress on stderr and a summary on stdout.

    faults (Faults): Filled while `docs` is read.
    places (Places): Where the layers are kept on the documents.
    vocab (Optional[Vocab]): That of the documents, which then forgets the words of each shard.
    RAISES (ValueError): If there is no document, the path has another ending, or both paths are the same.
    """
    if in_path.exists() and out_path.exists() and in_path.samefile(out_path):
        raise ValueError(Errors.R122.format(path=out_path))
    docs = show_progress(islice(docs, limit) if limit else docs, desc=in_path.name)
    sizes = write_corpus(docs, out_path, places=places, vocab=vocab)
    if not sizes.documents:
        problem = faults.messages[0] if faults.messages else "It holds none, or none that was wanted."
        raise ValueError(Errors.R119.format(path=in_path, problem=problem))
    print_summary(sizes, faults)


def print_summary(sizes: Sizes, faults: Faults) -> None:
    """Print what was written and what was wrong; on stderr what was lost."""
    rows = [("documents", sizes.documents), ("entities", sizes.entities), ("mentions", sizes.mentions)]
    rows.append(("relations", sizes.relations))
    if sizes.unannotated:
        rows.append(("documents without annotated relations", sizes.unannotated))
    for text, n in rows + faults.rows():
        typer.echo(f"{n:>10,}  {text}")
    for message in faults.messages:
        typer.echo(message, err=True)
