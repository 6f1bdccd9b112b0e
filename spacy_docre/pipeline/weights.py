"""How much each relation looks at each mention, for heads that weigh mentions."""

from typing import Any, Dict, Optional, Tuple

from spacy.language import Language
from spacy.tokens import Doc

from ..arrays import Floats1d
from ..doc.layers import get_clusters, get_types, set_clusters
from ..doc.places import Places
from ..errors import Errors
from ..finding import require_relations
from ..models.torch_model import encode
from .transformer import DocreTransformer


def weigh_mentions(nlp: Language, doc: Doc, places: Optional[Places] = None) -> Dict[str, Floats1d]:
    """Compute how much each relation looks at each mention, for `render(doc, mention_weights=[...])`.

    nlp (Language): Its relation head has to weigh mentions, as RSMAN's does.
    doc (Doc): With clusters, found or annotated.
    places (Optional[Places]): Where its layers are kept; None: where the pipeline keeps them.
    RETURNS (Dict[str, Floats1d]): Relation label -> weights of the mentions of all entities, one entity after another.
    RAISES (ValueError): If the head has no such weights.
    """
    relations, module = find_weighing(nlp)
    own = Places.of(relations.cfg)
    if places is not None and places != own:
        doc = doc.copy()  # so that the caller's has no second set of layers
        set_clusters(doc, get_clusters(doc, places), get_types(doc, places), places=own)
    for _, pipe in nlp.pipeline:
        if isinstance(pipe, DocreTransformer):
            pipe(doc)
    batch = relations.make_batch([doc])
    encoded = encode(relations.model, ([doc], batch))
    weights = module.mention_weights(encoded, batch.entities).float().cpu().numpy()
    first = int(relations.model.attrs["threshold_class"])
    return {label: weights[:, first + i] for i, label in enumerate(relations.labels)}


def find_weighing(nlp: Language) -> Tuple[Any, Any]:
    """Find the component for relations, and its head, which weighs mentions.

    RETURNS (Tuple[Any, Any]): Component and head.
    RAISES (ValueError): If the pipeline has no such head.
    """
    relations = require_relations(nlp)
    module = getattr(relations, "module", None)
    if not getattr(module, "weighs_mentions", False):
        raise ValueError(Errors.R163.format(name=relations.name))
    return relations, module
