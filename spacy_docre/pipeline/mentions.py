"""Mention localisation: which spans are mentions (JEREX 3.1 a)."""

import warnings
from typing import Callable, Iterable, List, Optional, Sequence, Tuple

import numpy
from spacy.attrs import IS_SPACE, SENT_START
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Model

from ..arrays import Bools1d, Floats1d, Ints1d, Ints2d, SpanIndices
from ..batches import CandidateBatch, SpanBatch
from ..doc.layers import get_mentions, has_mentions, set_mentions
from ..doc.notes import get_title, is_given, note_skipped
from ..doc.places import DEFAULT
from ..errors import Errors, Warnings
from ..models.mention_scorer import get_orthography
from ..models.torch_model import ModelInput, Scores
from .docre_pipe import DEFAULT_MAX_BATCH_ITEMS, LISTENER, DocrePipe, warn_unsplit
from .gold import get_gold_mentions

DEFAULT_MODEL = {"@architectures": "spacy-docre.MentionScorer.v1", "tok2vec": LISTENER}

Found = Optional[Tuple[List[SpanIndices], List[float]]]


@Language.factory(
    "docre_mentions",
    assigns=["doc.spans"],
    default_config={
        "model": DEFAULT_MODEL,
        "threshold": 0.5,
        "max_span_length": 10,
        "max_mentions": 0.4,
        "n_negatives": 200,
        "loss_weight": 1.0,
        "spans_key": DEFAULT.mentions,
        "max_batch_items": DEFAULT_MAX_BATCH_ITEMS,
        "scorer": {"@scorers": "spacy-docre.mention_scorer.v1"},
    },
    default_score_weights={"mentions_f": 0.0, "mentions_p": None, "mentions_r": None},
)
def make_docre_mentions(
    nlp: Language,
    name: str,
    model: Model[ModelInput, Scores],
    threshold: float,
    max_span_length: int,
    max_mentions: float,
    n_negatives: int,
    loss_weight: float,
    spans_key: str,
    max_batch_items: int,
    scorer: Optional[Callable],
) -> "DocreMentions":
    """Build the component that finds mentions, among all spans within a sentence (JEREX 3.1 a).

    model (Model[ModelInput, Scores]): Scores spans.
    threshold (float): Probability from which a span is a mention.
    max_span_length (int): Longest candidate, in tokens.
    max_mentions (float): Most mentions of a document, as a share of its tokens; the best are kept.
    n_negatives (int): Spans drawn from each document in training that are not mentions.
    loss_weight (float): Factor of this component's loss in joint training.
    spans_key (str): Key of `doc.spans` to write.
    max_batch_items (int): Word pieces in a batch at run time.
    scorer (Optional[Callable]): Scores this component's annotation in evaluation; None for no scores.
    """
    cfg = {
        "threshold": threshold,
        "max_span_length": max_span_length,
        "max_mentions": max_mentions,
        "n_negatives": n_negatives,
        "loss_weight": loss_weight,
        "spans_key": spans_key,
        "max_batch_items": max_batch_items,
    }
    return DocreMentions(nlp.vocab, model, name, cfg=cfg, scorer=scorer)


class DocreMentions(DocrePipe):
    """Finds mentions among all spans within a sentence, and writes them to `doc.spans[spans_key]`."""

    what = "mentions"
    minima = {"max_span_length": 1, "n_negatives": 0}

    def initialize(self, get_examples: Callable[[], Iterable[Example]], *, nlp: Optional[Language] = None) -> None:
        """Build the model's layers, and say once which gold mentions cannot be learned or found.

        get_examples (Callable[[], Iterable[Example]]): Returns gold-standard Examples.
        nlp (Optional[Language]): The current nlp object.
        RAISES (ValueError): If no Example has mentions.
        """
        docs: List[Doc] = []
        n_gold = n_lost = n_long = 0
        for eg in get_examples():
            if has_mentions(eg.reference, self.places):
                docs = docs or [eg.predicted]
                kept = get_gold_mentions(eg, self.places)
                n = len(set(get_mentions(eg.reference, self.places)))
                n_gold += n
                n_lost += n - len(kept)
                n_long += sum(end - start > self.cfg["max_span_length"] for start, end in kept)
        if not n_gold:
            raise ValueError(Errors.R210.format(name=self.name, what=f"doc.spans[{self.places.mentions!r}]"))
        if n_lost or n_long:
            longest = self.cfg["max_span_length"]
            warnings.warn(Warnings.RW03.format(n=n_gold, lost=n_lost, n_long=n_long, longest=longest), stacklevel=2)
        self._build_model(docs)

    def make_batch(self, docs: Sequence[Doc]) -> CandidateBatch:
        """List all spans within sentences, but none of Docs whose mentions are given."""
        warn_unsplit(self, docs)
        spans = []
        for doc in docs:
            skip = is_given(doc, "mentions")
            spans.append(_no_spans() if skip else enumerate_spans(doc, self.cfg["max_span_length"]))
        return make_candidates(docs, spans)

    def make_training_batch(
        self, examples: Sequence[Example]
    ) -> Optional[Tuple[CandidateBatch, Tuple[Bools1d, Ints1d]]]:
        """Collect gold mentions and draw negatives.

        RETURNS (Optional[Tuple]): The spans; which are gold (N,), document (N,). None where no Example has mentions.
        """
        spans, gold = [], []
        for eg in examples:
            if not has_mentions(eg.reference, self.places):
                spans.append(_no_spans())
                continue
            positive = numpy.asarray(get_gold_mentions(eg, self.places), dtype="int64").reshape(-1, 2)
            candidates = enumerate_spans(eg.predicted, self.cfg["max_span_length"])
            negative = draw_negative_spans(candidates, positive, self.cfg["n_negatives"])
            spans.append(numpy.concatenate([positive, negative]))
            gold.append(numpy.arange(len(spans[-1])) < len(positive))
        if not gold:
            return None
        batch = make_candidates([eg.predicted for eg in examples], spans)
        return batch, (numpy.concatenate(gold), batch.spans.doc)

    def score_spans(self, docs: Sequence[Doc], batch: CandidateBatch, scores: Scores) -> Floats1d:
        """Turn logits into the probability of each candidate."""
        return scores["logits"].sigmoid().cpu().numpy() if len(batch) else numpy.zeros(0)

    def decode(self, docs: Sequence[Doc], batch: CandidateBatch, scores: Scores) -> List[Found]:
        """Select the mentions of each Doc.

        RETURNS (List[Found]): Spans in document order and their probabilities; None where mentions are given.
        """
        probability = self.score_spans(docs, batch, scores) if scores else numpy.zeros(len(batch))
        found: List[Found] = []
        for i, doc in enumerate(docs):
            if is_given(doc, "mentions"):
                found.append(None)
                continue
            rows = numpy.flatnonzero((batch.spans.doc == i) & (probability >= self.cfg["threshold"]))
            most = int(numpy.ceil(self.cfg["max_mentions"] * len(doc)))
            n_left_out = max(len(rows) - most, 0)
            note_skipped(doc, self.name, "mentions", n_left_out)
            if n_left_out:
                share = self.cfg["max_mentions"]
                self.warn_once(Warnings.RW13.format(name=self.name, n=n_left_out, title=get_title(doc), share=share))
            rows = numpy.sort(rows[numpy.argsort(-probability[rows], kind="stable")[:most]])
            spans = list(zip(batch.spans.start[rows].tolist(), batch.spans.end[rows].tolist()))
            found.append((spans, probability[rows].tolist()))
        return found

    def set_annotations(self, docs: Sequence[Doc], predictions: Sequence[Found]) -> None:
        for doc, found in zip(docs, predictions):
            if found is not None:
                set_mentions(doc, found[0], found[1], self.places)
            self.release(doc)


def _no_spans() -> Ints2d:
    return numpy.zeros((0, 2), dtype="int64")


def enumerate_spans(doc: Doc, max_length: int) -> Ints2d:
    """List all spans of at most max_length tokens within a sentence, by start, then end.

    No span begins or ends with white space, or runs over an empty line.

    RETURNS (Ints2d): Token indices [start, end). Shape (N, 2).
    """
    n = len(doc)
    if not n:
        return _no_spans()
    flags = doc.to_array([SENT_START, IS_SPACE]).astype("int64").reshape(-1, 2)
    starts, is_space = flags[:, 0] == 1, flags[:, 1] == 1
    # With max_length 2, sentences of two tokens and one, and no white space:
    #   first  0 0 1 1 2 2        sentence ends at token 2 for 0 and 1, at 3 for 2
    #   last   1 2 2 3 3 4        kept: 0-1, 0-2, 1-2, 2-3
    starts[[i for i in numpy.flatnonzero(is_space) if doc[int(i)].text.count("\n") > 1]] = True
    bounds = numpy.append(numpy.flatnonzero(starts), n)
    sentence_end = bounds[numpy.searchsorted(bounds, numpy.arange(n), side="right")]
    first = numpy.repeat(numpy.arange(n), max_length)
    last = first + numpy.tile(numpy.arange(1, max_length + 1), n)
    inside = last <= sentence_end[first]
    first, last = first[inside], last[inside]
    clean = ~(is_space[first] | is_space[last - 1])
    return numpy.stack([first[clean], last[clean]], axis=1)


def draw_negative_spans(candidates: Ints2d, gold: Ints2d, n: int) -> Ints2d:
    """Draw spans that are not mentions, up to half of them from inside gold mentions (JEREX 3.2).

    candidates, gold (Ints2d): Token indices [start, end). Shapes (N, 2), (G, 2).
    n (int): Number of spans to draw.
    RETURNS (Ints2d): Shape (at most n, 2).
    """
    width = int(max(candidates.max(initial=0), gold.max(initial=0))) + 1
    is_gold = numpy.isin(candidates[:, 0] * width + candidates[:, 1], gold[:, 0] * width + gold[:, 1])
    candidates = candidates[~is_gold]
    # A span is inside a gold mention if, of those that start no later, one ends no earlier:
    #   gold       0-5  2-3  8-9      reach of 0, 1, 2 mentions: -1, 5, 5 ...
    #   candidate  2-4  -> two gold mentions start no later, they reach to 5 >= 4: inside
    order = numpy.argsort(gold[:, 0], kind="stable")
    reach = numpy.concatenate([[-1], numpy.maximum.accumulate(gold[order, 1])])
    inside = reach[numpy.searchsorted(gold[order, 0], candidates[:, 0], side="right")] >= candidates[:, 1]
    hard = numpy.random.permutation(numpy.flatnonzero(inside))[: n // 2]
    easy = numpy.random.permutation(numpy.flatnonzero(~inside))[: n - len(hard)]
    return candidates[numpy.concatenate([hard, easy])]


def make_candidates(docs: Sequence[Doc], spans: Sequence[Ints2d]) -> CandidateBatch:
    """Flatten candidates and look up the letter case around them.

    spans (Sequence[Ints2d]): Token indices of each Doc's spans. Shape (N, 2) each.
    """
    orthography = [_no_spans().repeat(2, axis=1)]
    for doc, s in zip(docs, spans):
        if len(s):
            kinds = get_orthography(doc)  # kinds[i + 1] is token i
            orthography.append(numpy.stack([kinds[s[:, 0]], kinds[s[:, 0] + 1], kinds[s[:, 1]], kinds[s[:, 1] + 1]], 1))
    flat = numpy.concatenate([_no_spans(), *spans])
    row = numpy.repeat(numpy.arange(len(docs)), [len(s) for s in spans])
    return CandidateBatch(SpanBatch(row, flat[:, 0], flat[:, 1]), numpy.concatenate(orthography))
