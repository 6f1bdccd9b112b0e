"""Word-piece windows: tokenisation, alignment, cutting of long documents, groups for the encoder."""

import numpy
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc
from transformers import AutoTokenizer, BertTokenizer

from spacy_docre.models.transformer.encoder import load_encoder
from spacy_docre.models.transformer.windows import (
    WindowPlan,
    bucket_windows,
    cut_windows,
    plan_windows,
    tokenize,
    window_ids,
)

VOCAB = spacy.blank("en").vocab


@pytest.fixture(scope="module")
def tokenizer(tiny_encoder):
    return AutoTokenizer.from_pretrained(tiny_encoder)


# Cutting


@st.composite
def cuts(draw):
    """Pieces per token, window size, overlap; often just about the limit."""
    window = draw(st.integers(4, 12))
    overlap = draw(st.integers(0, window // 2))
    pieces = draw(st.lists(st.integers(0, window + 2), max_size=20))
    wish = draw(st.sampled_from([None, window - 1, window, window + 1, 2 * window - overlap, 2 * window - overlap + 1]))
    if wish is not None:
        pieces += [1] * max(wish - sum(pieces), 0)
    return pieces, window, overlap


def cut(pieces, window, overlap):
    ends = numpy.cumsum([0, *pieces])
    return cut_windows(int(ends[-1]), ends[:-1], ends[1:], WindowPlan(window, overlap, (2,), (3,)))


@given(cuts())
def test_windows_are_laid_evenly(case):
    pieces, window, overlap = case
    n, found = sum(pieces), cut(*case)
    first, last = found.window_first.tolist(), found.window_last.tolist()
    assert found.lengths.tolist() == [b - a + 2 for a, b in zip(first, last)] and found.prefix == 1
    if n <= window:
        assert list(zip(first, last)) == ([(0, n)] if n else [])
        return
    assert first[0] == 0 and last[-1] == n
    assert {b - a for a, b in zip(first, last)} == {window}
    steps = numpy.diff(first)
    assert steps.max() - steps.min() <= 1 and steps.min() > 0
    assert steps.max() <= window - overlap
    assert len(first) == 1 + -(-(n - window) // (window - overlap))  # no more windows than needed


@given(cuts())
def test_every_piece_has_the_window_where_its_token_lies_most_central(case):
    pieces, found = case[0], cut(*case)
    assert len(found.piece_window) == sum(pieces)
    middles = (found.window_first + found.window_last) / 2
    at = 0
    for n in pieces:
        if not n:
            continue
        token, at = range(at, at + n), at + n
        holders = [
            w for w in range(found.n_windows) if found.window_first[w] <= token[0] and token[-1] < found.window_last[w]
        ]
        homes = found.piece_window[list(token)].tolist()
        if holders:  # never split where a window holds it whole
            assert len(set(homes)) == 1 and homes[0] in holders
            away = numpy.abs(token[0] + n / 2 - middles)
            assert away[homes[0]] == away.min()
        for p, w in zip(token, homes):
            assert found.window_first[w] <= p < found.window_last[w]


def test_a_document_of_every_length():
    """A window of 6 with overlap 2 moves on by 4: 6 pieces fit one, 7 to 10 two, 11 to 14 three."""
    n_windows = [cut([1] * n, 6, 2).n_windows for n in range(16)]
    assert n_windows == [0, *[1] * 6, *[2] * 4, *[3] * 4, 4]


def test_pieces_outside_any_token():
    """Pieces that no token claims (none do so with usual tokenizers) stand for themselves."""
    found = cut_windows(10, numpy.asarray([0]), numpy.asarray([1]), WindowPlan(6, 2, (), ()))
    assert found.piece_window.tolist() == [0] * 5 + [1] * 5


def test_window_ids():
    plan = WindowPlan(6, 2, (2,), (3,))
    ids = list(range(100, 110))
    windows = cut_windows(10, numpy.arange(10), numpy.arange(1, 11), plan)
    assert window_ids(ids, windows, plan) == [[2, *ids[:6], 3], [2, *ids[4:], 3]]


# The encoder's limit


def plan(tokenizer, model_type="bert", positions=64, window=0, overlap=16):
    return plan_windows(tokenizer, model_type, positions, window=window, overlap=overlap, name="x")


def test_plan(tokenizer):
    """64 positions, one taken by [CLS] (2) and one by [SEP] (3)."""
    assert plan(tokenizer) == WindowPlan(62, 16, (2,), (3,))
    assert plan(tokenizer, window=32).window == 30
    assert plan(tokenizer, window=1000).window == 62  # a wish beyond the limit
    assert plan(tokenizer, overlap=1000).overlap == 31  # half a window at most
    assert plan(tokenizer, positions=0).window == 510  # encoders without a limit
    assert plan(tokenizer, "roberta").window == 60  # positions begin behind the padding piece, which is 1


@pytest.mark.parametrize("window", [5, 1, -3])
def test_window_too_small(tokenizer, window):
    with pytest.raises(ValueError, match="R306"):
        plan(tokenizer, window=window)


def test_no_gap_between_windows(tokenizer):
    with pytest.raises(ValueError, match="R206.*overlap"):
        plan(tokenizer, overlap=-1)


# Groups


@given(st.lists(st.integers(1, 30), max_size=25), st.integers(1, 100), st.sampled_from([0.0, 0.2, 0.5, 1.0]))
def test_groups_are_bounded(lengths, max_items, max_padding):
    groups = bucket_windows(numpy.asarray(lengths, dtype="int64"), max_items, max_padding)
    assert sorted(w for group in groups for w in group.tolist()) == list(range(len(lengths)))
    flat = [lengths[w] for group in groups for w in group.tolist()]
    assert flat == sorted(flat, reverse=True)
    for group in groups:
        size = max(lengths[w] for w in group) * len(group)
        assert len(group) == 1 or size <= max_items
        assert sum(lengths[w] for w in group) >= (1 - max_padding) * size - 1e-9


# Word pieces


def make_doc(words, spaces=None):
    return Doc(VOCAB, words=words, spaces=spaces)


def texts(tokenizer, doc):
    """The pieces of each token."""
    ((ids, first, last),) = tokenize(tokenizer, [doc], "x")
    pieces = tokenizer.convert_ids_to_tokens(ids)
    return [pieces[a:b] for a, b in zip(first, last)]


def test_tokens_and_their_pieces(tokenizer):
    """The vocabulary holds single characters and the sample's frequent words."""
    doc = make_doc(["The", "zqx", ".", "The"], [True, False, True, False])
    assert texts(tokenizer, doc) == [["the"], ["z", "##q", "##x"], ["."], ["the"]]


@pytest.mark.parametrize("blank", ["\xa0", "\n\n", " ", "\u200b", "\u3000", "\x07"])
def test_tokens_without_pieces(tokenizer, blank):
    doc = make_doc(["the", blank, "the", blank], [True] * 4)
    assert texts(tokenizer, doc) == [["the"], [], ["the"], []]
    ((_, first, last),) = tokenize(tokenizer, [doc], "x")
    assert first.tolist() == [0, 1, 1, 2] and last.tolist() == [1, 1, 2, 2]


@pytest.mark.parametrize("word", ["😀", "👩‍👩‍👧", "𝔘𝔫𝔦", "日本", "Ünïcödé", "İstanbul", "ﬁn", "e\u0301a", "ß"])
def test_characters_of_any_kind(tokenizer, word):
    """Neighbours keep their own pieces, whatever normalisation does to the text between."""
    found = texts(tokenizer, make_doc(["the", word, "the"], [True, True, False]))
    assert found[0] == found[2] == ["the"]
    assert found[1] and "the" not in found[1]


def test_tokens_that_share_a_piece(tokenizer):
    """spaCy cuts "cannot" in two, the encoder's tokenizer may not: both tokens take the piece."""
    tokenizer = AutoTokenizer.from_pretrained(tokenizer.name_or_path)
    tokenizer.add_tokens(["cannot"])
    assert texts(tokenizer, make_doc(["can", "not", "the"], [False, True, False])) == [["cannot"], ["cannot"], ["the"]]


@given(st.lists(st.tuples(st.text("aBé .\xa0\n😀日-'", min_size=1, max_size=4), st.booleans()), max_size=8))
def test_alignment_equals_a_loop(tokenizer, parts):
    doc = make_doc([word for word, _ in parts], [space for _, space in parts])
    ((ids, first, last),) = tokenize(tokenizer, [doc], "x")
    offsets = tokenizer(doc.text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    assert len(ids) == len(offsets) and len(first) == len(last) == len(doc)
    for token, a, b in zip(doc, first, last):
        overlapping = [i for i, (s, e) in enumerate(offsets) if s < token.idx + len(token) and e > token.idx]
        assert list(range(a, b)) == overlapping


def test_no_documents_and_empty_ones(tokenizer):
    assert tokenize(tokenizer, [], "x") == []
    for ids, first, last in tokenize(tokenizer, [make_doc([]), make_doc([" ", "\n"], [False, False])], "x"):
        assert ids == [] and not first.any() and not last.any() and first.dtype == "int64"


def test_batch_equals_one_by_one(tokenizer, sample_docs):
    for doc, (ids, first, last) in zip(sample_docs, tokenize(tokenizer, sample_docs, "x")):
        ((alone, a, b),) = tokenize(tokenizer, [doc], "x")
        assert ids == alone and numpy.array_equal(first, a) and numpy.array_equal(last, b)


def test_saved_truncation_and_padding_do_not_cut(tiny_encoder, tmp_path):
    """Sentence encoders are published with such settings in their tokenizer.json."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder, model_max_length=8)
    tokenizer.backend_tokenizer.enable_truncation(8)
    tokenizer.backend_tokenizer.enable_padding(length=8)
    tokenizer.save_pretrained(tmp_path)
    assert '"max_length": 8' in (tmp_path / "tokenizer.json").read_text()
    doc = make_doc(["the"] * 40)
    for text in (["the"] * 40, ["the"]):
        ((ids, _, _),) = tokenize(AutoTokenizer.from_pretrained(tmp_path), [make_doc(text)], "x")
        assert len(ids) == len(text)
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).symlink_to(f"{tiny_encoder}/{name}")
    objects = load_encoder(str(tmp_path), dropout=0.0, attention_dropout=0.0, options={})
    assert (
        objects.tokenizer.backend_tokenizer.truncation is None and objects.tokenizer.backend_tokenizer.padding is None
    )
    assert len(tokenize(objects.tokenizer, [doc], "x")[0][0]) == 40


def test_slow_tokenizers_split_token_by_token(tokenizer, tmp_path):
    vocab = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    (tmp_path / "vocab.txt").write_text("\n".join(vocab), encoding="utf8")
    slow = BertTokenizer(str(tmp_path / "vocab.txt"))
    docs = [make_doc(["The", "zqx", "\xa0", "."]), make_doc([])]
    with pytest.warns(UserWarning, match="RW07"):
        found = tokenize(slow, docs, "x")
    for (ids, first, last), (fast_ids, fast_first, fast_last) in zip(found, tokenize(tokenizer, docs, "x")):
        assert ids == fast_ids and first.dtype == last.dtype == "int64"
        assert numpy.array_equal(first, fast_first) and numpy.array_equal(last, fast_last)
