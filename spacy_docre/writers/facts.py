"""What a file of facts needs of a record: names, types and sentences."""

from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Tuple

Record = Dict[str, Any]


@dataclass(frozen=True)
class NamedEntity:
    """An entity of a record.

    name (str): The longest mention that has a capitalised word, else the longest; the earliest on ties.
    label (str): Its type, "" for none.
    mentions (Tuple[Tuple[int, int], ...]): Characters [start, end).
    """

    name: str
    label: str
    mentions: Tuple[Tuple[int, int], ...]


def read_entities(record: Record) -> List[NamedEntity]:
    """RETURNS (List[NamedEntity]): The entities of a record, by number."""
    text = record["text"]
    entities = []
    for entity in record.get("entities", []):
        mentions = tuple((start, end) for start, end in entity["mentions"])
        capitalised = [m for m in mentions if any(word[:1].isupper() for word in text[slice(*m)].split())]
        name = max(capitalised or mentions, key=lambda m: (m[1] - m[0], -m[0]))
        entities.append(NamedEntity(text[slice(*name)], entity.get("label", ""), mentions))
    return entities


def read_sentences(record: Record, relation: Record) -> Iterator[str]:
    """YIELDS (str): The text of each sentence that supports a relation, on one line."""
    sents = record.get("sents") or [[0, len(record["text"])]]
    for number in relation.get("sentences", []):
        if number < len(sents):
            yield " ".join(record["text"][slice(*sents[number])].split())
