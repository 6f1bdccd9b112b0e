"""Texts in, relations out: read texts, run a pipeline over them, keep a journal that outlives a killed run."""

from .journal import Journal, identify
from .run import extract
from .texts import Failures, Text, read_texts

__all__ = ["Failures", "Journal", "Text", "extract", "identify", "read_texts"]
