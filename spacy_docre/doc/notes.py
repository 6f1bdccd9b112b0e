"""Notes on a Doc beside its layers: its title, the layers that it was given, what was skipped."""

from spacy.tokens import Doc

GIVEN_ATTR = "docre_given"
TITLE_ATTR = "docre_title"
SKIPPED_ATTR = "docre_skipped"


def get_title(doc: Doc) -> str:
    """RETURNS (str): Title or id of a document, else its first words; for messages."""
    title = doc._.get(TITLE_ATTR)
    return title or doc.text[:40].strip() or "(empty document)"


def is_given(doc: Doc, layer: str) -> bool:
    """RETURNS (bool): Whether the corpus gave this gold layer, which components then leave alone."""
    return layer in (doc._.get(GIVEN_ATTR) or ())


def note_skipped(doc: Doc, component: str, what: str, n: int) -> None:
    """Count on the Doc, under `doc._.docre_skipped["component: what"]`, what a component did not look at."""
    counts = dict(doc._.get(SKIPPED_ATTR) or {})
    key = f"{component}: {what}"
    if n or key in counts:
        counts[key] = int(n)
        doc._.set(SKIPPED_ATTR, counts)
