"""Read Label Studio's JSON export of texts with labelled regions and relations between them."""

from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

from spacy.language import Language
from spacy.tokens import Doc

from .checks import Malformed, PathLike, expect, is_range, is_text
from .faults import Faults
from .json_array import read_array
from .lift import Annotation, Lift, find_title, read_annotations
from .offsets import Mention

DIRECTIONS = ("right", "left", "bi")
MAX_OFFSET = 1 << 53  # of whole numbers that JavaScript can count


def read_label_studio(
    path: PathLike,
    *,
    nlp: Optional[Language] = None,
    lift: Optional[Lift] = None,
    annotator: str = "",
    text_key: str = "text",
    strict: bool = False,
    faults: Optional[Faults] = None,
) -> Iterator[Doc]:
    """Read one annotation of each task: the one marked as ground truth, or the first that was not cancelled; see
    `read_annotations`. Predictions are not read.

    path (PathLike): File with one list of tasks (the export format JSON; JSON-MIN has no relations).
    annotator (str): Takes only annotations that the user with this number or e-mail address completed.
    text_key (str): Key of the text in a task's data.
    nlp, lift, strict, faults: See `read_annotations`.
    YIELDS (Doc): A document without sentences: Label Studio has none. Its title is the number of the task.
    RAISES (ValueError): If the file is missing or holds no list; with `strict`, if anything would be dropped.
    """
    faults = Faults() if faults is None else faults
    annotations = _read_tasks(path, annotator, text_key, faults)
    yield from read_annotations(annotations, nlp=nlp, lift=lift, strict=strict, faults=faults)


def _read_tasks(
    path: PathLike, annotator: str, text_key: str, faults: Faults
) -> Iterator[Tuple[str, Union[Annotation, Malformed]]]:
    for position, task in enumerate(read_array(path)):
        where = f"{path}: task {position}"
        try:
            expect(isinstance(task, dict), f"it is a {type(task).__name__}, not an object")
            title = find_title(task.get("id"))
            where = f"{path}: task {position}" if title is None else f"{path}: task with id {title}"
            answer = _choose_answer(task, annotator, faults)
            if answer is not None:
                annotation = _read_answer(answer, _get_text(task, text_key), faults)
                annotation.title = title
                yield where, annotation
        except Malformed as e:
            yield where, e


def _choose_answer(task: Dict[str, Any], annotator: str, faults: Faults) -> Optional[Dict[str, Any]]:
    """Choose the annotation to take, if there is one, and count the others."""
    expect("annotations" in task, "it has no key annotations: export as JSON, not as JSON-MIN, which has no relations")
    answers = _objects(task["annotations"], "annotations")
    faults.unanswered_texts += not answers
    kept = [answer for answer in answers if not answer.get("was_cancelled")]
    faults.rejected_answers += len(answers) - len(kept)
    fitting = [answer for answer in kept if not annotator or annotator in _names(answer.get("completed_by"))]
    fitting.sort(key=lambda answer: not answer.get("ground_truth"))
    faults.further_answers += len(kept) - len(fitting[:1])
    return fitting[0] if fitting else None


def _names(user: Any) -> List[str]:
    """List the names of a user; exports hold the number alone, or an object with number and e-mail address."""
    return [str(user.get(key)) for key in ("id", "email")] if isinstance(user, dict) else [str(user)]


def _get_text(task: Dict[str, Any], key: str) -> str:
    data: Any = task.get("data")
    expect(isinstance(data, dict), "its data is not an object")
    keys = ", ".join(repr(k) for k, value in data.items() if isinstance(value, str))
    expect(is_text(data.get(key)), f"its data has no text {key!r:.40}; there is: {keys:.200} (--text-key)")
    return data[key]


def _objects(value: Any, what: str) -> List[Dict[str, Any]]:
    are_right = isinstance(value, list) and all(isinstance(o, dict) for o in value)
    expect(are_right, f"{what} is not a list of objects")
    return value


def _read_answer(answer: Dict[str, Any], text: str, faults: Faults) -> Annotation:
    """Read an annotation. RAISES (Malformed): If it does not have the layout of labelled text."""
    annotation = Annotation(text)
    for result in _objects(answer.get("result"), "result"):
        if result.get("type") == "labels":
            _add_mention(annotation, result)
        elif result.get("type") == "relation":
            _add_relation(annotation, result)
        else:
            faults.ignored_annotations += 1
    return annotation


def _add_mention(annotation: Annotation, region: Dict[str, Any]) -> None:
    """Add a mention, or labels to one that is there: a region with two sets of labels appears twice."""
    name = region.get("id")
    expect(is_text(name), "a region has no id")
    what = f"region {name!r:.40}"
    value: Any = region.get("value")
    expect(isinstance(value, dict), f"{what} has no value")
    chars, said = [value.get("start"), value.get("end")], value.get("text")
    expect(is_range(chars, MAX_OFFSET), f"{what} runs from {chars[0]!r:.20} to {chars[1]!r:.20}")
    mention = Mention([(chars[0], chars[1])], [], said if isinstance(said, str) else None)
    annotation.mentions.setdefault(name, mention).labels.extend(_labels(value.get("labels"), what))


def _add_relation(annotation: Annotation, relation: Dict[str, Any]) -> None:
    """Add a relation with each of its labels, in each of its directions."""
    start, end, direction = relation.get("from_id"), relation.get("to_id"), relation.get("direction") or "right"
    expect(is_text(start) and is_text(end), "a relation lacks from_id or to_id")
    expect(direction in DIRECTIONS, f"a relation has direction {direction!r:.20}, not one of {', '.join(DIRECTIONS)}")
    for label in _labels(relation.get("labels"), "a relation") or [""]:
        if direction != "left":
            annotation.pairs.append((start, label, end))
        if direction != "right":
            annotation.pairs.append((end, label, start))


def _labels(value: Any, what: str) -> List[str]:
    labels = value or []
    expect(
        isinstance(labels, list) and all(is_text(label) for label in labels), f"{what} has labels that are not texts"
    )
    return labels
