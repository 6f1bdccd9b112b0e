"""Ways in which tests train pipelines and compare what they find."""

from typing import Any, Dict, Iterable, List

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Adam


def train(nlp: Language, examples: List[Example], steps: int, rate: float = 0.003) -> Dict[str, float]:
    """Train as spaCy's loop does, and return the losses of the last step."""
    optimizer = Adam(rate, L2=0.0, use_averages=False, grad_clip=1.0)
    losses: Dict[str, float] = {}
    for _ in range(steps):
        losses = {}
        nlp.update(examples, sgd=False, losses=losses, annotates=["sentencizer"])
        finish(nlp, optimizer)
    return losses


def finish(nlp: Language, optimizer: Any, exclude: Iterable[str] = ()) -> None:
    for name, pipe in nlp.pipeline:
        if name not in exclude and hasattr(pipe, "finish_update"):
            pipe.finish_update(optimizer)


def layers_of(doc: Doc) -> Dict[str, Any]:
    """All that the pipeline found, as plain data."""
    return {
        "mentions": [(s.start, s.end) for s in doc.spans["mentions"]],
        "entities": [(e.label, [(m.start, m.end) for m in e.mentions]) for e in doc._.entities],
        "relations": [(r.head.id, r.label, r.tail.id, round(r.score, 4)) for r in doc._.relations],
        "sentences": [[s.start for s in r.sentences] for r in doc._.relations],
        "evidence": [[(e.head.start, e.tail.start, round(e.weight, 4)) for e in r.evidence] for r in doc._.relations],
    }
