"""`convert FORMAT IN OUT`: corpora of many formats to .spacy or .jsonl."""

from dataclasses import dataclass
from enum import Enum
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple

import spacy
import typer
from spacy.tokens import Doc

from ..doc.copying import move_layers
from ..doc.places import DEFAULT, Places
from ..readers.brat import read_brat
from ..readers.docred import read_docred, read_rel_info
from ..readers.dwie import N_DEV, PARTS, read_dwie, read_titles
from ..readers.faults import Faults
from ..readers.jsonl import read_jsonl
from ..readers.label_studio import read_label_studio
from ..readers.lift import Lift
from ..readers.prodigy import read_prodigy
from ..readers.pubtator import read_pubtator
from ._util import LIMIT, OUT_CORPUS, REL_INFO, app, convert_docs, one_line_errors, places_option

convert = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(convert, name="convert", help="Convert a corpus to .spacy, a folder of .spacy shards, or .jsonl.")


class Link(str, Enum):
    """Which mentions without a coreference are one entity."""

    exact = "exact"
    none = "none"


# Type and declaration of every option, by the name that it has in `Format.options`.
OPTIONS: Dict[str, Tuple[Any, Any]] = {
    "rel_info": (Optional[Path], REL_INFO),
    "part": (str, typer.Option("all", "--part", help=f"Which documents, by tag: {', '.join(PARTS)}.")),
    "n_dev": (int, typer.Option(N_DEV, "--dev", min=0, help="How many of the tag train are dev.")),
    "seed": (int, typer.Option(0, "--seed", help="What they are drawn by.")),
    "dev_titles": (
        Optional[Path],
        typer.Option(None, "--dev-titles", help="File with their titles, one a line, instead of drawing them."),
    ),
    "lay_out": (
        bool,
        typer.Option(False, "--lay-out", help="Put mentions into blanks where the text is missing, for checks only."),
    ),
    "coref_label": (
        List[str],
        typer.Option(["COREF"], "--coref-label", help="Relation that means 'the same entity'; can be repeated."),
    ),
    "link": (
        Link,
        typer.Option(
            Link.exact, "--link", help="Mentions without coreference: one entity if text and label are equal?"
        ),
    ),
    "annotator": (
        str,
        typer.Option("", "--annotator", help="Take only what this annotator did: name, number or e-mail address."),
    ),
    "text_key": (str, typer.Option("text", "--text-key", help="Key of the text in the data of a task.")),
    "lang": (str, typer.Option("en", "--lang", help="Language whose tokenizer splits the text.")),
    "strict": (bool, typer.Option(False, "--strict", help="Stop at the first fault that would lose something.")),
    "limit": (int, LIMIT),
    "places": (str, places_option("Where OUT keeps its layers, if not in the usual places")),
}


SHARED = ("strict", "limit", "places")


@dataclass(frozen=True)
class Format:
    """A format that can be converted.

    name (str): Name of its command.
    read (Callable[..., Iterable[Doc]]): Its reader.
    about (str): Help of its command.
    options (Tuple[str, ...]): Names in `OPTIONS` that it has besides those of all formats.
    source (str): What IN is.
    """

    name: str
    read: Callable[..., Iterable[Doc]]
    about: str
    options: Tuple[str, ...] = ("lang",)
    source: str = "File to read."


FORMATS = [
    Format(
        "docred",
        read_docred,
        """Convert DocRED, Re-DocRED, Revisit-DocRED or JEREX's joint split.

        DocRED's distant part, 100,000 documents, goes in constant memory if OUT is a folder.

        Example: python -m spacy_docre convert docred train.json train.spacy --rel-info rel_info.json
        """,
        options=("rel_info",),
    ),
    Format(
        "dwie",
        read_dwie,
        """Convert DWIE, from the folder annos_with_content that its own download script writes.

        The parts are those of the papers (602, 98 and 99 documents), but which 98 are dev is drawn, or named by a file.

        Example: python -m spacy_docre convert dwie annos_with_content dev.spacy --part dev --seed 0
        """,
        options=("part", "n_dev", "seed", "dev_titles", "lay_out", "lang"),
        source="Folder to read, one JSON file a document.",
    ),
    Format(
        "pubtator",
        read_pubtator,
        """Convert PubTator files with relations: BioCreative V CDR, GDA, BioRED.

        Example: python -m spacy_docre convert pubtator CDR_TrainingSet.PubTator.txt train.spacy
        """,
    ),
    Format(
        "jsonl",
        read_jsonl,
        """Convert our own JSONL, one document a line.

        Example: python -m spacy_docre convert jsonl notes.jsonl notes.spacy
        """,
    ),
    Format(
        "prodigy",
        read_prodigy,
        """Convert what Prodigy's db-out writes of rel.manual or coref.manual: the first accepted answer to each text.

        Example: python -m spacy_docre convert prodigy answers.jsonl train.spacy --coref-label COREF
        """,
        options=("coref_label", "link", "annotator", "lang"),
    ),
    Format(
        "labelstudio",
        read_label_studio,
        """Convert Label Studio's export format JSON (not JSON-MIN, which has no relations): of each task the annotation
        that is ground truth, or the first that was not cancelled.

        Example: python -m spacy_docre convert labelstudio project-1.json train.spacy --coref-label same
        """,
        options=("coref_label", "link", "annotator", "text_key", "lang"),
    ),
    Format(
        "brat",
        read_brat,
        """Convert brat's standoff files; what is Equiv is one entity.

        Example: python -m spacy_docre convert brat annotations train.spacy --link none
        """,
        options=("coref_label", "link", "lang"),
        source="Folder of .txt and .ann files, with all folders in it.",
    ),
]


def add_command(form: Format) -> None:
    """Add the command of a format, whose arguments and options typer reads from the signature."""

    def command(in_path: Path, out_path: Path, limit: int, places: str, **options: Any) -> None:
        with one_line_errors():
            faults = Faults()
            kept_at = Places.parse(places)
            settings = make_settings(options)
            read = form.read(in_path, faults=faults, **settings)
            docs = (move_layers(doc, DEFAULT, kept_at) for doc in read)
            # DocRED's distant part has more words than memory should hold.
            vocab = settings["nlp"].vocab if form.read is read_docred else None
            convert_docs(docs, in_path, out_path, faults, limit, places=kept_at, vocab=vocab)

    places = {"in_path": (Path, typer.Argument(..., metavar="IN", help=form.source)), "out_path": (Path, OUT_CORPUS)}
    taken = {**places, **{name: OPTIONS[name] for name in (*form.options, *SHARED)}}
    command.__signature__ = Signature(  # type: ignore[attr-defined]
        [Parameter(n, Parameter.KEYWORD_ONLY, default=value, annotation=kind) for n, (kind, value) in taken.items()]
    )
    command.__annotations__ = {name: kind for name, (kind, _) in taken.items()}
    convert.command(form.name, help=form.about)(command)


def make_settings(options: Dict[str, Any]) -> Dict[str, Any]:
    """Make the arguments of a reader of the options of its command."""
    settings = {"nlp": spacy.blank(options.pop("lang", "en")), **options}
    if "link" in options:
        settings["lift"] = Lift(settings.pop("coref_label"), by_text=settings.pop("link") is Link.exact)
    for name, read in (("rel_info", read_rel_info), ("dev_titles", read_titles)):
        if settings.get(name):
            settings[name] = read(settings[name])
    return settings


for each in FORMATS:
    add_command(each)
