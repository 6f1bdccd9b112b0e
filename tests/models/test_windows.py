"""Word-piece windows: tokenisation, alignment, cutting of long documents, groups for the encoder."""

import numpy
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc
from transformers import AutoModel, AutoTokenizer, BertJapaneseTokenizer, BertTokenizer, RobertaTokenizer

from spacy_docre.layers.layout import bucket_windows
from spacy_docre.models.transformer.encoder import load_encoder
from spacy_docre.models.transformer.windows import (
    WindowPlan,
    cut_windows,
    plan_windows,
    special_pieces,
    tokenize_docs,
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


@pytest.fixture(scope="module")
def encoder(tiny_encoder):
    return AutoModel.from_pretrained(tiny_encoder)


def plan(tokenizer, encoder, window=0, overlap=16):
    return plan_windows(tokenizer, encoder, window=window, overlap=overlap, name="x")


def test_plan(tokenizer, encoder):
    """64 positions, one taken by [CLS] (2) and one by [SEP] (3)."""
    assert plan(tokenizer, encoder) == WindowPlan(62, 16, (2,), (3,))
    assert plan(tokenizer, encoder, window=32).window == 30
    assert plan(tokenizer, encoder, window=1000).window == 62  # a wish beyond the limit
    assert plan(tokenizer, encoder, overlap=1000).overlap == 31  # half a window at most


@pytest.mark.parametrize("window", [5, 1, -3])
def test_window_too_small(tokenizer, encoder, window):
    with pytest.raises(ValueError, match="R306"):
        plan(tokenizer, encoder, window=window)


def test_no_gap_between_windows(tokenizer, encoder):
    with pytest.raises(ValueError, match="R206.*overlap"):
        plan(tokenizer, encoder, overlap=-1)


@pytest.mark.parametrize(
    "name,prefix,suffix",
    [
        ("bert", ["[CLS]"], ["[SEP]"]),
        ("roberta", ["<s>"], ["</s>"]),
        ("albert", ["[CLS]"], ["[SEP]"]),
        ("modernbert", ["[CLS]"], ["[SEP]"]),  # known to its tokenizer.json alone
        ("xlnet", ["[CLS]"], ["[SEP]"]),
        ("gpt2", [], []),
    ],
)
def test_special_pieces(name, prefix, suffix, make_encoder):
    tokenizer = AutoTokenizer.from_pretrained(make_encoder(name))
    found = special_pieces(tokenizer)
    assert [tokenizer.convert_ids_to_tokens(ids) for ids in found] == [prefix, suffix]


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


# Word pieces: one family for each kind of tokenizer, which differ in what becomes of a space and in offsets

KINDS = {
    "wordpiece": "bert",
    "bytes": "roberta",
    "bytes, offsets with the space": "deberta",
    "unigram": "xlm-roberta",
    "unigram, offsets with the space": "deberta-v2",
}


@pytest.fixture(scope="module", params=list(KINDS))
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def of_kind(kind, make_encoder):
    return AutoTokenizer.from_pretrained(make_encoder(KINDS[kind]))


def make_doc(words, spaces=None):
    return Doc(VOCAB, words=words, spaces=spaces)


def texts(tokenizer, doc):
    """The pieces of each token."""
    ((ids, first, last),) = tokenize_docs(tokenizer, [doc], "x")
    pieces = tokenizer.convert_ids_to_tokens(ids)
    return [pieces[a:b] for a, b in zip(first, last)]


@pytest.mark.parametrize(
    "text,wordpiece,bytewise,unigram",
    [
        ("The|of|.|of", "the of . of", "The Ġof . Ġof", "▁The ▁of . ▁of"),
        ("The|zx|the", "the z_##x the", "The z_x Ġthe", "▁The z_x ▁the"),
        ("The|é|of", "the e of", "The Ã_© Ġof", "▁The é ▁of"),
        ("The|e\u0301|of", "the e of", "The Ġe_Ì_ģ Ġof", "▁The é ▁of"),  # a combining accent
        ("The|ﬁ|of", "the [UNK] of", "The ï_¬_ģ Ġof", "▁The f_i ▁of"),  # what NFKC takes apart
        ("The|Ａ|of", "the [UNK] of", "The ï_¼_¡ Ġof", "▁The A ▁of"),  # full width
        ("The|😀|of", "the [UNK] of", "The ð_Ł_ĺ_Ģ Ġof", "▁The ? ▁of"),
        ("The|👩\u200d👧|of", "the [UNK] of", "The ð_Ł_ĳ_©_âĢ_į_ð_Ł_ĳ_§ Ġof", "▁The ?_? ▁of"),  # a joiner within
        ("The|של|of", "the [UNK] of", "The ×_©_×_ľ Ġof", "▁The ? ▁of"),  # right to left
        ("The|日本|of", "the [UNK]_[UNK] of", "The æ_Ĺ_¥_æ_ľ_¬ Ġof", "▁The ? ▁of"),
        ("The|\xa0|of", "the - of", "The Â_ł Ġof", "▁The - ▁of"),
        ("The|\n\n|of", "the - of", "The Ċ_Ċ Ġof", "▁The - ▁of"),
        ("The|\x07|of", "the - of", "The ć Ġof", "▁The - ▁of"),
        ("The|\u200d|of", "the - of", "The âĢ_į Ġof", "▁The - ▁of"),
        ("\n|The|of", "- the of", "Ċ ĠThe Ġof", "- ▁The ▁of"),
    ],
)
def test_tokens_and_their_pieces(kind, of_kind, text, wordpiece, bytewise, unigram):
    """Tokens have a space between, except before "."; their pieces are joined by "_", and "-" stands for none. The
    vocabularies hold single characters or bytes and the sample's frequent words."""
    words = text.split("|")
    doc = make_doc(words, [word != "." for word in words[1:]] + [False])
    found = " ".join("_".join(pieces) or "-" for pieces in texts(of_kind, doc))
    if kind.startswith("unigram"):  # whose "▁", if it is a piece, belongs to the word or to the space
        found = found.replace("▁_", "").replace("[UNK]", "?").replace("<unk>", "?")
    assert found == {"w": wordpiece, "b": bytewise, "u": unigram}[kind[0]]


@pytest.mark.parametrize("at", [0, 1, 2])
def test_tokens_of_white_space(of_kind, at):
    """Other tokens do not mind them. They have no piece, or that of the word whose space they are."""
    words = ["The", "The", "The"]
    expected = texts(of_kind, make_doc(words, [True, True, False]))
    words[at] = " "
    found = texts(of_kind, make_doc(words, [word != " " for word in words[:2]] + [False]))
    behind = [*found, []][at + 1]
    assert found[at] in ([], ["Ġ"], ["▁"], behind)
    found[at] = expected[at]
    assert found == expected


def test_tokens_that_share_a_piece(tokenizer):
    """spaCy cuts "cannot" in two, the encoder's tokenizer may not: both tokens take the piece."""
    tokenizer = AutoTokenizer.from_pretrained(tokenizer.name_or_path)
    tokenizer.add_tokens(["cannot"])
    assert texts(tokenizer, make_doc(["can", "not", "the"], [False, True, False])) == [["cannot"], ["cannot"], ["the"]]


@given(
    st.lists(st.tuples(st.text("aBé .\xa0\n😀日-'\u0301\u200dﬁש", min_size=1, max_size=4), st.booleans()), max_size=8)
)
def test_alignment_equals_a_loop(of_kind, parts):
    doc = make_doc([word for word, _ in parts], [space for _, space in parts])
    ((ids, first, last),) = tokenize_docs(of_kind, [doc], "x")
    offsets = of_kind(doc.text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    assert len(ids) == len(offsets) and len(first) == len(last) == len(doc)
    for token, a, b in zip(doc, first, last):
        overlapping = [i for i, (s, e) in enumerate(offsets) if s < token.idx + len(token) and e > token.idx]
        assert list(range(a, b)) == overlapping


def test_no_documents_and_empty_ones(tokenizer):
    assert tokenize_docs(tokenizer, [], "x") == []
    for ids, first, last in tokenize_docs(tokenizer, [make_doc([]), make_doc([" ", "\n"], [False, False])], "x"):
        assert ids == [] and not first.any() and not last.any() and first.dtype == "int64"


def test_batch_equals_one_by_one(tokenizer, sample_docs):
    for doc, (ids, first, last) in zip(sample_docs, tokenize_docs(tokenizer, sample_docs, "x")):
        ((alone, a, b),) = tokenize_docs(tokenizer, [doc], "x")
        assert ids == alone and numpy.array_equal(first, a) and numpy.array_equal(last, b)


@pytest.mark.parametrize("model_max_length", [8, int(1e30)])
def test_saved_truncation_and_padding_do_not_cut(tiny_encoder, tmp_path, model_max_length):
    """Sentence encoders are published with such settings in their tokenizer.json."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder, model_max_length=model_max_length)
    tokenizer.backend_tokenizer.enable_truncation(8)
    tokenizer.backend_tokenizer.enable_padding(length=8)
    tokenizer.save_pretrained(tmp_path)
    assert '"max_length": 8' in (tmp_path / "tokenizer.json").read_text()
    doc = make_doc(["the"] * 40)
    for text in (["the"] * 40, ["the"]):
        ((ids, _, _),) = tokenize_docs(AutoTokenizer.from_pretrained(tmp_path), [make_doc(text)], "x")
        assert len(ids) == len(text)
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).symlink_to(f"{tiny_encoder}/{name}")
    objects = load_encoder(str(tmp_path), dropout=0.0, attention_dropout=0.0, options={})
    assert (
        objects.tokenizer.backend_tokenizer.truncation is None and objects.tokenizer.backend_tokenizer.padding is None
    )
    assert len(tokenize_docs(objects.tokenizer, [doc], "x")[0][0]) == 40


@pytest.fixture
def slow(tokenizer, make_encoder, tmp_path):
    """Slow tokenizers and fast ones that do the same."""
    vocab = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    (tmp_path / "vocab.txt").write_text("\n".join(vocab), encoding="utf8")
    roberta = AutoTokenizer.from_pretrained(make_encoder("roberta"))
    vocab_file, merges_file = roberta.backend_tokenizer.model.save(str(tmp_path))
    return {
        "bert": (BertTokenizer(str(tmp_path / "vocab.txt")), tokenizer),
        "roberta": (RobertaTokenizer(vocab_file, merges_file), roberta),
    }


@pytest.mark.filterwarnings("ignore:.*RW07")
@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_slow_tokenizers_give_what_fast_ones_do(slow, name, sample_docs):
    """They go token by token, yet words begin with a space where they do in running text, and do not where not."""
    nlp = spacy.blank("en")
    docs = [*sample_docs, *(nlp(text) for text in (" The zqx (the)\nThe é", "The \xa0 The", ""))]
    pair = slow[name]
    for doc, found, expected in zip(docs, *(tokenize_docs(tokenizer, docs, "x") for tokenizer in pair)):
        assert found[0] == expected[0] and found[1].dtype == found[2].dtype == "int64"
        for one, other in zip(*(texts(tokenizer, doc) for tokenizer in pair)):
            # A space that is a piece of its own lies before the token in fast ones.
            assert (one[1:] if one[:1] == ["Ġ"] else one) == other


def test_slow_tokenizers_are_told(slow):
    with pytest.warns(UserWarning, match="RW07"):
        tokenize_docs(slow["bert"][0], [make_doc(["The"])], "x")


@pytest.mark.filterwarnings("ignore:.*RW07")
def test_tokenizers_that_exist_as_slow_ones_alone(tmp_path):
    """Japanese characters: no spaces, and no fast tokenizer."""
    (tmp_path / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"東京は日本の"]), encoding="utf8"
    )
    kinds = {"word_tokenizer_type": "basic", "subword_tokenizer_type": "character"}
    tokenizer = BertJapaneseTokenizer(str(tmp_path / "vocab.txt"), **kinds)
    doc = make_doc(["東京", "は", "日本", "の", "都"], [False] * 5)
    assert texts(tokenizer, doc) == [["東", "京"], ["は"], ["日", "本"], ["の"], ["[UNK]"]]
    assert special_pieces(tokenizer) == ((2,), (3,))
