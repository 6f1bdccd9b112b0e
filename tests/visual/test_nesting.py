"""Spans that overlap in any way become nested elements."""

from hypothesis import given
from hypothesis import strategies as st

from spacy_docre.visual.nesting import Closing, Opening, Stretch, nest

TEXT = "abcdefghij"
bounds = st.tuples(st.integers(0, len(TEXT)), st.integers(0, len(TEXT))).map(sorted)


@given(st.lists(bounds, max_size=6))
def test_each_stretch_gets_its_characters(found):
    """Elements nest, the text does not change, and the pieces of each span contain exactly its text."""
    stretches = [Stretch(start, end, "mention", i) for i, (start, end) in enumerate(found)]
    inside, stack, text = {s.id: "" for s in stretches}, [], ""
    firsts = []
    for piece in nest(TEXT, stretches):
        if isinstance(piece, Opening):
            assert piece.stretch not in stack
            stack.append(piece.stretch)
            firsts += [piece.stretch.id] * piece.first
        elif isinstance(piece, Closing):
            stack.pop()
        else:
            text += piece
            for stretch in stack:
                inside[stretch.id] += piece
    assert text == TEXT and not stack
    assert inside == {s.id: TEXT[s.start : s.end] for s in stretches}
    assert sorted(firsts) == [s.id for s in stretches if s.start < s.end]


def test_the_longer_is_the_outer():
    short, long = Stretch(0, 2, "mention", 0), Stretch(0, 4, "sentence", 0)
    pieces = list(nest("abcd", [short, long]))
    assert [p.stretch for p in pieces if isinstance(p, Opening)] == [long, short]
    assert [p for p in pieces if isinstance(p, str)] == ["ab", "cd"]
