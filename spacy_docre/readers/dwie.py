"""Read DWIE: one JSON file a document, in a folder such as `annos_with_content`."""

import random
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

import spacy
from spacy.language import Language
from spacy.tokens import Doc

from ..errors import Errors, check_choice
from .checks import Malformed, PathLike, expect, is_index, is_range, is_text, parse_json
from .faults import Faults
from .records import read_records

PARTS = ("all", "train", "dev", "test")
N_DEV = 98  # as in the papers, where 602 documents are left to train on
PREFIX = "type::"
MAX_LENGTH = 10**7  # characters of an article, against numbers that would fill the memory
# A concept carries a path of types, from "entity" to "head_of_state": the first of these it has is its type.
TYPES = "person organization location event misc language ethnicity time money role value other".split()
NO_TEXT = (
    "it has no article text (the key content). Run the dataset's own download script and name the folder "
    "annos_with_content that it writes; to check annotations alone: --lay-out"
)


def read_dwie(
    path: PathLike,
    *,
    nlp: Optional[Language] = None,
    part: str = "all",
    n_dev: int = N_DEV,
    seed: int = 0,
    dev_titles: Optional[Iterable[str]] = None,
    lay_out: bool = False,
    strict: bool = False,
    faults: Optional[Faults] = None,
) -> Iterator[Doc]:
    """Read documents: an entity is a concept that has mentions, its type comes from its tags `type::`.

    path (PathLike): Folder of JSON files; read in alphabetical order.
    nlp (Optional[Language]): Gives tokenizer and vocabulary; English by default.
    part (str): all; or, less the documents without mentions, test (tag `test`), dev or train (tag `train`).
    n_dev, seed (int): How many documents of the tag `train` are dev, and the seed that draws them.
    dev_titles (Optional[Iterable[str]]): The documents that are dev, in place of drawn ones.
    lay_out (bool): Put the mentions at their offsets into blanks, where the article's text is missing.
    strict (bool): Raise at the first loss.
    faults (Optional[Faults]): Counts what was found wrong, as far as the files were read.
    YIELDS (Doc): A document; its title is the file's id.
    RAISES (ValueError): If the folder or its files are missing, or the part is unknown; with `strict`, if anything
        would be dropped.
    """
    nlp = spacy.blank("en") if nlp is None else nlp
    faults = Faults() if faults is None else faults
    check_choice("part", part, PARTS)
    files = sorted(Path(path).glob("*.json"))
    if not files:
        raise ValueError(Errors.R125.format(path=path))
    dev: Set[str] = set()
    if part in ("train", "dev"):
        dev = set(dev_titles) if dev_titles is not None else _draw_dev(files, n_dev, seed)
    records = _make_records(files, part, dev, lay_out, strict, faults)
    yield from read_records(records, nlp=nlp, strict=strict, faults=faults)


def read_titles(path: PathLike) -> Set[str]:
    """Read titles, one a line. RAISES (ValueError): If the file is missing or not in UTF-8."""
    if not Path(path).is_file():
        raise ValueError(Errors.R104.format(path=path))
    try:
        lines = Path(path).read_bytes().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as e:
        raise ValueError(Errors.R105.format(path=path, problem=e)) from None
    return {line.strip() for line in lines if line.strip()}


def _draw_dev(files: Iterable[Path], n_dev: int, seed: int) -> Set[str]:
    """Draw the titles of dev documents from those of the tag train that have mentions."""
    raws = ((file, parse_json(file.read_bytes())) for file in files)
    titles = [_title(file, raw) for file, raw in raws if _is_in(raw, "train") and raw.get("mentions")]
    if n_dev > len(titles):
        raise ValueError(Errors.R124.format(n=n_dev, total=len(titles)))
    return set(random.Random(seed).sample(titles, n_dev))


def _title(file: Path, raw: Any) -> Any:
    return raw.get("id") or file.stem


def _is_in(raw: Any, tag: str) -> bool:
    return isinstance(raw, dict) and isinstance(raw.get("tags"), list) and tag in raw["tags"]


def _make_records(
    files: Iterable[Path], part: str, dev: Set[str], lay_out: bool, strict: bool, faults: Faults
) -> Iterator[Tuple[str, Any]]:
    """YIELDS (Tuple[str, Any]): File, and its content as our JSONL has it, or a Malformed."""
    tag = "train" if part == "dev" else part
    for file in files:
        raw = parse_json(file.read_bytes())
        if part != "all" and isinstance(raw, dict):
            if not _is_in(raw, tag) or (tag == "train" and (_title(file, raw) in dev) != (part == "dev")):
                continue
            if not raw.get("mentions"):
                faults.left_out += 1
                continue
        try:
            yield str(file), _make_record(raw, file, lay_out, strict, faults)
        except Malformed as e:
            yield str(file), e


def _make_record(raw: Any, file: Path, lay_out: bool, strict: bool, faults: Faults) -> Dict[str, Any]:
    """Turn a file's content into a record of our JSONL. RAISES (Malformed): Naming the first problem."""
    title, text = _check_text(raw, file, lay_out)
    index = _number_concepts(raw["concepts"])
    entities: List[Dict[str, Any]] = []
    for concept in raw["concepts"]:
        label, n_types = _find_type(concept.get("tags") or [])
        faults.mixed_types += n_types > 1
        entities.append({"label": label, "mentions": []})
    for i, mention in enumerate(raw["mentions"]):
        number, begin, end = mention.get("concept"), mention["begin"], mention["end"]
        expect(is_index(number, MAX_LENGTH) and number in index, f"mention {i} is of a concept that is not there")
        if text[begin:end] == mention["text"]:
            entities[index[number]]["mentions"].append([begin, end])
        else:
            problem = (
                f"at {begin} stands {text[begin:end]!r:.60}, not {mention['text']!r:.60}, so this mention is dropped"
            )
            faults.drop("wrong_offsets", Errors.R116.format(where=file, title=title, problem=problem), strict)
    relations = []
    for i, relation in enumerate(raw["relations"]):
        ends = (relation.get("s"), relation.get("o"))
        are_there = all(is_index(number, MAX_LENGTH) and number in index for number in ends)
        expect(are_there, f"relation {i} joins {ends!r:.40}, which are not both concepts")
        relations.append({"head": index[ends[0]], "label": relation.get("p"), "tail": index[ends[1]]})
    return {"id": title, "text": text, "entities": entities, "relations": relations}


def _check_text(raw: Any, file: Path, lay_out: bool) -> Tuple[str, str]:
    """Check the title, the text and the offsets. RETURNS (Tuple[str, str]): Title and text.

    RAISES (Malformed): Naming the first problem.
    """
    if isinstance(raw, Malformed):
        raise raw
    expect(isinstance(raw, dict), f"it is a {type(raw).__name__}, not an object")
    for key in ("mentions", "concepts", "relations"):
        expect(isinstance(raw.get(key), list), f"{key} is not a list")
        expect(all(isinstance(item, dict) for item in raw[key]), f"{key} holds something else than objects")
    title, text = _title(file, raw), raw.get("content")
    expect(is_text(title), "its id is not a text")
    for i, mention in enumerate(raw["mentions"]):
        span = [mention.get("begin"), mention.get("end")]
        expect(is_text(mention.get("text")), f"mention {i} has no text")
        expect(is_range(span, MAX_LENGTH), f"mention {i} has begin and end {span!r:.40}, which is not a range")
    if lay_out and text is None:
        text = _lay_out(raw["mentions"])
    expect(text is not None, NO_TEXT)
    expect(is_text(text), "its content is not a text")
    return title, text


def _number_concepts(concepts: Sequence[Dict[str, Any]]) -> Dict[int, int]:
    """Check the concepts. RETURNS (Dict[int, int]): Position of each by its number.

    RAISES (Malformed): Naming the first problem.
    """
    index: Dict[int, int] = {}
    for i, concept in enumerate(concepts):
        number, tags = concept.get("concept"), concept.get("tags") or []
        expect(is_index(number, MAX_LENGTH), f"concept {i} has no number")
        expect(number not in index, f"there are two concepts of the number {number}")
        expect(isinstance(tags, list) and all(map(is_text, tags)), f"the tags of concept {i} are not a list of texts")
        index[concept["concept"]] = i
    return index


def _find_type(tags: Sequence[str]) -> Tuple[str, int]:
    """Find the type of a concept in its tags.

    RETURNS (Tuple[str, int]): The type, "" if the tags do not name one; and how many of `TYPES` they name. A time, an
        amount of money and a role are values as well, which does not count.
    """
    names = [tag[len(PREFIX) :] for tag in tags if tag.startswith(PREFIX)]
    found = [name for name in TYPES if name in names]
    others = [name for name in names if name != "entity"]
    return next(iter(found or others or names), ""), sum(name != "value" for name in found)


def _lay_out(mentions: Sequence[Dict[str, Any]]) -> str:
    """Make a text of blanks with the text of each mention at its offsets."""
    text = [" "] * max((mention["end"] for mention in mentions), default=0)
    for mention in mentions:
        begin, end = mention["begin"], mention["end"]
        text[begin:end] = mention["text"].ljust(end - begin)[: end - begin]
    return "".join(text)
