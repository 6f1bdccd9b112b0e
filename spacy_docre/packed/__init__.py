from .archive import read_archive, write_archive
from .pipeline import META_KEYS, PackedComponent, pack_pipeline, unpack_pipeline

__all__ = ["META_KEYS", "PackedComponent", "pack_pipeline", "read_archive", "unpack_pipeline", "write_archive"]
