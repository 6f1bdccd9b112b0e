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
    overlapping_mentions: int = _count("mentions that overlap the one before (kept)")
    misaligned_mentions: int = _count("mentions that begin or end inside a token (the token is split)")
    trimmed_mentions: int = _count("mentions with spaces at their ends (trimmed)")
    shifted_mentions: int = _count("mentions with offsets in UTF-16 units, or line ends counted as one (corrected)")
    joined_mentions: int = _count("mentions in pieces (taken from the first to the last)")
    mixed_types: int = _count("entities with several types (one kept)")
    untyped_entities: int = _count("entities without a type (kept)")
    without_mentions: int = _count("documents without mentions (kept)")
    without_relations: int = _count("documents in which no entities are related (kept)")
    empty_sentences: int = _count("sentences without text (later ones renumbered)")
    duplicate_titles: int = _count("documents with the title of an earlier one (kept)")
    duplicate_relations: int = _count("relations annotated twice (kept once)")
    self_relations: int = _count("relations of an entity with itself (dropped)")
    unknown_relations: int = _count("relations with an unknown id (dropped)")
    unlabelled_relations: int = _count("relations without a label (dropped)")
    lost_relations: int = _count("relations of an entity without mentions (dropped)")
    lost_evidence: int = _count("evidence that points nowhere (dropped)")
    lost_entities: int = _count("entities without mentions (dropped)")
    wrong_offsets: int = _count("mentions whose text is not at their offsets (dropped)")
    blank_mentions: int = _count("mentions without text (dropped)")
    ignored_annotations: int = _count("annotations of kinds that have no place here (left out)")
    rejected_answers: int = _count("answers that were rejected, ignored or cancelled (left out)")
    further_answers: int = _count("further answers to a text, or of other annotators (left out)")
    unanswered_texts: int = _count("texts without annotation (left out)")
    left_out: int = _count("documents without mentions (left out of this part)")
    unknown_keys: int = _count("documents with unknown keys (the keys left out)")
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
