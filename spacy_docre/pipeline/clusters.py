"""Coreference resolution: which mentions are one entity (JEREX 3.1 b)."""

from typing import Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

import numpy
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist, cpdist
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Model

from ..arrays import Bools1d, Bools2d, Floats1d, Ints1d, Ints2d, SpanIndices
from ..batches import MentionPairBatch
from ..doc.layers import get_mentions, has_clusters, has_mentions, set_clusters, sort_clusters
from ..doc.notes import get_title, is_given, note_skipped
from ..doc.places import DEFAULT
from ..errors import Errors, Warnings
from ..layers.segments import expand_ranges
from ..models.torch_model import ModelInput, Scores
from .docre_pipe import DEFAULT_MAX_BATCH_ITEMS, LISTENER, DocrePipe, warn_missing
from .gold import get_gold_entities, make_span_batch

DEFAULT_MODEL = {"@architectures": "spacy-docre.ClusterScorer.v1", "tok2vec": LISTENER}

MAX_TYPOS = 2  # letters in which the texts of mentions far apart may differ

Clusters = Optional[List[List[SpanIndices]]]


@Language.factory(
    "docre_clusters",
    assigns=["doc.spans"],
    requires=["doc.spans"],
    default_config={
        "model": DEFAULT_MODEL,
        "threshold": 0.5,
        "max_pair_distance": 512,
        "n_negatives": 200,
        "loss_weight": 1.0,
        "spans_key": DEFAULT.mentions,
        "span_cluster_prefix": DEFAULT.clusters,
        "max_batch_items": DEFAULT_MAX_BATCH_ITEMS,
        "scorer": {"@scorers": "spacy-docre.cluster_scorer.v1"},
    },
    default_score_weights={"clusters_f": 0.0, "clusters_p": None, "clusters_r": None},
)
def make_docre_clusters(
    nlp: Language,
    name: str,
    model: Model[ModelInput, Scores],
    threshold: float,
    max_pair_distance: int,
    n_negatives: int,
    loss_weight: float,
    spans_key: str,
    span_cluster_prefix: str,
    max_batch_items: int,
    scorer: Optional[Callable],
) -> "DocreClusters":
    """Build the component that joins the mentions of an entity, by complete linkage (JEREX 3.1 b).

    model (Model[ModelInput, Scores]): Scores mention pairs.
    threshold (float): Probability that all pairs of a cluster have to reach.
    max_pair_distance (int): Tokens between the starts of two mentions within which they are always compared, 0 for no
        limit; farther apart only those that share a name token or differ by two letters at most.
    n_negatives (int): Pairs of different entities drawn from each document in training.
    loss_weight (float): Factor of this component's loss in joint training.
    spans_key (str): Key of `doc.spans` to read mentions from.
    span_cluster_prefix (str): Prefix of the keys of `doc.spans` to write, one group a cluster.
    max_batch_items (int): Word pieces in a batch at run time.
    scorer (Optional[Callable]): Scores this component's annotation in evaluation; None for no scores.
    """
    cfg = {
        "threshold": threshold,
        "max_pair_distance": max_pair_distance,
        "n_negatives": n_negatives,
        "loss_weight": loss_weight,
        "spans_key": spans_key,
        "span_cluster_prefix": span_cluster_prefix,
        "max_batch_items": max_batch_items,
    }
    return DocreClusters(nlp.vocab, model, name, cfg=cfg, scorer=scorer)


class DocreClusters(DocrePipe):
    """Joins mentions to clusters by complete linkage, and writes them to `doc.spans[prefix_1]`, `prefix_2`, ..."""

    what = "clusters"
    minima = {"max_pair_distance": 0, "n_negatives": 0}

    def initialize(self, get_examples: Callable[[], Iterable[Example]], *, nlp: Optional[Language] = None) -> None:
        """Build the model's layers.

        get_examples (Callable[[], Iterable[Example]]): Returns gold-standard Examples.
        nlp (Optional[Language]): The current nlp object.
        RAISES (ValueError): If no Example has clusters.
        """
        doc = next((eg.predicted for eg in get_examples() if has_clusters(eg.reference, self.places)), None)
        if doc is None:
            what = f"clusters (doc.spans['{self.places.clusters}_1'], ...)"
            raise ValueError(Errors.R210.format(name=self.name, what=what))
        self._build_model([doc])

    def make_batch(self, docs: Sequence[Doc]) -> MentionPairBatch:
        """Pair up the mentions of each Doc, those of a long Doc only where they may corefer (see `max_pair_distance`),
        but none of Docs whose clusters are given."""
        missing = sum(not has_mentions(doc, self.places) and not is_given(doc, "clusters") for doc in docs)
        warn_missing(self, missing, f"doc.spans[{self.places.mentions!r}]")
        mentions = [[] if is_given(doc, "clusters") else sorted(set(get_mentions(doc, self.places))) for doc in docs]
        pairs = [self.list_pairs(doc, spans) for doc, spans in zip(docs, mentions)]
        return make_mention_pairs(docs, mentions, pairs)

    def list_pairs(self, doc: Doc, spans: Sequence[SpanIndices]) -> Ints2d:
        """List the pairs of mentions that are compared, by number. Shape (K, 2)."""
        limit = self.cfg["max_pair_distance"]
        if not limit or len(doc) <= limit:
            note_skipped(doc, self.name, "mention pairs", 0)
            return numpy.stack(numpy.triu_indices(len(spans), 1), axis=1)
        pairs = candidate_pairs(doc, spans, limit)
        n_skipped = len(spans) * (len(spans) - 1) // 2 - len(pairs)
        note_skipped(doc, self.name, "mention pairs", n_skipped)
        if n_skipped:
            self.warn_once(Warnings.RW12.format(name=self.name, n=n_skipped, limit=limit, title=get_title(doc)))
        return pairs

    def make_training_batch(
        self, examples: Sequence[Example]
    ) -> Optional[Tuple[MentionPairBatch, Tuple[Bools1d, Ints1d]]]:
        """Collect pairs within gold clusters and draw pairs across them.

        RETURNS (Optional[Tuple]): The pairs; which corefer (K,), document (K,). None where no Example has clusters.
        """
        mentions: List[List[SpanIndices]] = []
        pairs, gold, any_gold = [], [], False
        for eg in examples:
            clusters: List[List[SpanIndices]] = []
            if has_clusters(eg.reference, self.places):
                clusters, any_gold = get_gold_entities(eg, self.places).clusters, True
            mentions.append(sorted({span for cluster in clusters for span in cluster}))
            is_same = same_cluster(mentions[-1], clusters)
            all_pairs = numpy.stack(numpy.triu_indices(len(mentions[-1]), 1), axis=1)
            same = is_same[all_pairs[:, 0], all_pairs[:, 1]]
            negative = numpy.random.permutation(numpy.flatnonzero(~same))[: self.cfg["n_negatives"]]
            chosen = numpy.concatenate([numpy.flatnonzero(same), negative])
            pairs.append(all_pairs[chosen])
            gold.append(same[chosen])
        if not any_gold:
            return None
        batch = make_mention_pairs([eg.predicted for eg in examples], mentions, pairs)
        return batch, (numpy.concatenate(gold), batch.mentions.doc[batch.first])

    def score_pairs(self, docs: Sequence[Doc], batch: MentionPairBatch, scores: Scores) -> Floats1d:
        """Turn logits into the probability of each pair."""
        return scores["logits"].sigmoid().double().cpu().numpy() if scores else numpy.zeros(len(batch))

    def decode(self, docs: Sequence[Doc], batch: MentionPairBatch, scores: Scores) -> List[Clusters]:
        """Link the mentions of each Doc to clusters; None where clusters are given."""
        probability = self.score_pairs(docs, batch, scores)
        m = batch.mentions
        mention_bounds = numpy.searchsorted(m.doc, numpy.arange(len(docs) + 1))
        pair_bounds = numpy.searchsorted(m.doc[batch.first], numpy.arange(len(docs) + 1))
        clusters: List[Clusters] = []
        for i, doc in enumerate(docs):
            if is_given(doc, "clusters"):
                clusters.append(None)
                continue
            rows = slice(mention_bounds[i], mention_bounds[i + 1])
            spans = list(zip(m.start[rows].tolist(), m.end[rows].tolist()))
            pairs = slice(pair_bounds[i], pair_bounds[i + 1])
            first, second = batch.first[pairs] - rows.start, batch.second[pairs] - rows.start
            groups = link(first, second, probability[pairs], len(spans), self.cfg["threshold"])
            clusters.append(group_spans(spans, groups))
        return clusters

    def set_annotations(self, docs: Sequence[Doc], predictions: Sequence[Clusters]) -> None:
        for doc, clusters in zip(docs, predictions):
            if clusters is not None:
                set_clusters(doc, clusters, places=self.places)
            self.release(doc)


def same_cluster(mentions: Sequence[SpanIndices], clusters: Sequence[Sequence[SpanIndices]]) -> Bools2d:
    """Tell which mentions share a cluster. Shape (M, M)."""
    number = {span: i for i, span in enumerate(mentions)}
    member = numpy.zeros((len(mentions), len(clusters)), dtype="int32")
    for c, cluster in enumerate(clusters):
        member[[number[span] for span in cluster], c] = 1
    return member @ member.T > 0


def link(first: Ints1d, second: Ints1d, probability: Floats1d, n: int, threshold: float) -> Ints1d:
    """Cluster mentions by complete linkage: all pairs of a cluster are candidates and reach the threshold.

    Mentions of a cluster are connected by candidates above the threshold, so each connected component is linked alone.

    With threshold 0.5 and the pairs 0-1 (0.9), 1-2 (0.6), 3-4 (0.8), the components are {0, 1, 2} and {3, 4}. The pair
    0-2 is not a candidate, so that the first is cut into {0, 1} and {2}; one of two mentions is a cluster as it is.

    first, second (Ints1d): Mentions of each candidate pair. Shape (K,).
    probability (Floats1d): Of each pair. Shape (K,).
    n (int): Number of mentions.
    RETURNS (Ints1d): Cluster number of each mention. Shape (n,).
    """
    near = 1.0 - probability <= 1.0 - threshold
    edges = coo_array((numpy.ones(near.sum()), (first[near], second[near])), shape=(n, n))
    n_components, component = connected_components(edges, directed=False)
    group = component.astype("int64")
    size = numpy.bincount(component, minlength=n_components)
    # Pairs and mentions of components that linkage may cut, component by component.
    inside = (component[first] == component[second]) & (size[component[first]] > 2)
    rows = numpy.flatnonzero(inside)[numpy.argsort(component[first[inside]], kind="stable")]
    for pairs in numpy.split(rows, numpy.flatnonzero(numpy.diff(component[first[rows]])) + 1):
        if len(pairs):
            members = numpy.flatnonzero(component == component[first[pairs[0]]])
            distance = numpy.full((len(members), len(members)), 2.0)  # never reached
            i, j = numpy.searchsorted(members, first[pairs]), numpy.searchsorted(members, second[pairs])
            distance[i, j] = distance[j, i] = 1.0 - probability[pairs]
            numpy.fill_diagonal(distance, 0.0)
            tree = linkage(squareform(distance, checks=False), method="complete")
            group[members] = fcluster(tree, t=1.0 - threshold, criterion="distance") + group.max()
    return group


def candidate_pairs(doc: Doc, spans: Sequence[SpanIndices], limit: int) -> Ints2d:
    """Find mentions of a long document that may corefer: close together, with a name token in common, or spelled nearly
    alike.

    limit (int): Tokens between the starts of two mentions that are close together.
    RETURNS (Ints2d): Numbers of the two mentions of each pair, the lower first, rising. Shape (K, 2).
    """
    # Of the mentions 0 "Ann Lee" at token 0, 1 "she" at 6 and 2 "Lee" at 900, 0-1 lie within 512 tokens, and 0-2 share
    # "lee". As numbers first * 3 + second these are 1 and 2, which are divided into the rows [0, 1] and [0, 2] again.
    start = numpy.asarray([s for s, _ in spans], dtype="int64")
    second, first = expand_ranges(numpy.arange(1, len(spans) + 1), numpy.searchsorted(start, start + limit, "right"))
    found = [first * len(spans) + second]
    by_token: Dict[str, List[int]] = {}
    by_text: Dict[str, List[int]] = {}
    for i, (s, e) in enumerate(spans):
        by_text.setdefault(doc[s:e].text.lower(), []).append(i)
        for token in {t.lower_ for t in doc[s:e] if not (t.is_stop or t.is_punct or t.is_space)}:
            by_token.setdefault(token, []).append(i)
    for alike in [*by_token.values(), *_similar_texts(by_text)]:
        one, other = numpy.triu_indices(len(alike), 1)
        members = numpy.asarray(alike, dtype="int64")
        found.append(members[one] * len(spans) + members[other])
    keys = numpy.unique(numpy.concatenate(found))
    return numpy.stack(numpy.divmod(keys, max(len(spans), 1)), axis=1)


def _similar_texts(by_text: Dict[str, List[int]], rows: int = 256) -> Iterator[List[int]]:
    """YIELDS (List[int]): Mentions with one text, and with pairs of texts that differ by MAX_TYPOS letters at most."""
    texts = list(by_text)
    yield from by_text.values()
    for at in range(0, len(texts), rows):
        some = texts[at : at + rows]
        table = cdist(some, texts[at:], scorer=Levenshtein.distance, score_cutoff=MAX_TYPOS, dtype=numpy.int32)
        for i, j in zip(*numpy.nonzero(table <= MAX_TYPOS)):
            if i < j and min(len(some[i]), len(texts[at + j])) > 2 * MAX_TYPOS:
                yield sorted(by_text[some[i]] + by_text[texts[at + j]])


def group_spans(spans: Sequence[SpanIndices], groups: Ints1d) -> List[List[SpanIndices]]:
    """Collect the spans of each group, in document order."""
    clusters: dict = {}
    for span, group in zip(spans, groups.tolist()):
        clusters.setdefault(group, []).append(span)
    return sort_clusters(clusters.values())


def make_mention_pairs(
    docs: Sequence[Doc], mentions: Sequence[Sequence[SpanIndices]], pairs: Sequence[Ints2d]
) -> MentionPairBatch:
    """Flatten mention pairs and look up the edit distance of their texts.

    mentions (Sequence[Sequence[SpanIndices]]): Mentions of each Doc.
    pairs (Sequence[Ints2d]): Numbers of two mentions of the Doc. Shape (K, 2) each.
    """
    offset, distances, rows = 0, [], []
    for doc, spans, pair in zip(docs, mentions, pairs):
        if len(pair):
            number: Dict[str, int] = {}
            text = numpy.asarray([number.setdefault(doc[s:e].text, len(number)) for s, e in spans])
            distances.append(text_distances(list(number), text[pair]))
            rows.append(pair + offset)
        offset += len(spans)
    flat = numpy.concatenate([numpy.zeros((0, 2), dtype="int64"), *rows])
    distance = numpy.concatenate([numpy.zeros(0, dtype="int64"), *distances])
    return MentionPairBatch(make_span_batch(mentions), flat[:, 0], flat[:, 1], distance)


def text_distances(texts: Sequence[str], pairs: Ints2d) -> Ints1d:
    """Look up edit distances, in letters, each pair of texts once.

    pairs (Ints2d): Numbers of two texts. Shape (K, 2).
    RETURNS (Ints1d): Shape (K,).
    """
    keys, inverse = numpy.unique(pairs @ [len(texts), 1], return_inverse=True)
    first, second = numpy.divmod(keys, len(texts))
    distance = cpdist([texts[i] for i in first], [texts[i] for i in second], scorer=Levenshtein.distance)
    return distance.astype("int64")[inverse]
