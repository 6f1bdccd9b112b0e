"""Types of arrays by kind and rank. mypy checks the kind; the rank is in the name, and the shape beside each use."""

from typing import Any, Tuple

import numpy
from numpy.typing import NDArray

Ints1d = NDArray[numpy.int64]
Ints2d = NDArray[numpy.int64]
Floats1d = NDArray[numpy.floating[Any]]
Floats2d = NDArray[numpy.floating[Any]]
Bools1d = NDArray[numpy.bool_]
Bools2d = NDArray[numpy.bool_]

SpanIndices = Tuple[int, int]  # tokens [start, end) of a Doc
