"""Take over mentions and clusters that components of other packages found."""

import operator
import warnings
from collections import Counter
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Set, Tuple, Union

from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.tokens import Doc, Span
from spacy.util import filter_spans

from ..arrays import SpanIndices
from ..doc.layers import cluster_keys, get_clusters, get_mentions, set_clusters, set_mentions, sort_clusters
from ..doc.names import normalize_space
from ..doc.notes import get_title, is_given, note_skipped
from ..doc.places import DEFAULT, Places
from ..errors import Errors, Warnings, check_choice

LINKS = ("exact", "none")
EXTENSION = "_."

Mention = Union[Span, Sequence[int]]  # a span of the Doc, or characters (start, end)
FindClusters = Callable[[Doc], Optional[Iterable[Iterable[Mention]]]]


@Language.factory(
    "docre_adopt",
    assigns=["doc.spans"],
    default_config={
        "spans": ["ents"],
        "clusters": "",
        "link": "exact",
        "labels": {},
        "spans_key": DEFAULT.mentions,
        "span_cluster_prefix": DEFAULT.clusters,
        "scorer": {"@scorers": "spacy-docre.entity_scorer.v1"},
    },
    default_score_weights={
        f"{layer}_{key}": 0.0 if key == "f" else None for layer in ("mentions", "clusters", "types") for key in "fpr"
    },
)
def make_docre_adopt(
    nlp: Language,
    name: str,
    spans: List[str],
    clusters: Union[str, Callable],
    link: str,
    labels: Dict[str, str],
    spans_key: str,
    span_cluster_prefix: str,
    scorer: Optional[Callable],
) -> "DocreAdopt":
    """Build the component that takes over entities which components of other packages found.

    It stands in the place of `docre_mentions`, `docre_clusters` and `docre_types`.

    spans (List[str]): Where named entities lie: "ents" for `doc.ents`, else a key of `doc.spans`. Of spans that overlap
        the longest is taken, then the earliest.
    clusters (Union[str, Callable]): Where clusters lie: "" for none; a prefix of span groups, as spacy-experimental
        writes them ("coref_clusters"); "_." and the name of a Doc extension, as fastcoref writes it
        ("_.coref_clusters"); or a function from a Doc to clusters. A mention is a Span or (start, end) in characters.
    link (str): What becomes of named entities that are in no cluster. "exact": those of one text and label are one
        entity, and join a cluster with a mention of that text and label; "none": each is an entity of its own.
    labels (Dict[str, str]): Entity type for each label of a named entity that is to have another one; named entities
        whose label becomes "" are left out.
    spans_key (str): Key of `doc.spans` to write the mentions to.
    span_cluster_prefix (str): Prefix of the keys of `doc.spans` to write the clusters to.
    scorer (Optional[Callable]): Scores this component's annotation in evaluation; None for no scores.
    RAISES (ValueError): If link is neither.
    """
    check_choice("link", link, LINKS, where=name)
    cfg = {"spans_key": spans_key, "span_cluster_prefix": span_cluster_prefix}
    return DocreAdopt(name, spans=spans, clusters=clusters, link=link, labels=labels, cfg=cfg, scorer=scorer)


class DocreAdopt(Pipe):
    """Writes mentions, clusters and types as the other docre components do, from what the Doc has already.

    Where a named entity overlaps a mention of a cluster, the mention stays. Both are taken for one thing, whose type
    the named entity tells, if both have the same syntactic root; otherwise ("the head of Apple") the named entity is a
    mention as well. Without a parse they are taken for the same thing. A cluster's type is the most frequent one,
    the earliest on ties, and "" where no named entity tells it.

    name (str): Name of the component in its pipeline.
    spans, clusters, link, labels: See make_docre_adopt.
    cfg (Dict[str, Any]): The keys to write to, for the scorer, too.
    scorer (Optional[Callable]): Scoring method.
    """

    def __init__(
        self,
        name: str,
        *,
        spans: Sequence[str],
        clusters: Union[str, FindClusters],
        link: str,
        labels: Dict[str, str],
        cfg: Dict[str, Any],
        scorer: Optional[Callable[..., Dict[str, Any]]] = None,
    ) -> None:
        self.name = name
        self.spans = spans
        self.clusters = clusters
        self.link = link
        self.types = labels
        self.cfg = cfg
        self.scorer = scorer
        self._warned: Set[str] = set()

    @property
    def places(self) -> Places:
        """RETURNS (Places): Where the layers are kept that the component writes."""
        return Places.of(self.cfg)

    def __call__(self, doc: Doc) -> Doc:
        """Write mentions, clusters and types, but no layer that the corpus gave.

        RAISES (ValueError): If the Doc extension that `clusters` names is not registered, or a cluster holds anything
            but mentions.
        """
        names = self.find_names(doc)
        if is_given(doc, "clusters"):
            if not is_given(doc, "types"):
                clusters = get_clusters(doc, self.places)
                set_clusters(doc, clusters, assign_names(doc, clusters, names)[0], places=self.places)
            return doc
        clusters = self.find_clusters(doc)
        if is_given(doc, "mentions"):
            given = dict.fromkeys(get_mentions(doc, self.places))
            clusters = [kept for kept in ([m for m in cluster if m in given] for cluster in clusters) if kept]
            labels, _ = assign_names(doc, clusters, names)
            taken = {mention for cluster in clusters for mention in cluster}
            left = [(mention, names.get(mention, "")) for mention in given if mention not in taken]
        else:
            labels, left = assign_names(doc, clusters, names)
        clusters, labels = link_names(doc, clusters, labels, left, by_text=self.link == "exact")
        set_clusters(doc, clusters, labels, places=self.places)
        if not is_given(doc, "mentions"):
            set_mentions(doc, sorted({mention for cluster in clusters for mention in cluster}), places=self.places)
        return doc

    def find_names(self, doc: Doc) -> Dict[SpanIndices, str]:
        """Find named entities that do not overlap.

        RETURNS (Dict[SpanIndices, str]): Type of each, by position.
        """
        spans: List[Span] = []
        for source in self.spans:
            if source == "ents":
                missing = not doc.has_annotation("ENT_IOB") and len(doc) > 0
                spans.extend(doc.ents)
            else:
                missing = source not in doc.spans
                spans.extend(doc.spans[source] if source in doc.spans else ())
            if missing:
                what = "doc.ents" if source == "ents" else f"doc.spans[{source!r}]"
                self.warn_once(source, Warnings.RW15.format(name=self.name, what=what, title=get_title(doc)))
        named = [(span, self.types.get(span.label_, span.label_)) for span in spans]
        types = {(span.start, span.end): label for span, label in reversed(named) if label or not span.label_}
        kept = filter_spans(Span(doc, start, end) for start, end in types)
        return {(span.start, span.end): types[span.start, span.end] for span in kept}

    def find_clusters(self, doc: Doc) -> List[List[SpanIndices]]:
        """Read the clusters that have a mention, and count mentions off token boundaries."""
        found: Iterable[Iterable[Mention]]
        if callable(self.clusters):
            found = self.clusters(doc) or ()
        elif self.clusters.startswith(EXTENSION):
            attr = self.clusters[len(EXTENSION) :]
            if not Doc.has_extension(attr):
                raise ValueError(Errors.R215.format(name=self.name, attr=attr))
            found = doc._.get(attr) or ()
        else:
            found = [doc.spans[key] for key in cluster_keys(doc, self.clusters)] if self.clusters else ()
        clusters = [[self.read_mention(doc, mention) for mention in cluster] for cluster in found]
        n_lost = sum(mention is None for cluster in clusters for mention in cluster)
        note_skipped(doc, self.name, "mentions off token boundaries", n_lost)
        if n_lost:
            self.warn_once("lost", Warnings.RW16.format(name=self.name, n=n_lost, title=get_title(doc)))
        return sort_clusters([mention for mention in cluster if mention] for cluster in clusters)

    def read_mention(self, doc: Doc, mention: Mention) -> Optional[SpanIndices]:
        """Find the tokens of a mention; None where it begins or ends inside a token."""
        if isinstance(mention, Span):
            return (mention.start, mention.end) if len(mention) else None
        try:
            start, end = (operator.index(offset) for offset in mention)
        except (TypeError, ValueError):
            raise ValueError(Errors.R216.format(name=self.name, title=get_title(doc), value=mention)) from None
        span = doc.char_span(start, end) if 0 <= start < end <= len(doc.text) else None
        return None if span is None else (span.start, span.end)

    def warn_once(self, what: str, message: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            warnings.warn(message, stacklevel=2)


def assign_names(
    doc: Doc, clusters: Sequence[Sequence[SpanIndices]], names: Dict[SpanIndices, str]
) -> Tuple[List[str], List[Tuple[SpanIndices, str]]]:
    """Give clusters the types of the named entities that they mention.

    clusters (Sequence[Sequence[SpanIndices]]): Their mentions.
    names (Dict[SpanIndices, str]): Type of each named entity.
    RETURNS (Tuple[List[str], List[Tuple[SpanIndices, str]]]): The clusters' types, "" where nothing tells them, and the
        named entities that are none of their mentions.
    """
    parsed = doc.has_annotation("DEP")
    owner: Dict[SpanIndices, int] = {}
    at_token: Dict[int, List[SpanIndices]] = {}
    for i, cluster in enumerate(clusters):
        for mention in cluster:
            if mention not in owner:
                owner[mention] = i
                for token in range(*mention):
                    at_token.setdefault(token, []).append(mention)
    votes: List[Counter] = [Counter() for _ in clusters]
    left = []
    for name, label in names.items():
        met = {mention for token in range(*name) for mention in at_token.get(token, ())}
        if parsed:
            root = Span(doc, *name).root
            met = {mention for mention in met if mention == name or Span(doc, *mention).root == root}
        if met:
            nearest = min(met, key=lambda mention: (abs(mention[0] - name[0]) + abs(mention[1] - name[1]), mention))
            votes[owner[nearest]][label] += 1
        else:
            left.append((name, label))
    return [next((label for label, _ in vote.most_common(1)), "") for vote in votes], left


def link_names(
    doc: Doc,
    clusters: List[List[SpanIndices]],
    labels: List[str],
    names: Iterable[Tuple[SpanIndices, str]],
    *,
    by_text: bool,
) -> Tuple[List[List[SpanIndices]], List[str]]:
    """Put named entities into clusters.

    clusters (List[List[SpanIndices]]): What there is already.
    labels (List[str]): Their types.
    names (Iterable[Tuple[SpanIndices, str]]): The named entities with their types.
    by_text (bool): Whether those of one text and type are one entity; else each is one by itself.
    RETURNS (Tuple[List[List[SpanIndices]], List[str]]): All clusters, ordered by their first mention, and their types.
    """
    clusters, labels = [list(cluster) for cluster in clusters], list(labels)
    known: Dict[Tuple[str, str], int] = {}
    for i, (cluster, label) in enumerate(zip(clusters, labels)):
        for start, end in cluster:
            known.setdefault((normalize_space(doc[start:end].text), label), i)
    for (start, end), label in names:
        key = normalize_space(doc[start:end].text), label
        i = known.get(key, len(clusters)) if by_text else len(clusters)
        if i == len(clusters):
            clusters.append([])
            labels.append(label)
            known[key] = i
        clusters[i].append((start, end))
    order = sorted(range(len(clusters)), key=lambda i: sorted(clusters[i]))
    return [sorted(clusters[i]) for i in order], [labels[i] for i in order]
