"""The Doc extensions that show entities and relations: registered once, never in place of another package's."""

import warnings
from typing import Any, Iterable, Tuple, Union

from spacy.tokens import Doc

from ..errors import Warnings
from .notes import GIVEN_ATTR, SKIPPED_ATTR, TITLE_ATTR
from .places import DEFAULT, SETTINGS, Places
from .views import Entity, Relation, Triple, get_entities, get_relations, set_relations


def install_extensions(places: Places = DEFAULT) -> None:
    """Register the Doc extensions of some places."""
    for attr in (GIVEN_ATTR, TITLE_ATTR, SKIPPED_ATTR, places.relation_data):
        if not Doc.has_extension(attr):
            Doc.set_extension(attr, default=None)
    _install_view("relations", places.relations, _RelationsGetter(places), _RelationsSetter(places))
    _install_view("entities", places.entities, _EntitiesGetter(places), None)


class _View:
    """Reads or writes the layers of some places. A class and not a closure, so that it can be pickled: Docs cross to
    processes that are spawned."""

    def __init__(self, places: Places) -> None:
        self.places = places


class _EntitiesGetter(_View):
    def __call__(self, doc: Doc) -> Tuple[Entity, ...]:
        return get_entities(doc, self.places)


class _RelationsGetter(_View):
    def __call__(self, doc: Doc) -> Tuple[Relation, ...]:
        return get_relations(doc, self.places)


class _RelationsSetter(_View):
    def __call__(self, doc: Doc, value: Iterable[Union[Relation, Triple]]) -> None:
        set_relations(doc, value, self.places)


def _install_view(field: str, attr: str, getter: Any, setter: Any) -> None:
    if not Doc.has_extension(attr):
        Doc.set_extension(attr, getter=getter, setter=setter)
        return
    existing: Any = Doc.get_extension(attr)[2]
    # An extension of ours that reads other clusters is a conflict as well, like one of another package.
    if type(existing) is not type(getter) or existing.places.clusters != getter.places.clusters:
        warnings.warn(Warnings.RW04.format(attr=attr, setting=SETTINGS[field]), stacklevel=3)
