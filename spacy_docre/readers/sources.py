"""Corpora as they are published, for configs: a block in the place of `path` in `spacy-docre.Corpus.v1`."""

import warnings
from typing import Any, Callable, Iterator, List, Literal, Optional

import spacy
from spacy.language import Language
from spacy.tokens import Doc

from ..errors import Errors, Warnings
from .brat import read_brat
from .docred import read_docred, read_rel_info
from .dwie import N_DEV, read_dwie, read_titles
from .faults import Faults
from .jsonl import read_jsonl
from .label_studio import read_label_studio
from .lift import Lift
from .prodigy import read_prodigy
from .pubtator import read_pubtator

Link = Literal["exact", "none"]


class Source:
    """Reads a corpus anew each time, and warns of what it drops."""

    def __init__(self, read: Callable[..., Iterator[Doc]], path: Optional[str], **options: Any) -> None:
        """RAISES (ValueError): If there is no path."""
        if not path:
            raise ValueError(Errors.R104.format(path=path))
        self.read, self.path, self.options = read, path, options

    def __call__(self, nlp: Language) -> Iterator[Doc]:
        """YIELDS (Doc): Gold documents."""
        faults = Faults()
        yield from self.read(self.path, nlp=nlp, faults=faults, **self.options)
        if faults.messages:
            found = "; ".join(f"{n} {text}" for text, n in faults.rows())
            warnings.warn(Warnings.RW17.format(path=self.path, found=found), stacklevel=2)

    def __str__(self) -> str:
        return self.path


def _make_lift(coref_labels: List[str], link: Link) -> Lift:
    """Build what makes entities of an annotation tool's mentions, from the settings of its reader."""
    return Lift(coref_labels, by_text=link == "exact")


@spacy.registry.readers("spacy-docre.Docred.v1")
def create_docred(path: Optional[str], *, rel_info: Optional[str] = None, strict: bool = False) -> Source:
    """Create a reader of the DocRED family.

    path (Optional[str]): A JSON file that holds one list of documents.
    rel_info (Optional[str]): JSON file with the name of each relation id; without it the id itself is the label.
    strict (bool): Raise at the first loss instead of dropping what is wrong.
    RAISES (ValueError): If there is no path, or the names can't be read.
    """
    return Source(read_docred, path, rel_info=read_rel_info(rel_info) if rel_info else None, strict=strict)


@spacy.registry.readers("spacy-docre.Dwie.v1")
def create_dwie(
    path: Optional[str],
    *,
    part: str = "all",
    n_dev: int = N_DEV,
    seed: int = 0,
    dev_titles: Optional[str] = None,
    strict: bool = False,
) -> Source:
    """Create a reader of DWIE.

    path (Optional[str]): Folder of JSON files, annos_with_content.
    part (str): "all"; or, less the documents without mentions, "test" (tag `test`), "dev" or "train" (tag `train`).
    n_dev (int): How many documents of the tag `train` are dev.
    seed (int): What these are drawn by.
    dev_titles (Optional[str]): File with the title of a dev document in each line, in place of drawn ones.
    strict (bool): Raise at the first loss instead of dropping what is wrong.
    RAISES (ValueError): If there is no path, or the titles can't be read.
    """
    titles = read_titles(dev_titles) if dev_titles else None
    return Source(read_dwie, path, part=part, n_dev=n_dev, seed=seed, dev_titles=titles, strict=strict)


@spacy.registry.readers("spacy-docre.Pubtator.v1")
def create_pubtator(path: Optional[str], *, strict: bool = False) -> Source:
    """Create a reader of PubTator files with relations.

    path (Optional[str]): File of documents with an empty line between them.
    strict (bool): Raise at the first loss instead of dropping what is wrong.
    RAISES (ValueError): If there is no path.
    """
    return Source(read_pubtator, path, strict=strict)


@spacy.registry.readers("spacy-docre.Jsonl.v1")
def create_jsonl(path: Optional[str], *, strict: bool = False) -> Source:
    """Create a reader of our own JSONL.

    path (Optional[str]): File with one JSON object a line.
    strict (bool): Raise at the first loss instead of dropping what is wrong.
    RAISES (ValueError): If there is no path.
    """
    return Source(read_jsonl, path, strict=strict)


@spacy.registry.readers("spacy-docre.Prodigy.v1")
def create_prodigy(
    path: Optional[str],
    *,
    coref_labels: List[str] = ["COREF"],
    link: Link = "exact",
    annotator: str = "",
    strict: bool = False,
) -> Source:
    """Create a reader of Prodigy's relation tasks.

    path (Optional[str]): File that db-out writes.
    coref_labels (List[str]): Labels of relations that mean "the same entity".
    link (Literal["exact", "none"]): "exact": mentions of one text and label are one entity; "none": only those with a
        coreference are.
    annotator (str): Takes only answers of the annotator or session with this name.
    strict (bool): Raise at the first loss instead of dropping what is wrong.
    RAISES (ValueError): If there is no path.
    """
    return Source(read_prodigy, path, lift=_make_lift(coref_labels, link), annotator=annotator, strict=strict)


@spacy.registry.readers("spacy-docre.LabelStudio.v1")
def create_label_studio(
    path: Optional[str],
    *,
    coref_labels: List[str] = ["COREF"],
    link: Link = "exact",
    annotator: str = "",
    text_key: str = "text",
    strict: bool = False,
) -> Source:
    """Create a reader of Label Studio's export format JSON.

    path (Optional[str]): File that holds one list of tasks.
    coref_labels (List[str]): Labels of relations that mean "the same entity".
    link (Literal["exact", "none"]): "exact": mentions of one text and label are one entity; "none": only those with a
        coreference are.
    annotator (str): Takes only annotations that the user with this number or e-mail address completed.
    text_key (str): Key of the text in a task's data.
    strict (bool): Raise at the first loss instead of dropping what is wrong.
    RAISES (ValueError): If there is no path.
    """
    lift = _make_lift(coref_labels, link)
    return Source(read_label_studio, path, lift=lift, annotator=annotator, text_key=text_key, strict=strict)


@spacy.registry.readers("spacy-docre.Brat.v1")
def create_brat(
    path: Optional[str],
    *,
    coref_labels: List[str] = ["COREF"],
    link: Link = "exact",
    strict: bool = False,
) -> Source:
    """Create a reader of brat's standoff files.

    path (Optional[str]): Folder of .txt and .ann files.
    coref_labels (List[str]): Labels of relations that mean "the same entity", as Equiv does.
    link (Literal["exact", "none"]): "exact": mentions of one text and label are one entity; "none": only those with a
        coreference are.
    strict (bool): Raise at the first loss instead of dropping what is wrong.
    RAISES (ValueError): If there is no path.
    """
    return Source(read_brat, path, lift=_make_lift(coref_labels, link), strict=strict)
