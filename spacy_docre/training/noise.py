"""Leave relations out of a corpus, to see how training fares with incomplete annotation."""

from typing import List, Tuple

import numpy
from spacy.tokens import Doc

from ..doc.places import DEFAULT, Places
from ..doc.records import get_relation_data, set_relation_data


def drop_relations(docs: List[Doc], share: float, seed: int, places: Places = DEFAULT) -> Tuple[int, int]:
    """Leave out relations of Docs, in place. Documents whose relations are not annotated stay so.

    docs (List[Doc]): All documents, as the relations are drawn over all of them together.
    share (float): Of all relations.
    seed (int): Which ones: the same seed leaves out the same.
    places (Places): Where the layers are kept.
    RETURNS (Tuple[int, int]): Relations left out, and ordered entity pairs that have none any more.
    """
    records = [get_relation_data(doc, places) for doc in docs]
    pairs = [(d, record["head"], record["tail"]) for d, known in enumerate(records) for record in known or ()]
    n_dropped = round(share * len(pairs))
    kept = numpy.ones(len(pairs), dtype=bool)
    kept[numpy.random.default_rng(seed).choice(len(pairs), n_dropped, replace=False)] = False
    rest = iter(kept.tolist())
    for doc, known in zip(docs, records):
        if known:
            set_relation_data(doc, [record for record in known if next(rest)], places)
    return n_dropped, len(set(pairs)) - len({pair for pair, keep in zip(pairs, kept) if keep})
