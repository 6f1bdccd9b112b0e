"""Read what Prodigy's `db-out` writes of `rel.manual` and `coref.manual`: JSONL, one answered task a line."""

from typing import Any, Dict, Hashable, Iterator, List, Optional, Set, Tuple, Union

from spacy.language import Language
from spacy.tokens import Doc

from .checks import Malformed, PathLike, expect, is_range, is_text
from .faults import Faults
from .jsonl import json_lines
from .lift import Annotation, Lift, find_title, read_annotations
from .offsets import Mention

NAMES = ("_annotator_id", "_session_id")


def read_prodigy(
    path: PathLike,
    *,
    nlp: Optional[Language] = None,
    lift: Optional[Lift] = None,
    annotator: str = "",
    strict: bool = False,
    faults: Optional[Faults] = None,
) -> Iterator[Doc]:
    """Read accepted answers, the first one to each text; see `read_annotations`. A relation goes from head to child.

    path (PathLike): File with one JSON object a line.
    annotator (str): Takes only answers of the annotator or session with this name.
    nlp, lift, strict, faults: See `read_annotations`.
    YIELDS (Doc): A document without sentences: Prodigy has none. Its title is the task's id, the meta data's id or
        title, or the input's hash.
    RAISES (ValueError): If the file is missing; with `strict`, if anything would be dropped.
    """
    faults = Faults() if faults is None else faults
    annotations = _read_tasks(path, annotator, faults)
    yield from read_annotations(annotations, nlp=nlp, lift=lift, strict=strict, faults=faults)


def _read_tasks(path: PathLike, annotator: str, faults: Faults) -> Iterator[Tuple[str, Union[Annotation, Malformed]]]:
    seen: Set[int] = set()
    for where, task in json_lines(path):
        try:
            if isinstance(task, Malformed):
                raise task
            expect(isinstance(task, dict), f"it is a {type(task).__name__}, not an object")
            if task.get("answer", "accept") != "accept":
                faults.rejected_answers += 1
                continue
            key = task.get("_input_hash")
            is_other = annotator and annotator not in [str(task.get(key)) for key in NAMES]
            if is_other or (isinstance(key, int) and key in seen):
                faults.further_answers += 1
                continue
            annotation = _read_task(task)
        except Malformed as e:
            yield where, e
            continue
        if isinstance(key, int):
            seen.add(key)
        yield where, annotation


def _read_task(task: Dict[str, Any]) -> Annotation:
    """Read a task. RAISES (Malformed): If it does not have the layout of a relation task."""
    expect(is_text(task.get("text")), "the key text is missing or not a text")
    meta = task.get("meta")
    described = [meta.get("id"), meta.get("title")] if isinstance(meta, dict) else []
    title = find_title(task.get("id"), *described, task.get("_input_hash"))
    annotation = Annotation(task["text"], title, has_relations=task.get("relations") is not None)
    for span in _get_objects(task, "spans"):
        _add_mention(annotation, span)
    for relation in _get_objects(task, "relations"):
        label = relation.get("label") or ""
        expect(is_text(label), f"the label {label!r:.40} of a relation is not a text")
        head, child = (_find_end(annotation, task, relation, side) for side in ("head", "child"))
        annotation.pairs.append((head, label, child))
    return annotation


def _get_objects(task: Dict[str, Any], key: str) -> List[Dict[str, Any]]:
    objects = task.get(key) or []
    are_right = isinstance(objects, list) and all(isinstance(o, dict) for o in objects)
    expect(are_right, f"{key} is not a list of objects")
    return objects


def _add_mention(annotation: Annotation, span: Dict[str, Any]) -> Hashable:
    """Add a mention, or a label to one that is there. RETURNS (Hashable): Its name."""
    chars: List[Any] = [span.get("start"), span.get("end")]
    label = span.get("label") or ""
    expect(
        is_range(chars, len(annotation.text)), f"a span from {chars[0]!r:.20} to {chars[1]!r:.20} is not in the text"
    )
    expect(is_text(label), f"the label {label!r:.40} of a span is not a text")
    start, end = chars
    name = f"{annotation.text[start:end]!r} at {start}"
    mention = annotation.mentions.setdefault(name, Mention([(start, end)], []))
    if label and label not in mention.labels:
        mention.labels.append(label)
    return name


def _find_end(annotation: Annotation, task: Dict[str, Any], relation: Dict[str, Any], side: str) -> Hashable:
    """Find the mention at one end of a relation, which may be a token outside of all spans. Relations that were not
    made in Prodigy may give only the number of a token, mostly the last one of a span.

    RETURNS (Hashable): The mention's name.
    """
    span = relation.get(f"{side}_span")
    if span is None:
        token = relation.get(side)
        expect(isinstance(token, int), f"a relation has neither {side}_span nor {side}")
        spans = [s for s in _get_objects(task, "spans") if _covers(s, token)]
        tokens = [t for t in _get_objects(task, "tokens") if t.get("id") == token]
        expect(bool(spans or tokens), f"a relation has {side} = {token}, which is not a token")
        start_end = (spans or tokens)[0]
        span = {**start_end, "label": start_end.get("label") if spans else None}
    expect(isinstance(span, dict), f"the {side}_span of a relation is not an object")
    return _add_mention(annotation, span)


def _covers(span: Dict[str, Any], token: Any) -> bool:
    first, last = span.get("token_start"), span.get("token_end")  # the last one is part of it
    return isinstance(first, int) and isinstance(last, int) and first <= token <= last
