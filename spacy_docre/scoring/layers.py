"""Annotation layers of a Doc as plain sets, free of its tokenisation.

A mention is a pair of character offsets, so a predicted and a reference Doc of one text compare even where their tokens
differ, and whatever is annotated twice counts once, because sets hold it once.
"""

from bisect import bisect_right
from typing import Dict, FrozenSet, Iterable, List, Set, Tuple

from spacy.tokens import Doc
from spacy.training import Example

from ..attributes import (
    CLUSTER_PREFIX,
    MENTIONS_KEY,
    RELATIONS_ATTR,
    cluster_keys,
    get_relation_data,
    get_sentences,
    get_title,
)
from ..errors import Errors

Offsets = Tuple[int, int]  # characters [start, end) of the text
Cluster = FrozenSet[Offsets]
TypedCluster = Tuple[Cluster, str]
Triple = Tuple[TypedCluster, str, TypedCluster]  # head, relation label, tail


def mention_set(doc: Doc, key: str = MENTIONS_KEY) -> Set[Offsets]:
    """RETURNS (Set[Offsets]): The mentions; empty where there are none."""
    return {(span.start_char, span.end_char) for span in doc.spans[key]} if key in doc.spans else set()


def entity_list(doc: Doc, prefix: str = CLUSTER_PREFIX) -> List[TypedCluster]:
    """RETURNS (List[TypedCluster]): Mentions and type of each entity, by cluster number, so that the indices of
    relations point into it. A cluster without mentions is kept (empty), and so are copies.
    """
    entities = []
    for key in cluster_keys(doc, prefix):
        spans = list(doc.spans[key])
        entities.append((frozenset((s.start_char, s.end_char) for s in spans), spans[0].label_ if spans else ""))
    return entities


def entity_set(doc: Doc, prefix: str = CLUSTER_PREFIX) -> Set[TypedCluster]:
    """RETURNS (Set[TypedCluster]): The entities that have a mention: others cannot be found in the text."""
    return {(cluster, label) for cluster, label in entity_list(doc, prefix) if cluster}


def cluster_set(doc: Doc, prefix: str = CLUSTER_PREFIX) -> Set[Cluster]:
    """RETURNS (Set[Cluster]): The clusters that have a mention, singletons among them."""
    return {cluster for cluster, _ in entity_set(doc, prefix)}


def triple_set(doc: Doc, prefix: str = CLUSTER_PREFIX, attr: str = RELATIONS_ATTR) -> Set[Triple]:
    """RETURNS (Set[Triple]): Head, label and tail of the relations; see `find_support`."""
    return set(find_support(doc, prefix, attr))


def find_support(doc: Doc, prefix: str = CLUSTER_PREFIX, attr: str = RELATIONS_ATTR) -> Dict[Triple, Set[Offsets]]:
    """List the relations between entities, and the sentences that support each.

    RETURNS (Dict[Triple, Set[Offsets]]): Head, label and tail to the sentences; empty where there are no relations. An
        entity without mentions stays in its relations: it is part of what was asked for, and missed.
    RAISES (ValueError): If a relation names an entity that the Doc does not have.
    """
    entities = entity_list(doc, prefix)
    n_entities = len(entities)
    sents = [(s.start_char, s.end_char) for s in get_sentences(doc)]
    support: Dict[Triple, Set[Offsets]] = {}
    for record in get_relation_data(doc, attr) or ():
        head, tail, label = record["head"], record["tail"], record["label"]
        if not (0 <= head < n_entities and 0 <= tail < n_entities):
            raise ValueError(
                Errors.R101.format(title=get_title(doc), relation=label, head=head, tail=tail, n_entities=n_entities)
            )
        found = support.setdefault((entities[head], label, entities[tail]), set())
        found.update(sents[i] for i in record.get("sentences", ()) if i < len(sents))
    return support


def find_sentences(spans: Iterable[Offsets], starts: List[int]) -> Set[int]:
    """RETURNS (Set[int]): Numbers of the sentences that a span touches, by the sentences' first characters."""
    found: Set[int] = set()
    for start, end in spans:
        found.update(range(bisect_right(starts, start) - 1, bisect_right(starts, end - 1)))
    return found


def check_same_text(example: Example) -> None:
    """Refuse to compare character offsets of two texts.

    RAISES (ValueError): If the texts of the predicted and the reference Doc differ.
    """
    gold, pred = example.reference.text, example.predicted.text
    if gold != pred:
        at = next((i for i, (g, p) in enumerate(zip(gold, pred)) if g != p), min(len(gold), len(pred)))
        title = get_title(example.reference)
        raise ValueError(Errors.R103.format(title=title, at=at, gold=gold[at : at + 20], pred=pred[at : at + 20]))
