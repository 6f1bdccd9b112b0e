"""Names, types and sentences of a record, for the files that list facts."""

from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Tuple

from ..doc.names import entity_name_by_words, normalize_space

BASE_IRI = "http://example.org/docre/"

Record = Dict[str, Any]


@dataclass(frozen=True)
class NamedEntity:
    """An entity of a record.

    name (str): Its name, see `entity_name`.
    label (str): Its type, "" for none.
    mentions (Tuple[Tuple[int, int], ...]): Characters [start, end).
    """

    name: str
    label: str
    mentions: Tuple[Tuple[int, int], ...]


def read_entities(record: Record) -> List[NamedEntity]:
    """Read the entities of a record, by number.

    An entity without a name of its own in the record is named by its words; see `doc_to_record`.
    """
    entities = []
    for entity in record.get("entities", []):
        name = entity.get("text") or entity_name_by_words(record["text"], entity["mentions"])
        mentions = tuple((start, end) for start, end in entity["mentions"])
        entities.append(NamedEntity(name, entity.get("label", ""), mentions))
    return entities


def read_sentences(record: Record, relation: Record) -> Iterator[str]:
    """YIELDS (str): The text of each sentence that supports a relation, on one line."""
    sents = record.get("sents") or [[0, len(record["text"])]]
    for number in relation.get("sentences", []):
        if number < len(sents):
            yield normalize_space(record["text"][slice(*sents[number])])
