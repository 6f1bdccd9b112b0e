"""Predicted relations as DocRED's result file has them: one record a relation, entities by their place in vertexSet."""

from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Tuple

from spacy.tokens import Doc
from spacy.training import Example

from ..doc.align import check_same_text
from ..doc.notes import TITLE_ATTR
from ..doc.places import DEFAULT, Places
from ..doc.records import get_relation_data
from ..doc.sets import Cluster, find_sentences, find_support
from ..errors import Errors

Record = Dict[str, Any]


def make_submission(
    examples: Iterable[Example],
    records: Any,
    *,
    path: Optional[Path] = None,
    places: Places = DEFAULT,
) -> Tuple[List[Record], int]:
    """Write predicted relations as DocRED's scorer reads them.

    Readers number entities by their first mention, the result file as the original does: an entity is looked up there
    by its exact mentions (the first that has them).

    examples (Iterable[Example]): Predicted Docs, and references that were read from that original.
    records (Any): Contents of the original file.
    path (Optional[Path]): Its name, for messages.
    places (Places): Where the layers are kept.
    RETURNS (Tuple[List[Record], int]): title, h_idx, t_idx, r, evidence (sentences of the original) of each relation;
        and how many others there are whose entities are not those of the original.
    RAISES (ValueError): If a document is not in the original, or the original is not in DocRED's form.
    """
    try:
        return _list_records(examples, records, path, places)
    except (KeyError, TypeError, IndexError) as e:
        problem = f"it is not a list of documents in DocRED's form ({type(e).__name__}: {e})."
        raise ValueError(Errors.R105.format(path=path, problem=problem)) from None


def _list_records(
    examples: Iterable[Example], records: Any, path: Optional[Path], places: Places
) -> Tuple[List[Record], int]:
    """List the predicted relations as records of the result file, and count those left out; see `make_submission`."""
    originals = {(r["title"], *(token for sent in r["sents"] for token in sent)): r for r in records}
    found: Dict[Tuple[str, int, int, str], Record] = {}
    n_lost = 0
    for example in examples:
        check_same_text(example.reference, example.predicted)
        title = example.reference._.get(TITLE_ATTR)
        original = originals.get((title, *(token.text for token in example.reference)))
        if original is None:
            raise ValueError(Errors.R132.format(path=path, title=title))
        vertices, starts = locate(original, example.reference)
        for record in list_predictions(example.predicted, starts, places):
            head, tail = vertices.get(record.pop("head")), vertices.get(record.pop("tail"))
            if head is None or tail is None:
                n_lost += 1
            else:
                key = (title, head, tail, record["r"])
                found.setdefault(key, {"title": title, "h_idx": head, "t_idx": tail, **record})
    return list(found.values()), n_lost


def locate(original: Record, reference: Doc) -> Tuple[Dict[Cluster, int], List[int]]:
    """Find entities and sentences of the original in the text.

    RETURNS (Tuple[Dict[Cluster, int], List[int]]): Place of each entity in vertexSet, and the character at which each
        sentence begins; an empty one begins where the next does.
    """
    chars = [token.idx for token in reference] + [len(reference.text)]
    first = [0]
    for sent in original["sents"]:
        first.append(first[-1] + len(sent))
    places: Dict[Cluster, int] = {}
    for i, mentions in enumerate(original["vertexSet"]):
        spans = [[first[m["sent_id"]] + at for at in m["pos"]] for m in mentions]
        places.setdefault(frozenset((chars[s], chars[e - 1] + len(reference[e - 1])) for s, e in spans), i)
    return places, [chars[i] for i in first[:-1]]


def list_predictions(doc: Doc, starts: List[int], places: Places) -> Iterable[Record]:
    """YIELDS (Record): Clusters of head and tail, id of the relation (its label if it has none), and the sentences of
    the original that support it."""
    ids = {data["label"]: data.get("kb_id") or data["label"] for data in get_relation_data(doc, places) or ()}
    for ((head, _), label, (tail, _)), support in find_support(doc, places).items():
        yield {"head": head, "tail": tail, "r": ids[label], "evidence": sorted(find_sentences(support, starts))}
