"""Lift mentions to entities, and relations between mentions to relations between entities: annotation tools only know
mentions. The rule: mentions joined by a coreference label are one entity; so are mentions of one text and label,
which also join an entity with such a mention; any other mention is an entity of its own."""

import re
from dataclasses import dataclass, field
from typing import Any, Callable, Container, Dict, Hashable, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

import spacy
from spacy.language import Language
from spacy.tokens import Doc

from ..doc.names import normalize_space
from ..errors import Errors
from .annotate import choose_type
from .checks import Malformed, is_text
from .faults import Faults
from .offsets import BOM, Mention, place_mentions, squash
from .records import Chars, read_records

Pair = Tuple[Hashable, Optional[str], Hashable]  # head, label (None: the same entity), tail


@dataclass
class Annotation:
    """What a tool says about one document. Mentions go by names that are unique in the document."""

    text: str
    title: Optional[str] = None
    mentions: Dict[Hashable, Mention] = field(default_factory=dict)
    pairs: List[Pair] = field(default_factory=list)
    has_relations: bool = True  # False: not annotated


@dataclass(frozen=True)
class Lift:
    """How mentions become entities.

    coref_labels (Container[str]): Labels of relations that mean "the same entity".
    by_text (bool): Whether mentions of one text and label are one entity.
    """

    coref_labels: Container[str] = ("COREF",)
    by_text: bool = True


def find_title(*values: Any) -> Optional[str]:
    """Take the first of the values that is a text or a whole number, as text."""
    return next((str(value) for value in values if isinstance(value, int) or (is_text(value) and value)), None)


def read_annotations(
    annotations: Iterable[Tuple[str, Union[Annotation, Malformed]]],
    *,
    nlp: Optional[Language],
    lift: Optional[Lift],
    strict: bool,
    faults: Faults,
) -> Iterator[Doc]:
    """Lift annotations to entities, and tokenise their text; see `read_records`.

    annotations (Iterable[Tuple[str, Union[Annotation, Malformed]]]): Where each stands, and what it says.
    nlp (Optional[Language]): Gives tokenizer and vocabulary; English by default.
    lift (Optional[Lift]): How mentions become entities; see there for the default.
    strict (bool): Raise at the first loss.
    faults (Faults): Counts what was found wrong, as far as the annotations were read.
    YIELDS (Doc): A document. The mentions that a relation was annotated between are its evidence.
    RAISES (ValueError): With `strict`, if anything would be dropped.
    """

    how = Lift() if lift is None else lift

    def records() -> Iterator[Tuple[str, Any]]:
        for where, annotation in annotations:
            if isinstance(annotation, Annotation):
                yield where, _Lifter(annotation, how, where, strict, faults).make_record()
            else:
                yield where, annotation

    nlp = spacy.blank("en") if nlp is None else nlp
    yield from read_records(records(), nlp=nlp, strict=strict, faults=faults)


def group(
    names: Iterable[Hashable],
    links: Iterable[Tuple[Hashable, Hashable]],
    key: Optional[Callable[[Hashable], Hashable]] = None,
) -> List[List[Hashable]]:
    """Group mentions to entities.

    names (Iterable[Hashable]): The mentions, in document order.
    links (Iterable[Tuple[Hashable, Hashable]]): Mentions of one entity.
    key (Optional[Callable[[Hashable], Hashable]]): Among mentions that share it, those without a link join the first
        one with a link, else the first one.
    RETURNS (List[List[Hashable]]): Mentions of each entity, in the order given.
    """
    parent = {name: name for name in names}

    def find(name: Hashable) -> Hashable:
        while parent[name] != name:
            parent[name] = name = parent[parent[name]]
        return name

    linked = set()
    for a, b in links:
        linked |= {a, b}
        parent[find(b)] = find(a)
    if key is not None:
        first: Dict[Hashable, Hashable] = {}
        for name in sorted(parent, key=lambda name: name not in linked):
            home = first.setdefault(key(name), name)
            if name not in linked:
                parent[find(name)] = find(home)
    clusters: Dict[Hashable, List[Hashable]] = {}
    for name in parent:
        clusters.setdefault(find(name), []).append(name)
    return list(clusters.values())


class _Lifter:
    """Makes a record, as our JSONL has it, of one annotation."""

    def __init__(self, annotation: Annotation, lift: Lift, where: str, strict: bool, faults: Faults) -> None:
        self.annotation, self.lift = annotation, lift
        self.where, self.strict, self.faults = where, strict, faults
        self.spans: Dict[Hashable, Chars] = {}

    def drop(self, fault: str, problem: str) -> None:
        message = Errors.R116.format(where=self.where, title=self.annotation.title or "", problem=problem)
        self.faults.drop(fault, message, self.strict)

    def make_record(self) -> Dict[str, Any]:
        self.spans = self.place_mentions()
        pairs = [pair for pair in self.annotation.pairs if self.has_ends(*pair)]
        links = [(head, tail) for head, label, tail in pairs if self.is_link(label)]
        clusters = group(self.spans, links, self.name_of if self.lift.by_text else None)
        record: Dict[str, Any] = {
            "id": self.annotation.title,
            "text": re.sub(f"^{BOM}", " ", self.annotation.text),
            "entities": [self.make_entity(cluster) for cluster in clusters],
        }
        if self.annotation.has_relations:
            relations = [(head, label or "", tail) for head, label, tail in pairs if not self.is_link(label)]
            record["relations"] = self.make_relations(relations, clusters)
        return record

    def is_link(self, label: Optional[str]) -> bool:
        return label is None or label in self.lift.coref_labels

    def place_mentions(self) -> Dict[Hashable, Chars]:
        """Find the code points [start, end) of each mention, from its first piece to its last.

        RETURNS (Dict[Hashable, Chars]): By name, in document order; mentions with another text there are left out.
        """
        text, spans = self.annotation.text, {}
        for name, placed in place_mentions(text, self.annotation.mentions).items():
            mention = self.annotation.mentions[name]
            if placed is None:
                start, end = mention.pieces[0][0], mention.pieces[-1][1]
                problem = f"the mention {mention.text or name!r:.60} is not at {start} to {end}, so it is dropped"
                self.drop("wrong_offsets", problem)
                continue
            self.faults.shifted_mentions += placed != mention.pieces
            spans[name] = min(placed)[0], max(placed, key=lambda piece: piece[1])[1]
            letters = "".join(text[start:end] for start, end in placed)
            self.faults.joined_mentions += len(placed) > 1 and squash(letters) != squash(text[slice(*spans[name])])
        return dict(sorted(spans.items(), key=lambda item: item[1]))

    def has_ends(self, head: Hashable, label: Optional[str], tail: Hashable) -> bool:
        lost = [name for name in (head, tail) if name not in self.spans]
        if lost:
            self.drop("lost_relations", f"{_describe(label)} names {lost[0]}, which is not a mention, so it is dropped")
        return not lost

    def name_of(self, name: Hashable) -> Hashable:
        """Tell what two mentions must share to be one entity: text and label."""
        start, end = self.spans[name]
        return normalize_space(self.annotation.text[start:end]), *self.annotation.mentions[name].labels[:1]

    def make_entity(self, cluster: Sequence[Hashable]) -> Dict[str, Any]:
        labels = [label for name in cluster for label in self.annotation.mentions[name].labels]
        self.faults.mixed_types += len(set(labels)) > 1
        return {"label": choose_type(labels or [""]), "mentions": [list(self.spans[name]) for name in cluster]}

    def make_relations(
        self, relations: Iterable[Tuple[Hashable, str, Hashable]], clusters: Sequence[Sequence[Hashable]]
    ) -> List[Dict[str, Any]]:
        entity = {name: i for i, cluster in enumerate(clusters) for name in cluster}
        merged: Dict[Tuple[int, str, int], List[Tuple[Chars, Chars]]] = {}
        for head, label, tail in relations:
            if not label:
                self.drop("unlabelled_relations", f"the relation from {head} to {tail} has no label, so it is dropped")
                continue
            if entity[head] == entity[tail]:
                problem = f"{_describe(label)} joins {head} and {tail}, which are one entity, so it is dropped"
                self.drop("self_relations", problem)
                continue
            evidence = merged.setdefault((entity[head], label, entity[tail]), [])
            pair = self.spans[head], self.spans[tail]
            if pair in evidence:
                self.faults.duplicate_relations += 1
            else:
                evidence.append(pair)
        return [
            {"head": head, "label": label, "tail": tail, "evidence": _share(pairs)}
            for (head, label, tail), pairs in merged.items()
        ]


def _describe(label: Optional[str]) -> str:
    return "a coreference" if label is None else f"a relation {label!r:.60}"


def _share(pairs: Sequence[Tuple[Chars, Chars]]) -> List[Dict[str, Any]]:
    """Turn mention pairs into evidence of one relation, each of the same weight."""
    return [{"head": list(head), "tail": list(tail), "weight": 1 / len(pairs)} for head, tail in pairs]
