"""Write a corpus as .spacy, as a folder of .spacy shards, or as JSONL. There is never half a corpus under its name."""

import os
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Iterable, Iterator, Optional

from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from ..doc.layers import get_clusters, get_mentions
from ..doc.places import DEFAULT, Places
from ..doc.records import get_relation_data
from ..errors import Errors
from .jsonl import write_jsonl

SHARD_SIZE = 1000  # documents a file


@dataclass
class Sizes:
    """What a corpus holds."""

    documents: int = 0
    entities: int = 0
    mentions: int = 0
    relations: int = 0
    unannotated: int = 0  # documents without relation layer

    def count(self, docs: Iterable[Doc], places: Places = DEFAULT) -> Iterator[Doc]:
        """YIELDS (Doc): The documents as they pass."""
        for doc in docs:
            relations = get_relation_data(doc, places)
            self.documents += 1
            self.entities += len(get_clusters(doc, places))
            self.mentions += len(get_mentions(doc, places))
            self.relations += len(relations or ())
            self.unannotated += relations is None
            yield doc


def write_corpus(docs: Iterable[Doc], path: Path, *, places: Places = DEFAULT, vocab: Optional[Vocab] = None) -> Sizes:
    """Write documents where the ending of the path says.

    docs (Iterable[Doc]): Read as the work goes on; in constant memory if the path is a folder.
    path (Path): A file (.spacy or .jsonl), or a folder (no ending), whose shards are replaced.
    places (Places): Where the layers are kept on the documents.
    vocab (Optional[Vocab]): That of the documents, which then forgets the words of each shard.
    RETURNS (Sizes): What was written. Without any document nothing is.
    RAISES (ValueError): If the path has another ending.
    """
    if path.suffix not in (".spacy", ".jsonl", ""):
        raise ValueError(Errors.R118.format(path=path))
    sizes = Sizes()
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written to a neighbour first: what is cut short must not look whole.
    with TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        written = list(_write_files(sizes.count(docs, places), Path(folder), path, places, vocab))
        if not sizes.documents:
            return sizes
        if not path.suffix:
            path.mkdir(exist_ok=True)
            for old in path.glob("part-*.spacy"):
                old.unlink()
        for file in written:
            os.replace(file, path if path.suffix else path / file.name)
    return sizes


def _write_files(
    docs: Iterable[Doc], folder: Path, path: Path, places: Places, vocab: Optional[Vocab]
) -> Iterator[Path]:
    """YIELDS (Path): The files written to the folder: one, or one for each shard."""
    if path.suffix == ".jsonl":
        write_jsonl(docs, folder / path.name, places)
        yield folder / path.name
        return
    docs = iter(docs)
    for i in count() if path.suffix == "" else range(1):
        file = folder / f"part-{i:05d}.spacy"
        with vocab.memory_zone() if vocab else nullcontext():
            shard = DocBin(store_user_data=True, docs=islice(docs, SHARD_SIZE if path.suffix == "" else None))
            shard.to_disk(file)
        if not len(shard):
            return
        yield file
