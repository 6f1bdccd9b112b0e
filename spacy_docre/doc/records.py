"""Relations on a Doc as plain data, which is stored and copied with the Doc; the views are built from it."""

from typing import Iterable, List, Optional, Sequence, Tuple, TypedDict

from spacy.tokens import Doc

from ..arrays import SpanIndices
from ..errors import Errors
from .notes import get_title
from .places import DEFAULT, Places


class EvidenceRecord(TypedDict):
    """A pair of mentions, as token indices [start, end), and its weight."""

    head: List[int]
    tail: List[int]
    weight: float


class _Facts(TypedDict):
    head: int
    label: str
    tail: int


class RelationRecord(_Facts, total=False):
    """Head and tail as entity indices; sentences by number. Other readers than ours may leave the rest out."""

    kb_id: str
    score: float
    sentences: List[int]
    evidence: List[EvidenceRecord]


def relation_record(
    head: int,
    label: str,
    tail: int,
    *,
    kb_id: str = "",
    score: float = 1.0,
    sentences: Sequence[int] = (),
    evidence: Sequence[Tuple[SpanIndices, SpanIndices, float]] = (),
) -> RelationRecord:
    """Build the plain data of one relation.

    head, tail (int): Entity indices.
    sentences (Sequence[int]): Numbers of supporting sentences.
    evidence (Sequence): (head mention, tail mention, weight), mentions as token indices.
    """
    return {
        "head": int(head),
        "label": label,
        "kb_id": kb_id,
        "tail": int(tail),
        "score": float(score),
        "sentences": [int(s) for s in sentences],
        "evidence": [
            {"head": [int(i) for i in h], "tail": [int(i) for i in t], "weight": float(w)} for h, t, w in evidence
        ],
    }


def _register(places: Places) -> str:
    """Register the Doc extension that holds relation data at places that no pipeline or `install_extensions` has named
    yet. RETURNS (str): Its name."""
    if not Doc.has_extension(places.relation_data):
        Doc.set_extension(places.relation_data, default=None, force=True)  # another thread may have been faster
    return places.relation_data


def get_relation_data(doc: Doc, places: Places = DEFAULT) -> Optional[List[RelationRecord]]:
    """RETURNS (Optional[List[RelationRecord]]): Stored relations, best first; None where relations were never
    annotated."""
    data: Optional[Iterable[RelationRecord]] = doc._.get(_register(places))
    return None if data is None else [record.copy() for record in data]


def set_relation_data(doc: Doc, data: Optional[Iterable[RelationRecord]], places: Places = DEFAULT) -> None:
    """Write plain relation data (None: not annotated), in place of earlier data."""
    doc._.set(_register(places), None if data is None else list(data))


def has_relations(doc: Doc, places: Places = DEFAULT) -> bool:
    """RETURNS (bool): Whether relations are annotated, though perhaps none."""
    return doc._.get(_register(places)) is not None


def check_entities(doc: Doc, record: RelationRecord, n_entities: int) -> None:
    """RAISES (ValueError): If a relation names an entity that the Doc does not have."""
    if not (0 <= record["head"] < n_entities and 0 <= record["tail"] < n_entities):
        names = {"relation": record["label"], "head": record["head"], "tail": record["tail"]}
        raise ValueError(Errors.R101.format(title=get_title(doc), n_entities=n_entities, **names))
