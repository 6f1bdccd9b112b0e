"""Document-level relation extraction in spaCy: from raw text to relations between entities."""

from .about import __version__
from .doc.extensions import install_extensions
from .doc.views import Entity, Evidence, Relation
from .visual import render

install_extensions()

__all__ = ["Entity", "Evidence", "Relation", "__version__", "render"]
