"""Knowledge of the training data for scores: its facts, which Ign F1 leaves out (names of head and tail mention, and
the relation between them), and how frequent each relation is.

Saved as sorted 64-bit hashes. With n facts kept and q looked up, the odds that any unseen fact is taken for a seen one
are below n * q / 2^64: for a million of each about 1 in 18 million.
"""

from itertools import product
from pathlib import Path
from typing import Any, Collection, Dict, Iterable, Iterator, Optional, Set, Tuple, Union

import srsly
from spacy.strings import get_string_id
from spacy.tokens import Doc

from ..doc.names import normalize_space
from ..doc.places import DEFAULT, Places
from ..doc.records import get_relation_data
from ..doc.sets import Cluster, triple_set
from ..errors import Errors

NamedFact = Tuple[str, str, str]  # head name, relation label, tail name
Facts = Collection[Union[int, NamedFact]]  # as hashes, as names, or both mixed

FORMAT = "spacy_docre.facts.v1"


def mention_names(text: str, cluster: Cluster) -> Set[str]:
    """RETURNS (Set[str]): Texts of an entity's mentions, see `normalize_space`."""
    return {normalize_space(text[start:end]) for start, end in cluster}


def collect_facts(docs: Iterable[Doc], places: Places = DEFAULT) -> Set[NamedFact]:
    """List every pair of mention names that the data state a relation for, in DocRED's reading: each name of the head
    with each name of the tail.

    docs (Iterable[Doc]): Gold documents, usually the training data. May be a generator.
    places (Places): Where their layers are kept.
    RETURNS (Set[NamedFact]): (head name, relation label, tail name).
    """
    facts: Set[NamedFact] = set()
    for doc in docs:
        text = doc.text
        for (head, _), label, (tail, _) in triple_set(doc, places):
            facts.update(product(mention_names(text, head), (label,), mention_names(text, tail)))
    return facts


def hash_fact(fact: NamedFact) -> int:
    """RETURNS (int): 64-bit hash, the same on every machine."""
    return get_string_id("\t".join(fact))  # names do not hold tabs: their white space was normalised


def is_known(facts: Facts, text: str, head: Cluster, label: str, tail: Cluster) -> bool:
    """RETURNS (bool): Whether any pair of the entities' mention names is among the facts with this relation."""
    named = product(mention_names(text, head), (label,), mention_names(text, tail))
    return any(fact in facts or hash_fact(fact) in facts for fact in named)


def count_labels(docs: Iterable[Doc], counts: Dict[str, int], places: Places = DEFAULT) -> Iterator[Doc]:
    """Count the relations of each label as documents pass.

    counts (Dict[str, int]): Added to.
    YIELDS (Doc): The documents.
    """
    for doc in docs:
        for record in get_relation_data(doc, places) or ():
            counts[record["label"]] = counts.get(record["label"], 0) + 1
        yield doc


def save_facts(facts: Facts, path: Union[str, Path], frequencies: Optional[Dict[str, int]] = None) -> None:
    """Write facts as hashes: about nine bytes each, and no names of the training data are in the file.

    frequencies (Optional[Dict[str, int]]): How often the training data have each label.
    """
    srsly.write_msgpack(path, facts_to_data(facts, frequencies))


def load_facts(*paths: Union[str, Path]) -> Set[int]:
    """Read one or several fact files.

    RETURNS (Set[int]): Hashes, all files together.
    RAISES (ValueError): If a file is not a file of facts.
    """
    return set().union(*(read_facts(path)[0] for path in paths))


def read_facts(path: Union[str, Path]) -> Tuple[Set[int], Optional[Dict[str, int]]]:
    """Read one fact file; see `facts_from_data`."""
    if not Path(path).is_file():
        raise ValueError(Errors.R104.format(path=path))
    try:
        data: Any = srsly.read_msgpack(path)
    except ValueError:
        data = None
    return facts_from_data(data, path)


def facts_to_data(facts: Facts, frequencies: Optional[Dict[str, int]]) -> Dict[str, Any]:
    """Write facts as the contents of a file."""
    hashes = sorted({fact if isinstance(fact, int) else hash_fact(fact) for fact in facts})
    return {"format": FORMAT, "hashes": hashes, "frequencies": frequencies}


def facts_from_data(data: Any, path: Union[str, Path]) -> Tuple[Set[int], Optional[Dict[str, int]]]:
    """Read the contents of a file of facts.

    RETURNS (Tuple[Set[int], Optional[Dict[str, int]]]): Hashes; frequencies of labels, if the file has them.
    RAISES (ValueError): If the data are not those of a file of facts.
    """
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ValueError(Errors.R130.format(path=path))
    return set(data["hashes"]), data.get("frequencies")
