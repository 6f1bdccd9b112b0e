"""Relations that models find between annotated entities, as annotation to train another model on."""

from typing import Any, Callable, Dict, Iterable, Iterator, List, Sequence, Tuple

import numpy
from spacy.language import Language
from spacy.tokens import Doc

from ..doc.layers import LAYERS
from ..doc.places import DEFAULT, Places
from ..doc.records import get_relation_data
from ..doc.views import Triple
from ..finding import require_relations
from ..readers.corpus import DocreCorpus
from ..scoring.counts import add_up, as_dict, compare

FLOOR = 0.02  # a model's scores below count as 0
STEPS = numpy.arange(1, 20) / 20

Votes = Dict[Triple, float]


def find_votes(
    nlp: Language,
    docs: Sequence[Doc],
    *,
    places: Places = DEFAULT,
    batch_size: int = 16,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> Iterator[Votes]:
    """Let a pipeline score all relations between the entities of gold documents.

    nlp (Language): The pipeline.
    docs (Sequence[Doc]): With tokens, sentences, mentions, clusters and types to start from. They stay unchanged.
    places (Places): Where these layers are kept on the documents.
    batch_size (int): Documents worked on together.
    progress (Callable): Wraps the Docs as they are done, to show a progress bar.
    YIELDS (Votes): Score of each relation of the next document.
    RAISES (ValueError): If the pipeline finds no relations.
    """
    relations = require_relations(nlp)
    reader = DocreCorpus("", given=LAYERS, places=places)
    all_relations = {"threshold": FLOOR, "top_k": max(1, len(relations.labels)), "evidence_mass": 0.0}
    with relations.with_settings(**all_relations):
        for doc in progress(nlp.pipe([reader.make_predicted(nlp, doc) for doc in docs], batch_size=batch_size)):
            found = get_relation_data(doc, Places.of(relations.cfg)) or ()
            yield {(record["head"], record["label"], record["tail"]): record["score"] for record in found}


def choose(votes: Votes, min_score: float, top_k: int) -> Votes:
    """Choose the relations with at least that score, best first, and of each ordered pair at most `top_k`."""
    chosen: Votes = {}
    counts: Dict[Tuple[int, int], int] = {}
    for (head, label, tail), score in sorted(votes.items(), key=lambda item: (-item[1], item[0])):
        pair = head, tail
        if score >= min_score and counts.get(pair, 0) < top_k:
            counts[pair] = counts.get(pair, 0) + 1
            chosen[head, label, tail] = score
    return chosen


def score_steps(docs: Sequence[Doc], votes: Sequence[Votes], top_k: int, places: Places = DEFAULT) -> str:
    """Compare what would be chosen by each lowest score with what is annotated.

    docs (Sequence[Doc]): Documents with annotated relations.
    votes (Sequence[Votes]): Scores for each of them.
    places (Places): Where the relations are kept on the documents.
    RETURNS (str): Table of precision, recall and F1 between the Docs' own entities, in Markdown.
    """
    gold: List[set] = [
        {(r["head"], r["label"], r["tail"]) for r in get_relation_data(doc, places) or ()} for doc in docs
    ]
    lines: List[Any] = ["| min-score | P | R | F1 |", "|---:|---:|---:|---:|"]
    for step in STEPS:
        found = [choose(votes_of_doc, step, top_k).keys() for votes_of_doc in votes]
        counts = add_up({"": compare(triples, right)} for triples, right in zip(found, gold))
        p, r, f = (100 * (score or 0.0) for score in as_dict(counts[""]).values())
        lines.append(f"| {step:.2f} | {p:.2f} | {r:.2f} | {f:.2f} |")
    return "\n".join(lines)
