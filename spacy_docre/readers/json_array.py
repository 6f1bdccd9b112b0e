"""Read a JSON array value by value, whatever its size."""

import codecs
from pathlib import Path
from typing import Any, BinaryIO, Iterator, Optional

import ijson

from ..errors import Errors
from .checks import PathLike


def read_array(path: PathLike) -> Iterator[Any]:
    """Read the values of a file that holds one array, keeping no more than one value and one chunk. Half of a surrogate
    pair becomes a question mark.

    YIELDS (Any): One value after the other.
    RAISES (ValueError): If the file is missing or holds something else than an array; where it ends too early or is
        not JSON in UTF-8, after the values before that.
    """
    if not Path(path).is_file():
        raise ValueError(Errors.R104.format(path=path))
    n_read = 0
    with Path(path).open("rb") as file:
        if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
            file.seek(0)
        try:
            for value in _read_values(file):
                yield value
                n_read += 1
        except (ijson.JSONError, ValueError) as e:
            message = Errors.R123 if n_read else Errors.R121
            problem = f"it is not a list in JSON ({next(iter(str(e).splitlines()), '')})"
            raise ValueError(message.format(path=path, problem=problem, n=n_read)) from None


def _read_values(file: BinaryIO) -> Iterator[Any]:
    """YIELDS (Any): The values of an array. RAISES (ValueError): If the file holds something else."""
    # Not ijson.items, which names the place of each event: that fills the memory where brackets nest deeply.
    depth = 0
    builder: Optional[ijson.ObjectBuilder] = None
    for event, value in ijson.basic_parse(file, use_float=True):
        if not depth and event != "start_array":
            raise ValueError(f"it begins with {event.replace('_', ' ')}")
        depth -= event in ("end_array", "end_map")
        if depth:
            builder = builder or ijson.ObjectBuilder()
            builder.event(event, value)
        depth += event in ("start_array", "start_map")
        if builder and depth == 1:
            yield builder.value
            builder = None
