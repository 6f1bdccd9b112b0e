"""Tokens that mentions can end at."""

from typing import Callable

from spacy.language import Language
from spacy.util import compile_infix_regex

NUMBER_RANGE = r"(?<=[0-9])[–—](?=[0-9])"


def create_range_splitter() -> Callable[[Language], Language]:
    """Create a callback for [nlp.after_creation] that splits ranges of numbers at their dash.

    spaCy's tokenizers keep "1868–1952" in one piece, and no mention can end inside a token. The tokenizer is saved
    with the pipeline, so the rule takes part wherever the pipeline goes.
    """

    def split_ranges(nlp: Language) -> Language:
        tokenizer = nlp.tokenizer
        infixes = [*(nlp.Defaults.infixes or ()), NUMBER_RANGE]
        if hasattr(tokenizer, "infix_finditer"):  # a tokenizer of another kind is left alone
            tokenizer.infix_finditer = compile_infix_regex(infixes).finditer
        return nlp

    return split_ranges
