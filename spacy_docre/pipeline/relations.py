"""Relation extraction between the entities of a document (JEREX 3.1 d): the component's factory and settings."""

from typing import Any, Callable, Dict, Optional

from spacy.language import Language
from thinc.api import Model

from ..doc.places import DEFAULT
from ..models.torch_model import ModelInput, Scores
from .docre_pipe import DEFAULT_MAX_BATCH_ITEMS, LISTENER
from .phases import PhasedRelations
from .relation_pipe import DocreRelations

DEFAULT_MODEL = {
    "@architectures": "spacy-docre.RelationModel.v1",
    "tok2vec": LISTENER,
    "head": {
        "@architectures": "spacy-docre.AtlopHead.v1",
        "loss": {"@losses": "spacy-docre.AdaptiveThreshold.v1"},
    },
}


@Language.factory(
    "docre_relations",
    assigns=["doc._.relations"],
    requires=["doc.spans"],
    default_config={
        "model": DEFAULT_MODEL,
        "threshold": 0.5,
        "alpha": 0.5,
        "temperature": 1.0,
        "top_k": 4,
        "n_negatives": 0,
        "max_pair_distance": 512,
        "max_entities": 0,
        "max_pairs": 16384,
        "evidence_mass": 0.8,
        "sentence_mass": 0.2,
        "loss_weight": 1.0,
        "keep_facts": True,
        "spans_key": DEFAULT.mentions,
        "span_cluster_prefix": DEFAULT.clusters,
        "relations_attr": DEFAULT.relations,
        "entities_attr": DEFAULT.entities,
        "max_batch_items": DEFAULT_MAX_BATCH_ITEMS,
        "scorer": {"@scorers": "spacy-docre.relation_scorer.v1"},
    },
    default_score_weights={"relations_f": 1.0, "relations_p": None, "relations_r": None, "relations_untyped_f": None},
)
def make_docre_relations(
    nlp: Language,
    name: str,
    model: Model[ModelInput, Scores],
    threshold: float,
    alpha: float,
    temperature: float,
    top_k: int,
    n_negatives: int,
    max_pair_distance: int,
    max_entities: int,
    max_pairs: int,
    evidence_mass: float,
    sentence_mass: float,
    loss_weight: float,
    keep_facts: bool,
    spans_key: str,
    span_cluster_prefix: str,
    relations_attr: str,
    entities_attr: str,
    max_batch_items: int,
    scorer: Optional[Callable],
) -> "DocreRelations":
    """Build the component that finds relations between entities, with any relation head.

    model (Model[ModelInput, Scores]): Scores the relations of entity pairs.
    threshold (float): Score from which a relation is kept.
    alpha (float): Probability that has the score 0.5; not used if the head's loss has a threshold class.
    temperature (float): Divides the logits of the scores: `tune --calibrate` fits it, so that of the relations scored
        0.8 between right entities about 80 percent are right. The threshold counts calibrated scores.
    top_k (int): Most relations of an ordered entity pair.
    n_negatives (int): Pairs without a relation drawn from each document in training; 0 for all.
    max_pair_distance (int): Most tokens between the closest mentions of a pair, 0 for no limit. Documents no longer
        than that are not concerned; in longer ones, the number of pairs would grow with the square of the length.
    max_entities (int): Most entities of a document that take part, those with most mentions first; 0 for no limit.
    max_pairs (int): Entity pairs scored at a time.
    evidence_mass (float): Share of a relation's support that its evidence carries at least; 0 for no evidence.
    sentence_mass (float): Share of the context's attention from which a sentence supports a relation.
    loss_weight (float): Factor of this component's loss in joint training.
    keep_facts (bool): Keep the facts of the training data, as hashes, in a file of about nine bytes a fact: Ign F1
        leaves them out. Without them that score is None.
    spans_key (str): Key of `doc.spans` that tells whether mentions are annotated.
    span_cluster_prefix (str): Prefix of the keys of `doc.spans` that hold the clusters.
    relations_attr (str): Name of the Doc extension to write.
    entities_attr (str): Name of the Doc extension that shows the clusters.
    max_batch_items (int): Word pieces in a batch at run time.
    scorer (Optional[Callable]): Scores this component's annotation in evaluation; None for no scores.
    """
    cfg: Dict[str, Any] = {
        "labels": [],
        "kb_ids": {},
        "entity_types": [],
        "frequencies": None,
        "threshold": threshold,
        "alpha": alpha,
        "temperature": temperature,
        "top_k": top_k,
        "n_negatives": n_negatives,
        "max_pair_distance": max_pair_distance,
        "max_entities": max_entities,
        "max_pairs": max_pairs,
        "evidence_mass": evidence_mass,
        "sentence_mass": sentence_mass,
        "loss_weight": loss_weight,
        "keep_facts": keep_facts,
        "spans_key": spans_key,
        "span_cluster_prefix": span_cluster_prefix,
        "relations_attr": relations_attr,
        "entities_attr": entities_attr,
        "max_batch_items": max_batch_items,
    }
    kind = PhasedRelations if model.attrs["phases"] else DocreRelations
    return kind(nlp.vocab, model, name, cfg=cfg, scorer=scorer)


__all__ = ["DocreRelations", "PhasedRelations", "make_docre_relations"]
