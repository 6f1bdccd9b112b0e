"""Docstrings are taken apart into their lines."""

from spacy_docre.reference.docstrings import read_docstring


def test_parts_of_a_docstring():
    def function():
        """Do it (well): here.

        first, second (Dict[str, int]): Two of them,
            over two lines.

        Some words on it.
        They go on.
        RETURNS (Tuple[int, str]): What: comes (back).
        RAISES (ValueError): If not.
        """

    doc = read_docstring(function)
    assert doc.about == ("Do it (well): here.", "Some words on it. They go on.")
    assert doc.arguments == dict.fromkeys(["first", "second"], ("Dict[str, int]", "Two of them, over two lines."))
    assert doc.outcomes["RETURNS"] == ("Tuple[int, str]", "What: comes (back).") and "RAISES" in doc.outcomes
    assert read_docstring(lambda: None).about == ()
