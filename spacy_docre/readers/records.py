"""Make Docs of plain records: a text with character offsets, as our JSONL has it. Readers of other formats of text and
offsets make such records. Offsets count code points; an absent key means "not annotated", [] "none"."""

from bisect import bisect_right
from itertools import chain
from typing import Any, Dict, Iterable, Iterator, List, Sequence, Set, Tuple

import numpy
from spacy.language import Language
from spacy.tokens import Doc

from ..arrays import SpanIndices
from ..doc.align import token_offsets
from ..doc.notes import TITLE_ATTR
from ..doc.records import RelationRecord, relation_record, set_relation_data
from ..errors import Errors
from .annotate import annotate_entities, set_sent_starts
from .checks import Malformed, expect, is_index, is_range, is_share, is_text
from .faults import Faults

Chars = Tuple[int, int]

KEYS = {"id", "text", "sents", "entities", "relations"}
ENTITY_KEYS = {"label", "mentions", "text"}
RELATION_KEYS = {"head", "label", "kb_id", "tail", "score", "sentences", "evidence"}


def read_records(records: Iterable[Tuple[str, Any]], *, nlp: Language, strict: bool, faults: Faults) -> Iterator[Doc]:
    """Tokenise the text of records, and annotate it. A token that a mention or a sentence begins or ends in is split
    there, so that nothing of the gold data is lost; in training the text is tokenised anew.

    records (Iterable[Tuple[str, Any]]): Where it stands ("data.jsonl: line 3"), and one object as in our JSONL; in its
        place the Malformed that kept it from being made.
    nlp (Language): Gives tokenizer and vocabulary.
    strict (bool): Raise at the first loss.
    faults (Faults): Counts what was found wrong, as far as the records were read.
    YIELDS (Doc): A document, entities ordered by first mention and numbered anew in its relations.
    RAISES (ValueError): With `strict`, if anything would be dropped.
    """
    titles: Set[str] = set()
    for where, raw in records:
        try:
            record = _check_record(raw)
        except Malformed as e:
            faults.drop("skipped_documents", Errors.R115.format(where=where, problem=e), strict)
            continue
        unknown = sorted(_unknown_keys(record))
        if unknown:
            problem = f"the key {', '.join(map(repr, unknown))} is unknown, so it is left out"
            message = Errors.R116.format(where=where, title=record.get("id", ""), problem=problem)
            faults.drop("unknown_keys", message, strict)
        title = record.get("id")
        if title is not None:
            faults.duplicate_titles += title in titles
            titles.add(title)
        yield _DocMaker(record, where, strict, faults).make_doc(nlp)


def _check_record(record: Any) -> Dict[str, Any]:
    """Check types and ranges of a whole record, so that what follows may rely on them.

    RETURNS (Dict[str, Any]): The record, without the keys that are null.
    RAISES (Malformed): Naming the first problem.
    """
    if isinstance(record, Malformed):
        raise record
    expect(isinstance(record, dict), f"it is a {type(record).__name__}, not an object")
    record = {key: value for key, value in record.items() if value is not None}
    expect(is_text(record.get("text")), "the key text is missing or not a text")
    if "id" in record:
        is_number = isinstance(record["id"], int) and not isinstance(record["id"], bool)
        record["id"] = str(record["id"]) if is_number else record["id"]
        expect(is_text(record["id"]), "its id is not a text")
    n = len(record["text"])
    for key in ("sents", "entities", "relations"):
        expect(isinstance(record.get(key, []), list), f"{key} is not a list")
    sents = record.get("sents", [])
    expect(all(is_range(sent, n) for sent in sents), f"sents has a range outside of the text (0 to {n})")
    in_order = all(a[1] <= b[0] for a, b in zip(sents, sents[1:]))
    expect(in_order, "sents overlap or are out of order")
    for i, entity in enumerate(record.get("entities", [])):
        expect(isinstance(entity, dict), f"entity {i} is not an object")
        expect(is_text(entity.get("label") or ""), f"the label of entity {i} is not a text")
        mentions = entity.get("mentions")
        are_ranges = isinstance(mentions, list) and all(is_range(mention, n) for mention in mentions)
        expect(are_ranges, f"entity {i} has a mention that is not a range [start, end] of the text (0 to {n})")
    n_entities = len(record.get("entities", []))
    for i, relation in enumerate(record.get("relations", [])):
        _check_relation(relation, i, n, n_entities)
    return record


def _unknown_keys(record: Dict[str, Any]) -> Set[str]:
    """List the keys of a checked record that our JSONL does not have: a misspelt key loses a layer."""
    found = record.keys() - KEYS
    found |= {key for entity in record.get("entities", []) for key in entity.keys() - ENTITY_KEYS}
    return found | {key for relation in record.get("relations", []) for key in relation.keys() - RELATION_KEYS}


def _check_relation(relation: Any, i: int, n: int, n_entities: int) -> None:
    expect(isinstance(relation, dict), f"relation {i} is not an object")
    for key in ("head", "tail"):
        problem = f"relation {i} has {key} = {relation.get(key)!r:.40}, but there are {n_entities} entities"
        expect(is_index(relation.get(key), n_entities), f"{problem} (counted from 0)")
    expect(is_text(relation.get("label")) and relation["label"] != "", f"relation {i} has no label")
    expect(is_text(relation.get("kb_id", "")), f"the kb_id of relation {i} is not a text")
    expect(is_share(relation.get("score", 1.0)), f"the score of relation {i} is not a number in [0, 1]")
    sentences, evidence = relation.get("sentences", []), relation.get("evidence", [])
    are_numbers = isinstance(sentences, list) and all(isinstance(s, int) for s in sentences)
    expect(are_numbers, f"sentences of relation {i} is not a list of sentence numbers")
    are_pairs = isinstance(evidence, list) and all(
        isinstance(e, dict) and is_range(e.get("head"), n) and is_range(e.get("tail"), n) and is_share(e.get("weight"))
        for e in evidence
    )
    expect(are_pairs, f"evidence of relation {i} is not a list of head range, tail range and weight in [0, 1]")


def trim(text: str, span: Sequence[int]) -> Chars:
    """Cut the spaces at the ends off a character range. If it is blank, start and end are the same."""
    start, end = span
    part = text[start:end]
    start += len(part) - len(part.lstrip())
    return start, start + len(part.strip())


def tokenize(nlp: Language, text: str, borders: Iterable[int]) -> Tuple[Doc, Set[int]]:
    """Split a text into tokens, and the tokens at given characters.

    borders (Iterable[int]): Characters at which a token has to end, and another one to begin.
    RETURNS (Tuple[Doc, Set[int]]): The Doc, and those borders at which the tokenizer itself would not have split.
    """
    doc = nlp.tokenizer(text)  # not nlp.make_doc: its length limit is meant for parsers
    starts, ends = token_offsets(doc)
    chars = numpy.unique(numpy.fromiter(borders, dtype="int64"))
    token = numpy.searchsorted(starts, chars, side="right") - 1
    # Borders inside a token: "Oslo's " has the tokens [0, 4) and [4, 6); of the borders 0, 4, 5 the last is inside.
    is_inside = (token >= 0) & (chars > starts[token]) & (chars < ends[token]) if len(doc) else chars < 0
    if not is_inside.any():
        return doc, set()
    words, spaces, cuts = [], [], iter([*chars[is_inside].tolist(), len(text) + 1])
    cut = next(cuts)
    for start, end, has_space in zip(starts.tolist(), ends.tolist(), [bool(t.whitespace_) for t in doc]):
        while cut < end:
            words.append(text[start:cut])
            spaces.append(False)
            start, cut = cut, next(cuts)
        words.append(text[start:end])
        spaces.append(has_space)
    return Doc(nlp.vocab, words=words, spaces=spaces), set(chars[is_inside].tolist())


class _DocMaker:
    """Makes the Doc of one checked record."""

    def __init__(self, record: Dict[str, Any], where: str, strict: bool, faults: Faults) -> None:
        self.record, self.where, self.strict, self.faults = record, where, strict, faults
        self.text = record["text"]

    def drop(self, fault: str, problem: str) -> None:
        message = Errors.R116.format(where=self.where, title=self.record.get("id", ""), problem=problem)
        self.faults.drop(fault, message, self.strict)

    def make_doc(self, nlp: Language) -> Doc:
        sents = [trim(self.text, sent) for sent in self.record.get("sents", [])]
        entities = [self.trim_mentions(i, entity) for i, entity in enumerate(self.record.get("entities", []))]
        doc, split = tokenize(nlp, self.text, {0, *(start for start, _ in sents), *self.borders(entities)})
        self.faults.misaligned_mentions += sum(bool(split & {*span}) for spans in entities for span in {*spans})
        doc._.set(TITLE_ATTR, self.record.get("id"))
        sent_ids = self.set_sents(doc, sents)
        entity_ids: Dict[int, int] = {}
        tokens = _TokenIndex(doc)
        if "entities" in self.record:
            labels = [entity.get("label") or "" for entity in self.record["entities"]]
            spans = [[(tokens(span), label) for span in mentions] for mentions, label in zip(entities, labels)]
            entity_ids = annotate_entities(doc, spans, self.faults)
        if "relations" in self.record:
            self.faults.without_relations += not self.record["relations"]
            set_relation_data(doc, self.make_relations(tokens, entity_ids, sent_ids))
        return doc

    def borders(self, entities: Sequence[Sequence[Chars]]) -> Iterator[int]:
        """YIELDS (int): First and last character of all mentions, those of evidence too."""
        yield from chain.from_iterable(chain.from_iterable(entities))
        for relation in self.record.get("relations", []):
            for pair in relation.get("evidence", []):
                yield from (*trim(self.text, pair["head"]), *trim(self.text, pair["tail"]))

    def trim_mentions(self, i: int, entity: Dict[str, Any]) -> List[Chars]:
        """Cut the spaces at the ends off an entity's mentions, and drop blank ones."""
        mentions = []
        for mention in entity["mentions"]:
            start, end = trim(self.text, mention)
            if start == end:
                self.drop("blank_mentions", f"a mention of entity {i} holds only spaces, so it is dropped")
                continue
            self.faults.trimmed_mentions += [start, end] != mention
            mentions.append((start, end))
        if not mentions:
            self.drop("lost_entities", f"entity {i} has no mentions, so it is dropped")
        return mentions

    def set_sents(self, doc: Doc, sents: Sequence[Chars]) -> Dict[int, int]:
        """Write the sentences. Text before the first one is a sentence of its own; text between two belongs to the
        earlier one.

        RETURNS (Dict[int, int]): Number of each annotated sentence among those of the Doc, blank ones left out.
        """
        kept = [i for i, (start, end) in enumerate(sents) if start < end]
        self.faults.empty_sentences += len(sents) - len(kept)
        if not kept:
            return {0: 0} if len(doc) and not sents else {}
        starts, _ = token_offsets(doc)
        first = numpy.searchsorted(starts, [sents[i][0] for i in kept]).tolist()
        begins = sorted({0, *first})
        set_sent_starts(doc, begins)
        return {i: bisect_right(begins, token) - 1 for i, token in zip(kept, first)}

    def make_relations(
        self, tokens: "_TokenIndex", entity_ids: Dict[int, int], sent_ids: Dict[int, int]
    ) -> List[RelationRecord]:
        """Build the plain data of all relations; those that can't be kept are counted.

        entity_ids, sent_ids (Dict[int, int]): New number of each entity that has mentions, and of each sentence.
        """
        records: Dict[Tuple[int, str, int], RelationRecord] = {}
        for i, relation in enumerate(self.record["relations"]):
            head, tail, label = relation["head"], relation["tail"], relation["label"]
            if head == tail:
                self.drop("self_relations", f"relation {i} joins entity {head} with itself, so it is dropped")
                continue
            if head not in entity_ids or tail not in entity_ids:
                self.drop("lost_relations", f"relation {i} has an entity without mentions, so it is dropped")
                continue
            key = (entity_ids[head], label, entity_ids[tail])
            if key in records:
                self.faults.duplicate_relations += 1
                continue
            records[key] = relation_record(
                key[0],
                label,
                key[2],
                kb_id=relation.get("kb_id", ""),
                score=relation.get("score", 1.0),
                sentences=self.make_sentences(sent_ids, i, relation),
                evidence=self.make_evidence(tokens, i, relation),
            )
        return list(records.values())

    def make_sentences(self, sent_ids: Dict[int, int], i: int, relation: Dict[str, Any]) -> List[int]:
        """List the new numbers of a relation's sentences; those that are not there are counted."""
        for s in relation.get("sentences", []):
            if s not in sent_ids:
                self.drop("lost_evidence", f"relation {i} names sentence {s}, which is not there")
        return sorted({sent_ids[s] for s in relation.get("sentences", []) if s in sent_ids})

    def make_evidence(
        self, tokens: "_TokenIndex", i: int, relation: Dict[str, Any]
    ) -> List[Tuple[SpanIndices, SpanIndices, float]]:
        evidence = []
        for pair in relation.get("evidence", []):
            head, tail = trim(self.text, pair["head"]), trim(self.text, pair["tail"])
            if head[0] < head[1] and tail[0] < tail[1]:
                evidence.append((tokens(head), tokens(tail), pair["weight"]))
            else:
                self.drop("lost_evidence", f"evidence of relation {i} holds only spaces")
        return evidence


class _TokenIndex:
    """Finds the tokens of a character range that begins and ends where tokens do."""

    def __init__(self, doc: Doc) -> None:
        starts, ends = token_offsets(doc)
        self.first = {char: i for i, char in enumerate(starts.tolist())}
        self.last = {char: i for i, char in enumerate(ends.tolist())}

    def __call__(self, span: Chars) -> SpanIndices:
        return self.first[span[0]], self.last[span[1]] + 1
