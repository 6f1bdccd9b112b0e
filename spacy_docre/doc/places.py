"""Where mentions, clusters, entities and relations are kept on a Doc."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Dict, List, Mapping

from spacy.language import Language

from ..errors import Errors
from ..finding import find_relations

# The settings of components that name a place, by field.
SETTINGS = {
    "mentions": "spans_key",
    "clusters": "span_cluster_prefix",
    "relations": "relations_attr",
    "entities": "entities_attr",
}


@dataclass(frozen=True)
class Places:
    """Names under which the layers of a Doc are kept.

    mentions (str): Key of `doc.spans`.
    clusters (str): Prefix of keys of `doc.spans`: the clusters are `doc.spans["<clusters>_1"]`, `..._2`, and so on.
    relations (str): Doc extension that shows the relations. Their plain data are in `<relations>_data`.
    entities (str): Doc extension that shows the clusters as entities.
    """

    mentions: str = "mentions"
    clusters: str = "coref_clusters"
    relations: str = "relations"
    entities: str = "entities"

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Places":
        """Read the places from a component's settings; a setting that is absent has its default.

        settings (Mapping[str, Any]): A component's `cfg`, or the arguments that spaCy hands to a scorer.
        """
        return cls(**{field: settings[name] for field, name in SETTINGS.items() if name in settings})

    @classmethod
    def of_pipeline(cls, nlp: Language) -> "Places":
        """Read the places of the component that finds a pipeline's relations; see `find_relations`."""
        relations = find_relations(nlp)
        return find_places(nlp)[0] if relations is None else cls.of(relations.cfg)

    @classmethod
    def parse(cls, text: str) -> "Places":
        """Read places from a command line.

        text (str): A prefix ("press", for the names that `rename_components(nlp, "press")` gives), or the names that
            differ from the default ("mentions=sc,clusters=coref"); "" for the default.
        RAISES (ValueError): If a name is given for something else.
        """
        if "=" not in text:
            return cls().prefixed(text) if text else cls()
        given = dict(part.partition("=")[::2] for part in text.replace(" ", "").split(","))
        options = [field.name for field in fields(cls)]
        if not set(given) <= set(options) or not all(given.values()):
            raise ValueError(Errors.R108.format(value=text, options=", ".join(options)))
        return cls(**given)

    def prefixed(self, prefix: str) -> "Places":
        """RETURNS (Places): The same names, each after the prefix and "_"."""
        return replace(self, **{field: f"{prefix}_{name}" for field, name in asdict(self).items()})

    def __str__(self) -> str:
        """RETURNS (str): The names as `parse` reads them."""
        return ",".join(f"{field}={name}" for field, name in asdict(self).items())

    @property
    def relation_data(self) -> str:
        """RETURNS (str): Doc extension that holds the relations as plain data."""
        return f"{self.relations}_data"

    @property
    def settings(self) -> Dict[str, str]:
        """RETURNS (Dict[str, str]): The places as settings of components name them."""
        return {SETTINGS[field]: name for field, name in asdict(self).items()}


DEFAULT = Places()


def find_places(nlp: Language) -> List[Places]:
    """List the places that the docre components of a pipeline read and write.

    Components that work together name the same places, though not all name all of them: those that name most come
    first, the earlier ones before the later, and what they name is not listed again.

    nlp (Language): A pipeline.
    RETURNS (List[Places]): One for each set of components; the default places if there are none.
    """
    found: List[Places] = []
    pipes: List[Any] = [pipe for _, pipe in nlp.pipeline if isinstance(getattr(pipe, "places", None), Places)]
    named = [{name: pipe.cfg[name] for name in SETTINGS.values() if name in pipe.cfg} for pipe in pipes]
    for settings in sorted(named, key=len, reverse=True):
        if not any(settings.items() <= places.settings.items() for places in found):
            found.append(Places.of(settings))
    return found or [DEFAULT]
