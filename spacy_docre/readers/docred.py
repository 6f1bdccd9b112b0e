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
    RAISES (ValueError): If the file is missing or not a JSON list; where it is cut off, after the documents before that;
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
        yield _make_doc(record, str(path), vocab, rel_info, strict, faults)


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


def _make_doc(
    record: Dict[str, Any], path: str, vocab: Vocab, rel_info: Optional[Dict[str, str]], strict: bool, faults: Faults
) -> Doc:
    """Build the Doc of a checked document."""
    words: List[str] = []
    sent_starts: List[Optional[Union[bool, int]]] = []
    offsets: List[int] = []
    sent_ids: Dict[int, int] = {}  # a Doc has no empty sentences, so those after one move up
    for i, sent in enumerate(record["sents"]):
        offsets.append(len(words))
        faults.empty_sentences += not any(token.strip() for token in sent)
        if sent:
            sent_ids[i] = len(sent_ids)
        words.extend(sent)
        sent_starts.extend(j == 0 for j in range(len(sent)))
    doc = Doc(vocab, words=words, spaces=spaces_after(words), sent_starts=sent_starts)
    doc._.set(TITLE_ATTR, record["title"])
    entity_ids = _set_entities(doc, record, offsets, path, strict, faults)
    if record.get("labels") is not None:
        faults.without_relations += not record["labels"]
        relations = _make_relations(record, entity_ids, sent_ids, path, rel_info, strict, faults)
        set_relation_data(doc, relations)
    return doc


def _set_entities(
    doc: Doc, record: Dict[str, Any], offsets: Sequence[int], path: str, strict: bool, faults: Faults
) -> Dict[int, int]:
    """Write mentions, clusters and types. RETURNS (Dict[int, int]): New index of each entity that has mentions."""
    entities = []
    for i, mentions in enumerate(record["vertexSet"]):
        if not mentions:
            problem = f"entity {i} has no mentions and is dropped"
            faults.drop(
                "lost_entities", Errors.R105.format(path=path, problem=f"'{record['title']}': {problem}."), strict
            )
        starts = [offsets[m["sent_id"]] for m in mentions]
        entities.append(
            [((at + m["pos"][0], at + m["pos"][1]), m.get("type") or "") for at, m in zip(starts, mentions)]
        )
    return annotate_entities(doc, entities, faults)


def _make_relations(
    record: Dict[str, Any],
    entity_ids: Dict[int, int],
    sent_ids: Dict[int, int],
    path: str,
    rel_info: Optional[Dict[str, str]],
    strict: bool,
    faults: Faults,
) -> List[RelationRecord]:
    """Build the plain data of all relations; those that can't be kept are counted."""
    evidence: Dict[Tuple[int, str, int], Set[int]] = {}
    for label in record["labels"]:
        head, tail, rel_id = label["h"], label["t"], label["r"]
        drop = ""
        if head == tail:
            drop, problem = "self_relations", "an entity has no relation with itself here"
        elif head not in entity_ids or tail not in entity_ids:
            drop, problem = "lost_relations", "one of them has no mentions"
        elif rel_info is not None and rel_id not in rel_info:
            drop, problem = "unknown_relations", "its id is not in the list of relation names. Add it there"
        if drop:
            message = Errors.R112.format(
                path=path, title=record["title"], relation=rel_id, head=head, tail=tail, problem=problem
            )
            faults.drop(drop, message, strict)
            continue
        key = (entity_ids[head], rel_id, entity_ids[tail])
        faults.duplicate_relations += key in evidence
        sentences = evidence.setdefault(key, set())
        for i in label.get("evidence") or []:
            if i in sent_ids:
                sentences.add(sent_ids[i])
            else:
                message = Errors.R113.format(path=path, title=record["title"], sentence=i, relation=rel_id)
                faults.drop("lost_evidence", message, strict)
    return [
        relation_record(h, rel_info[r] if rel_info else r, t, kb_id=r, sentences=sorted(sentences))
        for (h, r, t), sentences in evidence.items()
    ]
