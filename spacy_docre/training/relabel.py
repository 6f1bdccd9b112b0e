"""Give the documents of one corpus the relations that another has for them."""

from bisect import bisect_right
from collections import Counter
from typing import Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from spacy.tokens import Doc

from ..doc.notes import get_title
from ..doc.places import DEFAULT, Places
from ..doc.records import RelationRecord, get_relation_data, set_relation_data
from ..doc.sentences import sentence_starts
from ..doc.sets import Cluster, entity_list

PARTLY = "entities of ORIGINAL that share some mentions with one of CLEAN (taken for it)"
LOST = "entities of ORIGINAL that share no mention with any of CLEAN"
DROPPED = "relations of ORIGINAL whose entities are not in CLEAN, or are one there (dropped)"
FOUND = (PARTLY, LOST, DROPPED)


def relabel(
    docs: Iterable[Doc],
    labelled: Dict[str, Doc],
    found: Counter,
    lists: Dict[str, List[str]],
    places: Places = DEFAULT,
) -> Iterator[Doc]:
    """Put other relations on documents.

    docs (Iterable[Doc]): Changed in place.
    labelled (Dict[str, Doc]): Documents with the relations to take, by title. Those used are taken out.
    found (Counter): Filled with the counts of `FOUND`.
    lists (Dict[str, List[str]]): Filled with titles that were left out.
    places (Places): Where the layers are kept, in both.
    YIELDS (Doc): Documents whose title and text are in both.
    """
    for doc in docs:
        title = get_title(doc)
        other = labelled.pop(title, None)
        if other is None:
            lists["only in CLEAN"].append(title)
        elif other.text != doc.text:
            lists["with another text"].append(title)
        else:
            set_relation_data(doc, translate(doc, other, found, places), places)
            yield doc
    lists["only in ORIGINAL"].extend(labelled)


def translate(doc: Doc, other: Doc, found: Counter, places: Places = DEFAULT) -> Optional[List[RelationRecord]]:
    """Translate the relations of a Doc into the entities of another one with the same text. Sentences stay, mention
    pairs that support a relation do not.

    RETURNS (Optional[List[RelationRecord]]): Relations for `doc`; None where `other` has none annotated.
    """
    records = get_relation_data(other, places)
    if records is None:
        return None
    place = match_entities(list_entities(doc, places), list_entities(other, places), found)
    starts = sentence_starts(doc)
    sentences = [bisect_right(starts, start) - 1 for start in sentence_starts(other)]
    translated: Dict[Tuple[int, str, int], RelationRecord] = {}
    for record in records:
        head, tail = place[record["head"]], place[record["tail"]]
        if head is None or tail is None or head == tail:
            found[DROPPED] += 1
            continue
        support = sorted({sentences[s] for s in record["sentences"]})
        key = (head, record["label"], tail)
        translated.setdefault(key, {**record, "head": head, "tail": tail, "sentences": support, "evidence": []})
    return list(translated.values())


def list_entities(doc: Doc, places: Places) -> List[Cluster]:
    """List the mentions of each entity, by characters."""
    return [cluster for cluster, _ in entity_list(doc, places)]


def match_entities(entities: Sequence[Cluster], others: Sequence[Cluster], found: Counter) -> List[Optional[int]]:
    """Match each of `others` with the entity that has exactly its mentions, else with the one that has most of them,
    the first on ties.

    found (Counter): Counts those that match in part or not at all.
    RETURNS (List[Optional[int]]): Number of the entity; None where none shares a mention.
    """
    place: List[Optional[int]] = []
    for other in others:
        if other in entities:
            place.append(entities.index(other))
            continue
        shared = [len(entity & other) for entity in entities]
        most = max(shared, default=0)
        place.append(shared.index(most) if most else None)
        found[PARTLY if most else LOST] += 1
    return place
