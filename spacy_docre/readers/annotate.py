"""Write what a corpus annotates to a Doc, by the same rules for every format."""

from collections import Counter
from typing import Dict, Iterable, List, Sequence, Tuple

import numpy
from spacy.tokens import Doc

from ..arrays import SpanIndices
from ..doc.layers import set_clusters, set_mentions
from .faults import Faults


def annotate_entities(
    doc: Doc, entities: Sequence[Sequence[Tuple[SpanIndices, str]]], faults: Faults
) -> Dict[int, int]:
    """Write mentions, clusters and types. A span twice in one entity is kept once; a span in two entities stays in
    both and is one mention; the most frequent type wins, the earliest in the document on ties.

    entities (Sequence[Sequence[Tuple[SpanIndices, str]]]): Token indices and type of each entity's mentions, in any
        order; an entity without mentions is left out.
    faults (Faults): Counts the repairs.
    RETURNS (Dict[int, int]): Cluster number (from 0, by first mention) of each entity that has mentions.
    """
    clusters: Dict[int, List[SpanIndices]] = {}
    labels: Dict[int, str] = {}
    for i, mentions in enumerate(entities):
        if not mentions:
            continue
        clusters[i] = sorted({span for span, _ in mentions})
        types = [label for _, label in sorted(mentions, key=lambda mention: mention[0])]
        labels[i] = choose_type(types)
        faults.repeated_mentions += len(mentions) - len(clusters[i])
        faults.mixed_types += len(set(types)) > 1
        faults.untyped_entities += not labels[i]
    order = sorted(clusters, key=lambda i: (clusters[i], i))
    distinct = sorted({span for spans in clusters.values() for span in spans})
    faults.shared_mentions += sum(map(len, clusters.values())) - len(distinct)
    faults.overlapping_mentions += sum(before[1] > span[0] for before, span in zip(distinct, distinct[1:]))
    faults.without_mentions += not distinct
    set_mentions(doc, distinct)
    set_clusters(doc, [clusters[i] for i in order], [labels[i] for i in order])
    return {old: new for new, old in enumerate(order)}


def choose_type(labels: Sequence[str]) -> str:
    """Choose the most frequent type of an entity's mentions, the first on ties."""
    return Counter(labels).most_common(1)[0][0]  # counters keep the order of insertion


def set_sent_starts(doc: Doc, starts: Iterable[int]) -> None:
    """Begin sentences at these tokens (and at the first one), and nowhere else."""
    if len(doc):
        # Token by token, spaCy would look through the whole Doc for a parse each time.
        array = numpy.full((len(doc), 1), -1, dtype="int64")
        array[[0, *starts]] = 1
        doc.from_array(["SENT_START"], array.astype("uint64"))
