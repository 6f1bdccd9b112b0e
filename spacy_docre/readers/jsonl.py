"""Our own JSONL, one document a line. Offsets count code points; an absent key means "not annotated", [] "none"."""

import json
from bisect import bisect_right
from itertools import chain
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

import numpy
import spacy
from spacy.language import Language
from spacy.tokens import Doc

from ..attributes import (
    CLUSTER_PREFIX,
    MENTIONS_KEY,
    RELATIONS_ATTR,
    TITLE_ATTR,
    get_clusters,
    get_relation_data,
    get_types,
    has_clusters,
    relation_record,
    set_relation_data,
)
from ..errors import Errors
from ..ty import SpanIndices
from .align import token_offsets
from .annotate import annotate_entities, set_sent_starts
from .checks import Malformed, PathLike, expect, is_index, is_range, is_share, is_text
from .faults import Faults

# Writing


def write_jsonl(docs: Iterable[Doc], path: PathLike, **names: str) -> None:
    """Write one document a line; see `doc_to_record`."""
    with Path(path).open("w", encoding="utf8", newline="\n") as file:
        for doc in docs:
            file.write(json.dumps(doc_to_record(doc, **names), ensure_ascii=False) + "\n")


def doc_to_record(
    doc: Doc, *, key: str = MENTIONS_KEY, prefix: str = CLUSTER_PREFIX, attr: str = RELATIONS_ATTR
) -> Dict[str, Any]:
    """Turn a Doc into plain data. Mentions outside of any cluster have no place in it.

    key, prefix, attr (str): Where mentions, clusters and relations lie, if not in the usual places.
    RETURNS (Dict[str, Any]): One line of JSONL. Layers the Doc lacks are absent.
    """
    record: Dict[str, Any] = {}
    if doc._.get(TITLE_ATTR) is not None:
        record["id"] = doc._.get(TITLE_ATTR)
    record["text"] = doc.text
    if doc.has_annotation("SENT_START"):
        record["sents"] = [[sent.start_char, sent.end_char] for sent in doc.sents]
    starts, ends = (offsets.tolist() for offsets in token_offsets(doc))

    def chars(span: Sequence[int]) -> List[int]:
        return [starts[span[0]], ends[span[1] - 1]]

    if has_clusters(doc, key, prefix):
        labels = get_types(doc, prefix)
        record["entities"] = [
            {**({"label": label} if label else {}), "mentions": [chars(span) for span in spans]}
            for label, spans in zip(labels, get_clusters(doc, prefix))
        ]
    relations = get_relation_data(doc, attr)
    if relations is not None:
        record["relations"] = [
            {
                **relation,
                "sentences": list(relation["sentences"]),
                "evidence": [
                    {"head": chars(e["head"]), "tail": chars(e["tail"]), "weight": e["weight"]}
                    for e in relation["evidence"]
                ],
            }
            for relation in relations
        ]
    return record


# Reading


def read_jsonl(
    path: PathLike, *, nlp: Optional[Language] = None, strict: bool = False, faults: Optional[Faults] = None
) -> Iterator[Doc]:
    """Read documents and tokenise their text.

    path (PathLike): File with one JSON object a line; empty lines are passed over.
    nlp (Optional[Language]): Gives tokenizer and vocabulary; English by default.
    strict (bool): Raise at the first loss, such as a mention that begins or ends inside a token.
    faults (Optional[Faults]): Counts what was found wrong, as far as the file was read.
    YIELDS (Doc): A document, entities ordered by first mention and numbered anew in its relations.
    RAISES (ValueError): If the file is missing; with `strict`, if anything in it would be dropped.
    """
    nlp = spacy.blank("en") if nlp is None else nlp
    faults = Faults() if faults is None else faults
    if not Path(path).is_file():
        raise ValueError(Errors.R104.format(path=path))
    titles = set()
    with Path(path).open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                record = _check_record(_parse(line))
            except Malformed as e:
                faults.drop("skipped_documents", Errors.R115.format(path=path, line=number, problem=e), strict)
                continue
            title = record.get("id")
            faults.duplicate_titles += title is not None and title in titles
            titles.add(title)
            yield _LineReader(record, str(path), number, strict, faults).make_doc(nlp)


def _parse(line: bytes) -> Any:
    try:
        return json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as e:
        raise Malformed(f"it is no JSON in UTF-8 ({e})") from None


def _check_record(record: Any) -> Dict[str, Any]:
    """Check types and ranges of a whole line, so that what follows may rely on them.

    RETURNS (Dict[str, Any]): The line, without the keys that are null.
    RAISES (Malformed): Naming the first problem.
    """
    expect(isinstance(record, dict), f"it is a {type(record).__name__}, not an object")
    record = {key: value for key, value in record.items() if value is not None}
    expect(is_text(record.get("text")), "the key text is missing or no text")
    if "id" in record:
        is_number = isinstance(record["id"], int) and not isinstance(record["id"], bool)
        record["id"] = str(record["id"]) if is_number else record["id"]
        expect(is_text(record["id"]), "its id is no text")
    n = len(record["text"])
    for key in ("sents", "entities", "relations"):
        expect(isinstance(record.get(key, []), list), f"{key} is no list")
    sents = record.get("sents", [])
    expect(all(is_range(sent, n) for sent in sents), f"sents has a range outside of the text (0 to {n})")
    in_order = all(a[1] <= b[0] for a, b in zip(sents, sents[1:]))
    expect(in_order, "sents overlap or are out of order")
    for i, entity in enumerate(record.get("entities", [])):
        expect(isinstance(entity, dict), f"entity {i} is no object")
        expect(is_text(entity.get("label") or ""), f"the label of entity {i} is no text")
        mentions = entity.get("mentions")
        are_ranges = isinstance(mentions, list) and all(is_range(mention, n) for mention in mentions)
        expect(are_ranges, f"entity {i} has a mention that is no range [start, end] of the text (0 to {n})")
    n_entities = len(record.get("entities", []))
    for i, relation in enumerate(record.get("relations", [])):
        _check_relation(relation, i, n, n_entities)
    return record


def _check_relation(relation: Any, i: int, n: int, n_entities: int) -> None:
    expect(isinstance(relation, dict), f"relation {i} is no object")
    for key in ("head", "tail"):
        problem = f"relation {i} has {key} = {relation.get(key)!r:.40}, but there are {n_entities} entities"
        expect(is_index(relation.get(key), n_entities), f"{problem} (counted from 0)")
    expect(is_text(relation.get("label")) and relation["label"] != "", f"relation {i} has no label")
    expect(is_text(relation.get("kb_id", "")), f"the kb_id of relation {i} is no text")
    expect(is_share(relation.get("score", 1.0)), f"the score of relation {i} is no number in [0, 1]")
    sentences, evidence = relation.get("sentences", []), relation.get("evidence", [])
    are_numbers = isinstance(sentences, list) and all(isinstance(s, int) for s in sentences)
    expect(are_numbers, f"sentences of relation {i} is no list of sentence numbers")
    are_pairs = isinstance(evidence, list) and all(
        isinstance(e, dict) and is_range(e.get("head"), n) and is_range(e.get("tail"), n) and is_share(e.get("weight"))
        for e in evidence
    )
    expect(are_pairs, f"evidence of relation {i} is no list of head range, tail range and weight in [0, 1]")


class _LineReader:
    """Makes the Doc of one checked line."""

    def __init__(self, record: Dict[str, Any], path: str, number: int, strict: bool, faults: Faults) -> None:
        self.record, self.path, self.number, self.strict, self.faults = record, path, number, strict, faults

    def drop(self, fault: str, problem: str) -> None:
        message = Errors.R116.format(path=self.path, line=self.number, title=self.record.get("id", ""), problem=problem)
        self.faults.drop(fault, message, self.strict)

    def make_doc(self, nlp: Language) -> Doc:
        # Not nlp.make_doc: its length limit is meant for parsers.
        doc = nlp.tokenizer(self.record["text"])
        doc._.set(TITLE_ATTR, self.record.get("id"))
        sent_ids = self.set_sents(doc)
        entity_ids: Dict[int, int] = {}
        if "entities" in self.record:
            entity_ids = annotate_entities(doc, self.align_entities(doc), self.faults)
        if "relations" in self.record:
            set_relation_data(doc, self.make_relations(doc, entity_ids, sent_ids))
        return doc

    def set_sents(self, doc: Doc) -> Dict[int, int]:
        """RETURNS (Dict[int, int]): Number of each annotated sentence among those of the Doc. Text before the first
        one is a sentence of its own, text between two belongs to the earlier.
        """
        sents = self.record.get("sents", [])
        if not sents or not len(doc):
            return {0: 0} if len(doc) else {}
        starts, _ = token_offsets(doc)
        first = numpy.searchsorted(starts, [sent[0] for sent in sents]).tolist()
        for i, (sent, token) in enumerate(zip(sents, first)):
            if token == len(doc) or starts[token] != sent[0]:
                self.drop("misaligned_sentences", f"sentence {i} does not begin where a token does, so it is moved")
        begins = sorted({0, *(token for token in first if token < len(doc))})
        set_sent_starts(doc, begins)
        return {i: bisect_right(begins, token) - 1 for i, token in enumerate(first)}

    def align(self, doc: Doc, spans: Iterable[Sequence[int]]) -> Dict[Tuple[int, int], SpanIndices]:
        """RETURNS (Dict[Tuple[int, int], SpanIndices]): Token indices of the character ranges that have some."""
        starts, ends = ({char: i for i, char in enumerate(offsets.tolist())} for offsets in token_offsets(doc))
        return {(s, e): (starts[s], ends[e] + 1) for s, e in spans if s in starts and e in ends}

    def align_entities(self, doc: Doc) -> List[List[Tuple[SpanIndices, str]]]:
        entities = self.record["entities"]
        tokens = self.align(doc, chain.from_iterable(entity["mentions"] for entity in entities))
        aligned = []
        for i, entity in enumerate(entities):
            for start, end in entity["mentions"]:
                if (start, end) not in tokens:
                    text = doc.text[start:end]
                    problem = f"the mention {text!r:.60} at {start} begins or ends inside a token, so it is dropped"
                    self.drop("misaligned_mentions", problem)
            spans = [tokens[s, e] for s, e in entity["mentions"] if (s, e) in tokens]
            if not spans:
                self.drop("lost_entities", f"entity {i} has no mentions, so it is dropped")
            aligned.append([(span, entity.get("label") or "") for span in spans])
        return aligned

    def make_relations(self, doc: Doc, entity_ids: Dict[int, int], sent_ids: Dict[int, int]) -> List[Dict[str, Any]]:
        relations = self.record["relations"]
        pairs = (e[side] for relation in relations for e in relation.get("evidence", []) for side in ("head", "tail"))
        tokens = self.align(doc, pairs)
        records: Dict[Tuple[int, str, int], Dict[str, Any]] = {}
        for i, relation in enumerate(relations):
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
            sentences = {sent_ids[s] for s in relation.get("sentences", []) if s in sent_ids}
            for s in relation.get("sentences", []):
                if s not in sent_ids:
                    self.drop("lost_evidence", f"relation {i} names sentence {s}, which is not there")
            evidence = []
            for e in relation.get("evidence", []):
                h, t = tokens.get(tuple(e["head"])), tokens.get(tuple(e["tail"]))
                if h and t:
                    evidence.append((h, t, e["weight"]))
                else:
                    self.drop("lost_evidence", f"evidence of relation {i} begins or ends inside a token")
            records[key] = relation_record(
                key[0],
                label,
                key[2],
                kb_id=relation.get("kb_id", ""),
                score=relation.get("score", 1.0),
                sentences=sorted(sentences),
                evidence=evidence,
            )
        return list(records.values())
