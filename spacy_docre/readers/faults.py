"""Count what is wrong with a corpus while it is read."""

from dataclasses import dataclass, field, fields
from typing import Any, List, Tuple

MAX_MESSAGES = 100


def _count(text: str) -> Any:
    return field(default=0, metadata={"text": text})


@dataclass
class Faults:
    """Faults of a corpus by kind. Repairs lose nothing; whatever is dropped is fatal with `strict`.

    messages (List[str]): What was dropped and what to do about it, the first 100.
    """

    repeated_mentions: int = _count("mentions annotated twice in one entity (kept once)")
    shared_mentions: int = _count("mentions in several entities (kept in each, one mention)")
    mixed_types: int = _count("entities with several types (the most frequent kept)")
    empty_sentences: int = _count("sentences without text (later ones renumbered)")
    duplicate_titles: int = _count("documents with the title of an earlier one (kept)")
    duplicate_relations: int = _count("relations annotated twice (kept once)")
    self_relations: int = _count("relations of an entity with itself (dropped)")
    unknown_relations: int = _count("relations with an unknown id (dropped)")
    lost_relations: int = _count("relations of an entity without mentions (dropped)")
    lost_evidence: int = _count("evidence that points nowhere (dropped)")
    lost_entities: int = _count("entities without mentions (dropped)")
    misaligned_mentions: int = _count("mentions off token boundaries (dropped)")
    misaligned_sentences: int = _count("sentences off token boundaries (moved to the next token)")
    skipped_documents: int = _count("documents that could not be used (left out)")
    messages: List[str] = field(default_factory=list)

    def drop(self, name: str, message: str, strict: bool = False) -> None:
        """Count a loss and keep its message.

        name (str): Field to count in.
        message (str): What is lost, where, and what to do.
        RAISES (ValueError): With `strict`, the message.
        """
        if strict:
            raise ValueError(message)
        setattr(self, name, getattr(self, name) + 1)
        if len(self.messages) < MAX_MESSAGES:
            self.messages.append(message)

    def rows(self) -> List[Tuple[str, int]]:
        """RETURNS (List[Tuple[str, int]]): Description and count of each fault that occurred."""
        counted = [(f.metadata["text"], getattr(self, f.name)) for f in fields(self) if "text" in f.metadata]
        return [(text, n) for text, n in counted if n]

    def __bool__(self) -> bool:
        return bool(self.rows())
