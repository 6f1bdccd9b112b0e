"""Read JSON of the DocRED family: DocRED (its distant part too), Re-DocRED, Revisit-DocRED, JEREX's joint split."""

from typing import Any, Dict, Iterator, List, Optional, Sequence, Set, Tuple, Union

import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.vocab import Vocab

from ..doc.notes import TITLE_ATTR
from ..doc.records import RelationRecord, relation_record, set_relation_data
from ..errors import Errors
from .annotate import annotate_entities
from .checks import Malformed, PathLike, expect, is_index, is_text, load_json
from .detokenize import spaces_after
from .faults import Faults
from .json_array import read_array


def read_docred(
    path: PathLike,
    *,
    nlp: Optional[Language] = None,
    rel_info: Optional[Dict[str, str]] = None,
    strict: bool = False,
    faults: Optional[Faults] = None,
) -> Iterator[Doc]:
    """Read documents with gold mentions, clusters, types and relations.

    path (PathLike): A JSON file that holds one list of documents.
    nlp (Optional[Language]): Gives the vocabulary; English by default.
    rel_info (Optional[Dict[str, str]]): Name of each relation id; without it the id itself is the label.
    strict (bool): Raise at the first loss instead of dropping what is wrong.
    faults (Optional[Faults]): Counts what was found wrong, as far as the documents were read.
    YIELDS (Doc): A document with correct spaces. Relations are unannotated where it has no key `labels`.
    RAISES (ValueError): If the file is missing or not a JSON list; if it is cut off, after the documents before that;
        with `strict`, if anything in it would be dropped.
    """
    vocab = (spacy.blank("en") if nlp is None else nlp).vocab
    faults = Faults() if faults is None else faults
    titles: Set[str] = set()
    for position, raw in enumerate(read_array(path)):
        try:
            record = _check_document(raw)
        except Malformed as e:
            title = raw.get("title", "") if isinstance(raw, dict) else ""
            message = Errors.R111.format(path=path, position=position, title=f"{title!s:.80}", problem=e)
            faults.drop("skipped_documents", message, strict)
            continue
        faults.duplicate_titles += record["title"] in titles
        titles.add(record["title"])
        yield _DocMaker(record, str(path), rel_info, strict, faults).make_doc(vocab)


def read_rel_info(path: PathLike) -> Dict[str, str]:
    """Read the names of relation ids (rel_info.json).

    RAISES (ValueError): If the file is missing or holds anything but one object of strings.
    """
    data = load_json(path)
    if not isinstance(data, dict):
        raise ValueError(Errors.R114.format(path=path, problem=f"it holds a {type(data).__name__}"))
    wrong = next((key for key, name in data.items() if not isinstance(name, str) or not name.strip()), None)
    if wrong is not None:
        raise ValueError(Errors.R114.format(path=path, problem=f"the name of {wrong!r} is {data[wrong]!r}"))
    return data


def _check_document(raw: Any) -> Dict[str, Any]:
    """Check types and index ranges of a whole document, so that what follows may rely on them.

    RETURNS (Dict[str, Any]): The document, with a title.
    RAISES (Malformed): Naming the first problem.
    """
    expect(isinstance(raw, dict), f"it is a {type(raw).__name__}, not an object")
    missing = [key for key in ("sents", "vertexSet") if key not in raw]
    expect(not missing, f"the key {' and '.join(missing)} is missing")
    title = raw.get("title") or ""
    expect(is_text(title), "the title is not a text")
    sents, entities, labels = raw["sents"], raw["vertexSet"], raw.get("labels")
    expect(isinstance(sents, list) and all(isinstance(s, list) for s in sents), "sents is not a list of token lists")
    for i, sent in enumerate(sents):
        for j, token in enumerate(sent):
            if not is_text(token) or not token:
                raise Malformed(f"token {j} of sentence {i} is {token!r:.40}, not a text")
    expect(any(token.strip() for sent in sents for token in sent), "it has no text")
    expect(isinstance(entities, list), "vertexSet is not a list")
    for i, mentions in enumerate(entities):
        expect(isinstance(mentions, list), f"entity {i} is not a list of mentions")
        for j, mention in enumerate(mentions):
            _check_mention(mention, f"mention {j} of entity {i}", sents)
    expect(labels is None or isinstance(labels, list), "labels is not a list")
    for i, label in enumerate(labels or []):
        _check_label(label, i, len(entities))
    return {**raw, "title": title}


def _check_mention(mention: Any, what: str, sents: Sequence[Sequence[str]]) -> None:
    expect(isinstance(mention, dict), f"{what} is not an object")
    sent_id, pos, label = mention.get("sent_id"), mention.get("pos"), mention.get("type")
    expect(is_index(sent_id, len(sents)), f"{what} has sent_id {sent_id!r}, but there are {len(sents)} sentences")
    n_tokens = len(sents[sent_id])
    is_span = isinstance(pos, list) and len(pos) == 2 and is_index(pos[1], n_tokens + 1) and is_index(pos[0], pos[1])
    expect(is_span, f"{what} has pos {pos!r:.40}, which is not a span of sentence {sent_id} ({n_tokens} tokens)")
    expect(label is None or is_text(label), f"{what} has type {label!r:.40}, which is not a text")


def _check_label(label: Any, i: int, n_entities: int) -> None:
    expect(isinstance(label, dict), f"relation {i} is not an object")
    for key in ("h", "t"):
        value = label.get(key)
        expect(
            is_index(value, n_entities),
            f"relation {i} has {key} = {value!r:.40}, but there are {n_entities} entities (counted from 0)",
        )
    expect(is_text(label.get("r")) and label["r"] != "", f"relation {i} has r = {label.get('r')!r:.40}, not an id")
    evidence = label.get("evidence")
    is_list = isinstance(evidence, list) and all(isinstance(s, int) and not isinstance(s, bool) for s in evidence)
    expect(evidence is None or is_list, f"the evidence of relation {i} is not a list of sentence numbers")


class _DocMaker:
    """Makes the Doc of one checked document."""

    def __init__(
        self, record: Dict[str, Any], path: str, rel_info: Optional[Dict[str, str]], strict: bool, faults: Faults
    ) -> None:
        self.record, self.path, self.rel_info = record, path, rel_info
        self.strict, self.faults = strict, faults

    def make_doc(self, vocab: Vocab) -> Doc:
        """Join the sentences to a text with its spaces, and annotate it."""
        words: List[str] = []
        sent_starts: List[Optional[Union[bool, int]]] = []
        offsets: List[int] = []
        sent_ids: Dict[int, int] = {}  # a Doc has no empty sentences, so those after one move up
        for i, sent in enumerate(self.record["sents"]):
            offsets.append(len(words))
            self.faults.empty_sentences += not any(token.strip() for token in sent)
            if sent:
                sent_ids[i] = len(sent_ids)
            words.extend(sent)
            sent_starts.extend(j == 0 for j in range(len(sent)))
        doc = Doc(vocab, words=words, spaces=spaces_after(words), sent_starts=sent_starts)
        doc._.set(TITLE_ATTR, self.record["title"])
        entity_ids = self.set_entities(doc, offsets)
        if self.record.get("labels") is not None:
            self.faults.without_relations += not self.record["labels"]
            set_relation_data(doc, self.make_relations(entity_ids, sent_ids))
        return doc

    def set_entities(self, doc: Doc, offsets: Sequence[int]) -> Dict[int, int]:
        """Write mentions, clusters and types.

        offsets (Sequence[int]): First token of each sentence.
        RETURNS (Dict[int, int]): New index of each entity that has mentions.
        """
        entities = []
        for i, mentions in enumerate(self.record["vertexSet"]):
            if not mentions:
                problem = f"'{self.record['title']}': entity {i} has no mentions and is dropped."
                self.faults.drop("lost_entities", Errors.R105.format(path=self.path, problem=problem), self.strict)
            starts = [offsets[m["sent_id"]] for m in mentions]
            entities.append(
                [((at + m["pos"][0], at + m["pos"][1]), m.get("type") or "") for at, m in zip(starts, mentions)]
            )
        return annotate_entities(doc, entities, self.faults)

    def make_relations(self, entity_ids: Dict[int, int], sent_ids: Dict[int, int]) -> List[RelationRecord]:
        """Build the plain data of all relations; those that can't be kept are counted.

        entity_ids, sent_ids (Dict[int, int]): New index of each entity that has mentions, and of each sentence that
            has tokens.
        """
        evidence: Dict[Tuple[int, str, int], Set[int]] = {}
        for label in self.record["labels"]:
            if self.drop_relation(label, entity_ids):
                continue
            key = (entity_ids[label["h"]], label["r"], entity_ids[label["t"]])
            self.faults.duplicate_relations += key in evidence
            evidence.setdefault(key, set()).update(self.list_evidence(label, sent_ids))
        names = self.rel_info or {}
        return [
            relation_record(head, names.get(r, r), tail, kb_id=r, sentences=sorted(sentences))
            for (head, r, tail), sentences in evidence.items()
        ]

    def drop_relation(self, label: Dict[str, Any], entity_ids: Dict[int, int]) -> bool:
        """Count a relation that can't be kept. RETURNS (bool): Whether it is dropped."""
        head, tail, rel_id = label["h"], label["t"], label["r"]
        if head == tail:
            fault, problem = "self_relations", "an entity has no relation with itself here"
        elif head not in entity_ids or tail not in entity_ids:
            fault, problem = "lost_relations", "one of them has no mentions"
        elif self.rel_info is not None and rel_id not in self.rel_info:
            fault, problem = "unknown_relations", "its id is not in the list of relation names. Add it there"
        else:
            return False
        names = {"path": self.path, "title": self.record["title"], "relation": rel_id, "head": head, "tail": tail}
        self.faults.drop(fault, Errors.R112.format(**names, problem=problem), self.strict)
        return True

    def list_evidence(self, label: Dict[str, Any], sent_ids: Dict[int, int]) -> Iterator[int]:
        """YIELDS (int): New indices of the sentences that support a relation; others are counted."""
        for i in label.get("evidence") or []:
            if i in sent_ids:
                yield sent_ids[i]
            else:
                names = {"path": self.path, "title": self.record["title"], "sentence": i, "relation": label["r"]}
                self.faults.drop("lost_evidence", Errors.R113.format(**names), self.strict)
