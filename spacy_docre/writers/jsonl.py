"""Write our own JSONL, one document a line. An absent key means "not annotated", [] "none"."""

import json
from pathlib import Path
from typing import Iterable, List, Sequence, Union

from spacy.tokens import Doc

from ..doc.align import token_offsets
from ..doc.layers import has_clusters
from ..doc.names import entity_name_by_words
from ..doc.notes import TITLE_ATTR
from ..doc.places import DEFAULT, Places
from ..doc.records import get_relation_data
from ..doc.sentences import has_sentences
from ..doc.views import Entity, get_entities
from .facts import Record


def write_jsonl(docs: Iterable[Doc], path: Union[str, Path], places: Places = DEFAULT) -> None:
    """Write one document a line; see `doc_to_record`."""
    write_records((doc_to_record(doc, places) for doc in docs), path)


def write_records(records: Iterable[Record], path: Union[str, Path]) -> None:
    """Write one record a line."""
    with Path(path).open("w", encoding="utf8", newline="\n") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def doc_to_record(doc: Doc, places: Places = DEFAULT) -> Record:
    """Turn a Doc into plain data. Mentions outside of any cluster have no place in it.

    places (Places): Where the layers are kept.
    RETURNS (Record): One line of JSONL, offsets in code points. Layers that the Doc lacks are absent.
    """
    record: Record = {}
    if doc._.get(TITLE_ATTR) is not None:
        record["id"] = doc._.get(TITLE_ATTR)
    record["text"] = doc.text
    if has_sentences(doc):
        record["sents"] = [[sent.start_char, sent.end_char] for sent in doc.sents]
    starts, ends = (offsets.tolist() for offsets in token_offsets(doc))

    def chars(span: Sequence[int]) -> List[int]:
        return [starts[span[0]], ends[span[1] - 1]]

    if has_clusters(doc, places):
        record["entities"] = [_entity_to_record(entity, record["text"]) for entity in get_entities(doc, places)]
    relations = get_relation_data(doc, places)
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


def _entity_to_record(entity: Entity, text: str) -> Record:
    """Turn an entity into plain data. A record has no tokens, so the name is added where words would give another."""
    record: Record = {"label": entity.label} if entity.label else {}
    mentions = [[mention.start_char, mention.end_char] for mention in entity.mentions]
    if entity.text != entity_name_by_words(text, mentions):
        record["text"] = entity.text
    return {**record, "mentions": mentions}
