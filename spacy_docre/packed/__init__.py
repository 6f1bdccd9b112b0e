"""A trained pipeline as one small file, and back."""

from .archive import read_archive, write_archive
from .components import PackedComponent
from .pipeline import pack_pipeline, unpack_pipeline
from .plain import META_KEYS

__all__ = ["META_KEYS", "PackedComponent", "pack_pipeline", "read_archive", "unpack_pipeline", "write_archive"]
