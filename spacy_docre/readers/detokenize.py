"""Turn tokens back into English text: decide after which tokens a space stands.

Corpora such as DocRED ship tokens without the original spacing. Their tokenizer left some marks inside words
("2016–17", "U-20"), so a mark it shows apart where it would not have split stood between spaces in the source, and
spaces are kept there: a mention that ends at the mark then still ends at a token of spaCy's own tokenizer.
"""

from typing import List, Sequence, Tuple

CLOSERS = frozenset(", . ; : ! ? ) ] } % ” » 》 … .. ... ' n't n’t".split())
SENTENCE_END = frozenset(". ! ? … ...".split())
ATTACH_LEFT = frozenset(", . ; : ! ? ) ] } % ” » 》 … .. ... ....".split())
ATTACH_RIGHT = frozenset("( [ { “ „ « 《 ‘ $ £ € ¥ # US$ C$ A$ HK$ NZ$ S$ R$ ₤ ₹ @".split())
CLITICS = frozenset(c for stem in "s re ve ll m d".split() for c in (f"'{stem}", f"’{stem}", f"'{stem.upper()}"))
NEGATIONS = frozenset(["n't", "n’t", "N'T"])
CONTRACTIONS = frozenset([("can", "not"), ("gon", "na"), ("wan", "na"), ("got", "ta"), ("lem", "me"), ("gim", "me")])
MONTHS = frozenset("January February March April May June July August September October November December".split())
# After a hyphen these begin a clause, unless an earlier hyphen makes a compound ("four-and-a-half").
CLAUSE_WORDS = frozenset("who which where when that is was are were he she it they not but the a an as".split())
MISSING_CLOSE, MISSING_OPEN = 1.8, 1.9  # a quotation that opens again, or closes without having been opened
QUOTE_SPAN_COST = 0.01  # per token inside a straight quotation: a lost quote must not turn the rest inside out


def spaces_after(tokens: List[str]) -> List[bool]:
    """Tell after which tokens a space belongs, so that the text reads like ordinary English.

    tokens (List[str]): Tokens of a whole document; quotations may run over several sentences. Whitespace-only
        tokens stand for themselves: no space is put next to them.
    RETURNS (List[bool]): One per token; False for the last one. Joining loses and changes no character of a token.
    """
    n = len(tokens)
    left = [False] * n  # joins the token before it
    right = [False] * n  # joins the token after it
    for quote in ('"', "'"):
        for i, opens in _pair_quotes(tokens, quote):
            (right if opens else left)[i] = True
    for i, token in enumerate(tokens):
        before = tokens[i - 1] if i else ""
        after = tokens[i + 1] if i + 1 < n else ""
        if not token.strip():
            left[i] = right[i] = True
        elif token == "#" and len(before) == 1 and before.isupper():
            left[i] = True  # C#
        elif token in ("…", "...") and (i == 0 or before in ATTACH_RIGHT or right[i - 1]):
            right[i] = before != ""
        elif token in ATTACH_LEFT or token in CLITICS or token in NEGATIONS:
            left[i] = True
        elif token in ATTACH_RIGHT:
            right[i] = True
        elif token == "-":
            left[i] = right[i] = _is_hyphen(tokens, i)
        elif token == "–":
            left[i] = right[i] = _is_range(before, after)
        elif token in ("—", "--"):
            left[i] = right[i] = before[-1:].isalnum() and after[:1].isalpha()
        elif token == "/":
            left[i] = right[i] = before[-1:].isalnum() and after[:1].isalpha()
        elif token == ".-":
            left[i], right[i] = True, after[:1].isalpha()
        elif token == "°":
            left[i], right[i] = True, after in ("C", "F")
        elif token == "+":
            left[i] = after in CLOSERS
        elif (before, token) in CONTRACTIONS:
            left[i] = True
    return [not (right[i] or left[i + 1]) for i in range(n - 1)] + [False] * (n > 0)


def _is_hyphen(tokens: Sequence[str], i: int) -> bool:
    """Tell whether a hyphen joins its neighbours; else it is a dash between spaces."""
    before, after = (tokens[i - 1] if i else ""), (tokens[i + 1] if i + 1 < len(tokens) else "")
    if before[-1:].isdigit() and after[:1].isdigit():
        return True
    if not (before[-1:].isalnum() and after[:1].isalpha()):
        return False
    compound = "-" in (tokens[i - 2] if i > 1 else "", tokens[i + 2] if i + 2 < len(tokens) else "")
    return compound or after not in CLAUSE_WORDS


def _is_range(before: str, after: str) -> bool:
    """Tell whether an en dash joins two names (Cambodia–Vietnam) rather than two parts of a sentence."""
    if not (before[-1:].isalpha() and after[:1].isalpha() and before[:1].isupper() and after[:1].isupper()):
        return False
    return (before in MONTHS) == (after in MONTHS)


def _pair_quotes(tokens: Sequence[str], quote: str) -> List[Tuple[int, bool]]:
    """Decide for each straight quote whether it opens: the cheapest sequence of opening and closing (Viterbi).

    RETURNS (List[Tuple[int, bool]]): Index of each quote token, and whether it opens. An apostrophe after a word
        (the Indians' coach) and a sign for inches leave the state as it is and attach to the left as closing ones do.
    """
    positions = [i for i, token in enumerate(tokens) if token == quote]
    # State: inside a quotation or not. Per state its cost and the decisions that led there. For `" Go " , he said` the
    # cheapest path opens at the first quote and closes at the second: [(0, True), (2, False)].
    paths: List[Tuple[float, Tuple]] = [(0.0, ()), (float("inf"), ())]
    last = 0
    for i in positions:
        outside, inside = paths
        inside = (inside[0] + QUOTE_SPAN_COST * (i - last), inside[1])
        last = i
        opening, closing, apostrophe = _quote_costs(tokens, i)
        opened = min(
            (outside[0] + opening, outside[1]), (inside[0] + opening + MISSING_CLOSE, inside[1]), key=lambda p: p[0]
        )
        closed = min(
            (inside[0] + closing, inside[1]), (outside[0] + closing + MISSING_OPEN, outside[1]), key=lambda p: p[0]
        )
        to_outside = [(closed[0], (closed[1], i, False)), (outside[0] + apostrophe, (outside[1], i, False))]
        to_inside = [(opened[0], (opened[1], i, True)), (inside[0] + apostrophe, (inside[1], i, False))]
        paths = [min(to_outside, key=lambda p: p[0]), min(to_inside, key=lambda p: p[0])]
    _, path = min((paths[0][0], 0), (paths[1][0] + 1.0, 1))
    decided = []
    link = paths[path][1]
    while link:
        link, i, opens = link
        decided.append((i, opens))
    return decided[::-1]


def _quote_costs(tokens: Sequence[str], i: int) -> Tuple[float, float, float]:
    """Weigh an opening quote, a closing one and an apostrophe at token i: what each costs beside its neighbours."""
    before = tokens[i - 1] if i else ""
    after = tokens[i + 1] if i + 1 < len(tokens) else ""
    opening = closing = 0.0
    apostrophe = float("inf")
    if after in CLOSERS or not after:
        opening += 0.5 if after in ("...", "…") else 3.0
    if before in ATTACH_RIGHT or not before:
        closing += 3.0
    if before in SENTENCE_END and after[:1].isalpha() and after[:1].islower():
        opening += 1.0
    if (before in CLITICS or before.isalpha() and before.islower()) and (after[:1].isupper() or after[:1].isdigit()):
        closing += 0.5
    if before[:1].isupper() and after.isalpha() and after.islower():
        opening += 0.5
    if before == ",":
        closing += 0.5
    if tokens[i] == '"' and before.isdigit() and len(before) <= 2 and after.islower():
        apostrophe = 0.0  # inches: the 12" version
    if tokens[i] == "'":
        apostrophe = 4.0
        if before[-1:] in ("s", "z", "x") and after[:1].isalnum():
            apostrophe = 0.6
            opening += after.islower()
        elif before.endswith("in") or before in ("N", "n", "o", "O"):
            apostrophe = 1.0
        if after in ("n", "N", "cause", "em", "til") or after[:2].isdigit():
            opening -= 0.5
    return opening, closing, apostrophe
