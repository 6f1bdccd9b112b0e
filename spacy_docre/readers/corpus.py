"""The corpus reader that training and evaluation configs name."""

import warnings
from itertools import islice
from pathlib import Path
from typing import Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Union

import numpy
import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example

from ..doc.align import align_spans, check_same_text, token_offsets
from ..doc.copying import copy_layers, move_layers
from ..doc.layers import (
    LAYERS,
    get_clusters,
    get_mentions,
    get_types,
    has_clusters,
    has_mentions,
    has_types,
    set_clusters,
    set_mentions,
)
from ..doc.notes import GIVEN_ATTR, TITLE_ATTR
from ..doc.places import DEFAULT, Places, find_places
from ..doc.records import has_relations
from ..doc.sentences import has_sentences
from ..errors import Errors, Warnings, check_choice
from .annotate import set_sent_starts
from .jsonl import read_jsonl
from .sources import Source

HAS_LAYER: Dict[str, Callable[[Doc, Places], bool]] = {
    "tokens": lambda doc, places: True,
    "sents": lambda doc, places: has_sentences(doc),
    "mentions": has_mentions,
    "clusters": has_clusters,
    "types": has_types,
    "relations": has_relations,
}
IMPLIED = {"clusters": ("mentions",), "types": ("mentions", "clusters")}


# spaCy 3.8.18 refuses pathlib annotations in registered functions, so the path is a string.
@spacy.registry.readers("spacy-docre.Corpus.v1")
def create_docre_corpus(
    path: Union[str, Callable[[Language], Iterable[Doc]], None],
    *,
    given: List[str] = [],
    limit: int = 0,
    require: List[str] = [],
    spans_key: str = DEFAULT.mentions,
    span_cluster_prefix: str = DEFAULT.clusters,
    relations_attr: str = DEFAULT.relations,
) -> "DocreCorpus":
    """Create a reader of .spacy files, like `spacy.Corpus.v1` plus gold layers that predictions start from.

    path (Union[str, Callable[[Language], Iterable[Doc]], None]): A .spacy file, a folder that holds some, or several
        of these separated by commas; or a block that reads another format, such as `spacy-docre.Dwie.v1`.
    given (List[str]): Gold layers that the predicted Doc starts with: tokens, sents, mentions, clusters, types.
        Clusters bring their mentions, types their clusters.
    limit (int): Number of documents to read; 0 for all.
    require (List[str]): Gold layers without which a document is left out: those above, and relations.
    spans_key (str): Key of `doc.spans` that holds the gold mentions in the files.
    span_cluster_prefix (str): Prefix of the keys of `doc.spans` that hold the gold clusters.
    relations_attr (str): Name of the Doc extension that shows the gold relations.
    RAISES (ValueError): If a layer is unknown.
    """
    places = Places(mentions=spans_key, clusters=span_cluster_prefix, relations=relations_attr)
    return DocreCorpus(path, given=given, limit=limit, require=require, places=places)


class DocreCorpus:
    """Yield an Example per document; see `create_docre_corpus` for the arguments.

    Gold layers go to the places that the pipeline's components name, whatever their places in the files.

    places (Places): Where the gold layers are kept in the files.
    """

    def __init__(
        self,
        path: Union[str, Callable[[Language], Iterable[Doc]], None],
        *,
        given: Sequence[str] = (),
        limit: int = 0,
        require: Sequence[str] = (),
        places: Places = DEFAULT,
    ) -> None:
        for layer in require:
            check_choice("require", layer, HAS_LAYER)
        self.path = path
        self.give(given)
        self.limit = limit
        self.require = list(require)
        self.places = places

    def give(self, given: Sequence[str]) -> None:
        """Set the gold layers that predictions start from, with those that they imply."""
        for layer in given:
            check_choice("given", layer, LAYERS)
        wanted = set(given).union(*(IMPLIED.get(layer, ()) for layer in given))
        self.given = [layer for layer in LAYERS if layer in wanted]

    def __call__(self, nlp: Language) -> Iterator[Example]:
        """YIELDS (Example): Gold document as reference; as predicted its text, tokenised by the pipeline.

        RAISES (ValueError): If a path is missing, or no document is found there.
        """
        n_read = n_lost = n_yielded = 0
        missing = {*self.given} - {"tokens", "sents"}
        for reference in self.read(nlp):
            n_read += 1
            if not all(HAS_LAYER[layer](reference, self.places) for layer in self.require):
                continue
            if self.limit and n_yielded >= self.limit:
                break
            predicted = self.make_predicted(nlp, reference)
            if "mentions" in self.given and has_mentions(reference, self.places):
                n_found = len(get_mentions(predicted, find_places(nlp)[0]))
                n_lost += len(get_mentions(reference, self.places)) - n_found
            n_yielded += 1
            missing.intersection_update(set(self.given).difference(predicted._.get(GIVEN_ATTR)))
            yield Example(predicted, carry_to_pipeline(reference, self.places, nlp))
        if not n_read:
            raise ValueError(Errors.R107.format(path=self.path))
        if missing and n_yielded:
            layers = ", ".join(layer for layer in self.given if layer in missing)
            warnings.warn(Warnings.RW19.format(path=self.path, layers=layers, places=self.places), stacklevel=2)
        if n_lost:
            warnings.warn(Warnings.RW08.format(n=n_lost), stacklevel=2)

    def read(self, nlp: Language) -> Iterator[Doc]:
        """YIELDS (Doc): Gold documents, file by file; those of a folder in alphabetical order."""
        if callable(self.path):
            yield from (move_layers(doc, DEFAULT, self.places) for doc in self.path(nlp))
            return
        for path in find_files(self.path):
            if path.suffix == ".jsonl":
                yield from (move_layers(doc, DEFAULT, self.places) for doc in Source(read_jsonl, str(path))(nlp))
                continue
            try:
                docs = DocBin().from_disk(path).get_docs(nlp.vocab)
            except Exception as e:  # srsly and zlib raise their own for each kind of damage
                problem = str(e).rstrip(".") or type(e).__name__
                raise ValueError(Errors.R120.format(path=path, problem=problem)) from None
            yield from docs

    def read_for(self, nlp: Language) -> Iterator[Doc]:
        """YIELDS (Doc): Gold documents, their layers also where the pipeline's components look for them."""
        yield from (carry_to_pipeline(doc, self.places, nlp) for doc in self.read(nlp))

    def make_predicted(self, nlp: Language, reference: Doc) -> Doc:
        """Make the Doc that predictions start from: the text of a gold document with the given layers, which are
        recorded on it. A layer that the gold document lacks is not given. Clusters that lose all mentions to the
        tokenisation are dropped.
        """
        given = [layer for layer in self.given if HAS_LAYER[layer](reference, self.places)]
        if "tokens" in given:
            words = [token.text for token in reference]
            predicted = Doc(nlp.vocab, words=words, spaces=[bool(token.whitespace_) for token in reference])
        else:
            predicted = nlp.make_doc(reference.text)
        if "sents" in given:
            _give_sents(reference, predicted)
        for places in find_places(nlp):
            if "mentions" in given:
                aligned = align_spans(reference, predicted, get_mentions(reference, self.places))
                set_mentions(predicted, [span for span in aligned if span], places=places)
            if "clusters" in given:
                self._give_clusters(reference, predicted, places, with_types="types" in given)
        predicted._.set(GIVEN_ATTR, given)
        predicted._.set(TITLE_ATTR, reference._.get(TITLE_ATTR))
        return predicted

    def _give_clusters(self, reference: Doc, predicted: Doc, places: Places, with_types: bool) -> None:
        clusters, types = get_clusters(reference, self.places), get_types(reference, self.places)
        aligned = iter(align_spans(reference, predicted, [span for cluster in clusters for span in cluster]))
        given = [[span for span in islice(aligned, len(cluster)) if span] for cluster in clusters]
        kept = [i for i, spans in enumerate(given) if spans]
        labels = [types[i] for i in kept] if with_types else None
        set_clusters(predicted, [given[i] for i in kept], labels, places=places)


def carry_to_pipeline(doc: Doc, places: Places, nlp: Language) -> Doc:
    """Write the layers of a gold document to all places that the pipeline's components name.

    RETURNS (Doc): The Doc itself.
    """
    for target in find_places(nlp):
        copy_layers(doc, places, target)
    return doc


def find_files(paths: Optional[str]) -> List[Path]:
    """Find the .spacy files, or files of our JSONL, that a setting names.

    paths (Optional[str]): A file, a folder (searched with its subfolders), or several separated by commas.
    RETURNS (List[Path]): Files; those of a folder in alphabetical order.
    RAISES (ValueError): If one is missing or a folder holds none.
    """
    if not paths:
        raise ValueError(Errors.R104.format(path=paths))
    names = [str(paths)] if Path(paths).exists() else [name.strip() for name in str(paths).split(",") if name.strip()]
    files: List[Path] = []
    for path in map(Path, names):
        if not path.exists():
            raise ValueError(Errors.R104.format(path=path))
        found = sorted(p for p in path.rglob("*.spacy") if not p.name.startswith(".")) if path.is_dir() else [path]
        if not found:
            raise ValueError(Errors.R107.format(path=path))
        files.extend(found)
    return files


def _give_sents(reference: Doc, predicted: Doc) -> None:
    """Start sentences at the same characters; where that is inside a token, at the next one."""
    check_same_text(reference, predicted)
    starts, _ = token_offsets(predicted)
    gold, _ = token_offsets(reference)
    if len(reference):
        first = numpy.searchsorted(starts, gold[[sent.start for sent in reference.sents]])
        set_sent_starts(predicted, first[first < len(predicted)].tolist())
