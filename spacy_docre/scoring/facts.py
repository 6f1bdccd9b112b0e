"""Facts of the training data, which Ign F1 leaves out: names of head and tail mention with the relation between them.

Saved as sorted 64-bit hashes. With n facts kept and q looked up, the odds that any unseen fact is taken for a seen one
are below n * q / 2^64: for a million of each about 1 in 18 million.
"""

from itertools import product
from pathlib import Path
from typing import Any, Collection, Iterable, Set, Tuple, Union

import srsly
from spacy.strings import get_string_id
from spacy.tokens import Doc

from ..attributes import CLUSTER_PREFIX, RELATIONS_ATTR
from ..errors import Errors
from .layers import Cluster, triple_set

NamedFact = Tuple[str, str, str]  # head name, relation label, tail name
Facts = Collection[Union[int, NamedFact]]  # as hashes, as names, or both mixed

FORMAT = "spacy_docre.facts.v1"


def mention_names(text: str, cluster: Cluster) -> Set[str]:
    """RETURNS (Set[str]): Strings of an entity's mentions. Runs of white space become one space, so that a name broken
    over two lines is still the same name.
    """
    return {" ".join(text[start:end].split()) for start, end in cluster}


def collect_facts(docs: Iterable[Doc], *, prefix: str = CLUSTER_PREFIX, attr: str = RELATIONS_ATTR) -> Set[NamedFact]:
    """List every pair of mention names that the data state a relation for, in DocRED's reading: each name of the head
    with each name of the tail.

    docs (Iterable[Doc]): Gold documents, usually the training data. May be a generator.
    RETURNS (Set[NamedFact]): (head name, relation label, tail name).
    """
    facts: Set[NamedFact] = set()
    for doc in docs:
        text = doc.text
        for (head, _), label, (tail, _) in triple_set(doc, prefix, attr):
            facts.update(product(mention_names(text, head), (label,), mention_names(text, tail)))
    return facts


def hash_fact(fact: NamedFact) -> int:
    """RETURNS (int): 64-bit hash, the same on every machine."""
    return get_string_id("\t".join(fact))  # names hold no tab: their white space was normalised


def is_known(facts: Facts, text: str, head: Cluster, label: str, tail: Cluster) -> bool:
    """RETURNS (bool): Whether any pair of the entities' mention names is among the facts with this relation."""
    named = product(mention_names(text, head), (label,), mention_names(text, tail))
    return any(fact in facts or hash_fact(fact) in facts for fact in named)


def save_facts(facts: Facts, path: Union[str, Path]) -> None:
    """Write facts as hashes: about nine bytes each, and no names of the training data leave the house."""
    hashes = sorted({fact if isinstance(fact, int) else hash_fact(fact) for fact in facts})
    srsly.write_msgpack(path, {"format": FORMAT, "hashes": hashes})


def load_facts(*paths: Union[str, Path]) -> Set[int]:
    """Read one or several fact files.

    RETURNS (Set[int]): Hashes, all files together.
    RAISES (ValueError): If a file is none of ours.
    """
    hashes: Set[int] = set()
    for path in paths:
        if not Path(path).is_file():
            raise ValueError(Errors.R104.format(path=path))
        try:
            data: Any = srsly.read_msgpack(path)
        except ValueError:
            data = None
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise ValueError(Errors.R130.format(path=path))
        hashes.update(data["hashes"])
    return hashes
