"""Gold layers of Examples, in tokens of the predicted Doc."""

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy
from spacy.training import Example

from ..arrays import Ints1d, SpanIndices
from ..batches import EntityBatch, SpanBatch
from ..doc.align import align_spans
from ..doc.layers import get_clusters, get_mentions, get_types
from ..doc.places import Places
from ..doc.records import get_relation_data


@dataclass(frozen=True)
class GoldEntities:
    """Entities of one document that have a mention on token boundaries.

    clusters (List[List[SpanIndices]]): Their mentions, in tokens of the predicted Doc.
    types (List[str]): Their types.
    index (Dict[int, int]): Their place in this list, by number in the reference.
    """

    clusters: List[List[SpanIndices]]
    types: List[str]
    index: Dict[int, int]


def get_gold_mentions(eg: Example, places: Places) -> List[SpanIndices]:
    """Align the distinct gold mentions with the predicted Doc; those off its token boundaries are left out."""
    aligned = align_spans(eg.reference, eg.predicted, get_mentions(eg.reference, places))
    return sorted({span for span in aligned if span is not None})


def get_gold_entities(eg: Example, places: Places) -> GoldEntities:
    """Align the gold clusters with the predicted Doc; mentions off its token boundaries are left out."""
    reference = get_clusters(eg.reference, places)
    aligned = align_spans(eg.reference, eg.predicted, [span for cluster in reference for span in cluster])
    clusters: List[List[SpanIndices]] = []
    types: List[str] = []
    index: Dict[int, int] = {}
    at = 0
    for i, (cluster, label) in enumerate(zip(reference, get_types(eg.reference, places))):
        spans = sorted({span for span in aligned[at : at + len(cluster)] if span is not None})
        at += len(cluster)
        if spans:
            index[i] = len(clusters)
            clusters.append(spans)
            types.append(label)
    return GoldEntities(clusters, types, index)


def get_gold_triples(eg: Example, entities: GoldEntities, places: Places) -> List[Tuple[int, str, int]]:
    """List the gold relations between the entities that have a mention left, as (head, label, tail)."""
    index = entities.index
    data = get_relation_data(eg.reference, places) or []
    return [(index[d["head"]], d["label"], index[d["tail"]]) for d in data if d["head"] in index and d["tail"] in index]


def make_span_batch(spans: Sequence[Sequence[SpanIndices]]) -> SpanBatch:
    """Flatten the spans of each document."""
    doc = numpy.repeat(numpy.arange(len(spans)), [len(s) for s in spans])
    flat = numpy.asarray([span for s in spans for span in s], dtype="int64").reshape(-1, 2)
    return SpanBatch(doc, flat[:, 0], flat[:, 1])


def make_entity_batch(
    clusters: Sequence[Sequence[Sequence[SpanIndices]]],
    labels: Optional[Sequence[Sequence[int]]] = None,
    sentences: Optional[Sequence[Ints1d]] = None,
) -> EntityBatch:
    """Flatten the entities of a batch.

    Document 0 with the entities {2-3, 5-6} and {7-8}, document 1 with {0-1} become:
        mentions  2-3 5-6 7-8 0-1     entity  0 0 1 2
        doc       0   0   0   1       doc of the entities  0 0 1

    clusters: Mentions of each entity of each document.
    labels (Optional[Sequence[Sequence[int]]]): Number of each entity's type; None where types do not matter.
    sentences (Optional[Sequence[Ints1d]]): Sentence of each token of each document; None where they do not matter.
    """
    doc = numpy.repeat(numpy.arange(len(clusters)), [len(c) for c in clusters])
    flat: List[Any] = [cluster for c in clusters for cluster in c]
    entity = numpy.repeat(numpy.arange(len(flat)), [len(c) for c in flat])
    spans = numpy.asarray([span for c in flat for span in c], dtype="int64").reshape(-1, 2)
    numbers = [n for ns in labels for n in ns] if labels is not None else [-1] * len(flat)
    mentions = SpanBatch(doc[entity], spans[:, 0], spans[:, 1])
    sentence = numpy.zeros(len(spans), dtype="int64")
    if sentences is not None and len(spans):
        offset = numpy.cumsum([0, *map(len, sentences)])
        sentence = numpy.concatenate(sentences)[offset[mentions.doc] + mentions.start]
    return EntityBatch(mentions, entity, doc, numpy.asarray(numbers, dtype="int64"), sentence)
