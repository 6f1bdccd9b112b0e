"""Annotation layers of a Doc as plain sets, free of its tokenisation.

A mention is a pair of character offsets, so a predicted and a reference Doc of one text compare even where their tokens
differ, and whatever is annotated twice counts once, because sets hold it once.
"""

from bisect import bisect_right
from typing import Dict, FrozenSet, Iterable, List, Set, Tuple

from spacy.tokens import Doc

from .layers import cluster_keys, has_mentions
from .places import DEFAULT, Places
from .records import check_entities, get_relation_data
from .sentences import get_sentences

Offsets = Tuple[int, int]  # characters [start, end) of the text
Cluster = FrozenSet[Offsets]
TypedCluster = Tuple[Cluster, str]
EntityTriple = Tuple[TypedCluster, str, TypedCluster]  # head, relation label, tail


def mention_set(doc: Doc, places: Places = DEFAULT) -> Set[Offsets]:
    """RETURNS (Set[Offsets]): The mentions; empty where there are none."""
    return (
        {(span.start_char, span.end_char) for span in doc.spans[places.mentions]}
        if has_mentions(doc, places)
        else set()
    )


def entity_list(doc: Doc, places: Places = DEFAULT) -> List[TypedCluster]:
    """List mentions and type of each entity, by cluster number, so that the indices of relations point into it. An
    empty cluster is kept, and so are copies.
    """
    entities = []
    for key in cluster_keys(doc, places.clusters):
        spans = list(doc.spans[key])
        entities.append((frozenset((s.start_char, s.end_char) for s in spans), spans[0].label_ if spans else ""))
    return entities


def entity_set(doc: Doc, places: Places = DEFAULT) -> Set[TypedCluster]:
    """RETURNS (Set[TypedCluster]): The entities that have a mention: others cannot be found in the text."""
    return {(cluster, label) for cluster, label in entity_list(doc, places) if cluster}


def cluster_set(doc: Doc, places: Places = DEFAULT) -> Set[Cluster]:
    """RETURNS (Set[Cluster]): The clusters that have a mention, singletons among them."""
    return {cluster for cluster, _ in entity_set(doc, places)}


def triple_set(doc: Doc, places: Places = DEFAULT) -> Set[EntityTriple]:
    """RETURNS (Set[EntityTriple]): Head, label and tail of the relations; see `find_support`."""
    return set(find_support(doc, places))


def triple_scores(doc: Doc, places: Places = DEFAULT) -> Dict[EntityTriple, float]:
    """List head, label and tail of the relations, and the highest score of each.

    RAISES (ValueError): If a relation names an entity that the Doc does not have.
    """
    entities = entity_list(doc, places)
    scores: Dict[EntityTriple, float] = {}
    for record in get_relation_data(doc, places) or ():
        check_entities(doc, record, len(entities))
        triple = entities[record["head"]], record["label"], entities[record["tail"]]
        scores[triple] = max(scores.get(triple, 0.0), record.get("score", 1.0))
    return scores


def find_support(doc: Doc, places: Places = DEFAULT) -> Dict[EntityTriple, Set[Offsets]]:
    """List the relations between entities, and the sentences that support each.

    RETURNS (Dict[EntityTriple, Set[Offsets]]): Head, label and tail to the sentences; empty where there are no
        relations. An entity without mentions stays in its relations: it is part of what was asked for, and missed.
    RAISES (ValueError): If a relation names an entity that the Doc does not have.
    """
    entities = entity_list(doc, places)
    sents = [(s.start_char, s.end_char) for s in get_sentences(doc)]
    support: Dict[EntityTriple, Set[Offsets]] = {}
    for record in get_relation_data(doc, places) or ():
        check_entities(doc, record, len(entities))
        head, label, tail = record["head"], record["label"], record["tail"]
        found = support.setdefault((entities[head], label, entities[tail]), set())
        found.update(sents[i] for i in record.get("sentences", ()) if i < len(sents))
    return support


def find_sentences(spans: Iterable[Offsets], starts: List[int]) -> Set[int]:
    """Find the numbers of the sentences that any of the spans touches.

    starts (List[int]): First character of each sentence.
    """
    found: Set[int] = set()
    for start, end in spans:
        found.update(range(bisect_right(starts, start) - 1, bisect_right(starts, end - 1)))
    return found
