"""Checks of values that come from files."""

import json
import math
from pathlib import Path
from typing import Any, Union

from ..errors import Errors

PathLike = Union[str, Path]


class Malformed(Exception):
    """A document whose indices or types can't be trusted; says what is wrong with it."""


def expect(is_right: bool, problem: str) -> None:
    """RAISES (Malformed): Unless the check held."""
    if not is_right:
        raise Malformed(problem)


def is_text(value: Any) -> bool:
    """RETURNS (bool): Whether a value is a string that can be written to a file (no lone surrogates)."""
    return isinstance(value, str) and not any("\ud800" <= c <= "\udfff" for c in value)


def is_index(value: Any, n: int) -> bool:
    """RETURNS (bool): Whether a value is a whole number in [0, n)."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < n


def is_share(value: Any) -> bool:
    """RETURNS (bool): Whether a value is a number in [0, 1]."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and not math.isnan(value) and 0 <= value <= 1


def is_range(value: Any, n: int) -> bool:
    """RETURNS (bool): Whether a value is a pair [start, end) of at least one position, within n positions."""
    return isinstance(value, list) and len(value) == 2 and is_index(value[1], n + 1) and is_index(value[0], value[1])


def parse_json(data: bytes) -> Any:
    """Parse JSON in UTF-8, with or without a byte order mark. RETURNS (Any): Its content; a Malformed on failure."""
    try:
        return json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as e:
        return Malformed(f"it is not JSON in UTF-8 ({e})")


def load_json(path: PathLike) -> Any:
    """Read a JSON file. RAISES (ValueError): If it is missing or not JSON."""
    if not Path(path).is_file():
        raise ValueError(Errors.R104.format(path=path))
    content = parse_json(Path(path).read_bytes())
    if isinstance(content, Malformed):
        raise ValueError(Errors.R121.format(path=path, problem=content))
    return content
