"""Spacing of detokenised text: cases by hand, laws over any tokens, alignment with spaCy's tokenizer on real data."""

import json
import os
from pathlib import Path

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st

from spacy_docre.doc.align import token_offsets
from spacy_docre.readers.detokenize import spaces_after
from spacy_docre.readers.docred import read_docred

DATA = os.environ.get("DOCRE_DATA")


def join(tokens):
    return "".join(token + " " * space for token, space in zip(tokens, spaces_after(tokens)))


# The tokens are the first text, split at its spaces.
CASES = [
    ("The mayor , born in Lund , did n't resign .", "The mayor, born in Lund, didn't resign."),
    ("It is Ann 's and her parents ' house ; we 're in", "It is Ann's and her parents' house; we're in"),
    ("The two - year plan cost $ 5 m ( 12 % ) .", "The two-year plan cost $5 m (12%)."),
    ('He called it " a triumph " , and left .', 'He called it "a triumph", and left.'),
    ('" Stay , " she said . " We moved . " He left .', '"Stay," she said. "We moved." He left.'),
    ('" Long Road " and " Short Way " ( " Via " ) sold', '"Long Road" and "Short Way" ("Via") sold'),
    ('A lost " quote . The " Blue Hat " , and " Red Hat " .', 'A lost "quote. The "Blue Hat", and "Red Hat".'),
    ("Four - and - a - half years , from 1999 - 2003", "Four-and-a-half years, from 1999-2003"),
    ("He had one aim - the sea - and won", "He had one aim - the sea-and won"),
    ("Lind ( 1868 – 1952 ) , in the 1992 – 93 season", "Lind (1868 – 1952), in the 1992 – 93 season"),
    ("The Norway – Sweden border – long – was open", "The Norway–Sweden border – long – was open"),
    ("Berg ( 2 May 1901 , Oslo – June 3 , 1980 )", "Berg (2 May 1901, Oslo – June 3, 1980)"),
    ("Oslo – June , May – June", "Oslo – June, May–June"),
    ("A rock / metal band at 70 km / h ? Yes !", "A rock/metal band at 70 km/h? Yes!"),
    ('She left — as planned — " for good " .', 'She left—as planned — "for good".'),
    ("The words ' ouest ' and ' est ' .", "The words 'ouest' and 'est'."),
    ('A 12 " vinyl and " Via " on it', 'A 12" vinyl and "Via" on it'),
    ('It was " ... long , " he said', 'It was "...long," he said'),
    ("Rock ' n ' roll in the ' 90s .", "Rock 'n' roll in the '90s."),
    ("the Indians ' coach and James ' plan", "the Indians' coach and James' plan"),
    ("She wrote “ yes ” or ‘ no [ sic ] … and", "She wrote “yes” or ‘no [sic]… and"),
    ("They can not go and are gon na stay", "They cannot go and are gonna stay"),
    ("Hit # 3 in a C # list at 20 ° C or 4 ° N", "Hit #3 in a C# list at 20°C or 4° N"),
    ("The U.S .- Canada area .. Two", "The U.S.-Canada area.. Two"),
    ("An S9 + , or 50 + games", "An S9+, or 50 + games"),
    ("Nora (; born 1950 ) is", "Nora (; born 1950) is"),
]


@pytest.mark.parametrize("tokens,text", CASES)
def test_reads_like_english(tokens, text):
    assert join(tokens.split(" ")) == text


def test_whitespace_tokens_stand_for_the_space():
    assert join(["35", "\xa0", "km", "a", " ", "b"]) == "35\xa0km a b"


def test_nothing_to_join():
    assert spaces_after([]) == []
    assert spaces_after(["word"]) == [False]


marks = st.sampled_from(list("\"'`“”‘’()[]{}-–—/.,;:!?%$#°+ \xa0") + ["'s", "n't", "...", ".-", "can", "not", "C", "1"])


@given(st.lists(marks | st.text(min_size=1, max_size=4), max_size=30))
def test_only_spaces_are_added(tokens):
    """Without the added spaces the text is the tokens again; the last token has no space."""
    spaces = spaces_after(tokens)
    assert len(spaces) == len(tokens)
    assert all(isinstance(space, bool) for space in spaces)
    assert not any(spaces[-1:])
    text, at = join(tokens), 0
    for token, space in zip(tokens, spaces):
        assert text[at : at + len(token)] == token
        at += len(token) + space
    assert at == len(text)


@pytest.mark.skipif(not DATA, reason="set DOCRE_DATA to a folder with redocred/dev.json")
@pytest.mark.parametrize("name", ["redocred/dev.json", "redocred/train.json", "docred/entities_only.json"])
def test_real_mentions_lie_on_token_boundaries(name):
    path = Path(DATA) / name
    if not path.exists():
        pytest.skip(f"{name} is not in DOCRE_DATA")
    nlp = spacy.blank("en")
    n = off = 0
    for doc in read_docred(path, nlp=nlp):
        starts, ends = map(set, map(list, token_offsets(nlp.make_doc(doc.text))))
        n += len(doc.spans["mentions"])
        off += sum(m.start_char not in starts or m.end_char not in ends for m in doc.spans["mentions"])
        if n > 3000:
            break
    assert off / n < 0.002


@pytest.mark.skipif(not DATA, reason="set DOCRE_DATA to a folder with redocred/dev.json")
def test_real_tokens_keep_their_characters():
    path = Path(DATA) / "redocred/dev.json"
    if not path.exists():
        pytest.skip("redocred/dev.json is not in DOCRE_DATA")
    for raw in json.loads(path.read_text(encoding="utf8")):
        tokens = [token for sent in raw["sents"] for token in sent]
        assert join(tokens).replace(" ", "") == "".join(tokens).replace(" ", "")
