"""Docs as one HTML page or fragment that needs no network."""

from dataclasses import replace
from functools import lru_cache
from typing import Any, Iterable, Optional, Sequence, Union

import jinja2
from spacy.tokens import Doc
from spacy.util import is_in_jupyter

from ..doc.places import DEFAULT, Places
from ..errors import Errors
from .nesting import Closing, Opening
from .view import MentionWeights, choose_colours, view_doc


def render(
    docs: Union[Doc, Iterable[Doc]],
    *,
    page: bool = False,
    jupyter: Optional[bool] = None,
    mention_weights: Optional[Sequence[Optional[MentionWeights]]] = None,
    places: Places = DEFAULT,
    prefix: Optional[str] = None,
    attr: Optional[str] = None,
) -> Optional[str]:
    """Show entities and relations of documents: the text, a table of relations, their graph.

    docs (Union[Doc, Iterable[Doc]]): One or several.
    page (bool): Return a whole page, else a fragment that can go into any page, several times too.
    jupyter (Optional[bool]): Show the result in the notebook instead of returning it; None: where there is one.
    mention_weights (Optional[Sequence[Optional[MentionWeights]]]): For heatmaps, for each document: from the label of a
        relation to a weight of each mention, those of one entity after those of the one before.
    places (Places): Where the layers are kept on the Docs.
    prefix, attr (Optional[str]): Former spelling of places.clusters and places.relations, until 0.3.
    RETURNS (Optional[str]): HTML; None if it is shown.
    RAISES (ValueError): If the weights do not fit the documents.
    """
    docs = [docs] if isinstance(docs, Doc) else list(docs)
    weights = [None] * len(docs) if mention_weights is None else list(mention_weights)
    if len(weights) != len(docs):
        raise ValueError(Errors.R161.format(n=len(weights), n_docs=len(docs)))
    places = replace(places, clusters=prefix or places.clusters, relations=attr or places.relations)
    colours = choose_colours(docs, places)
    views = [view_doc(doc, colours, w, places) for doc, w in zip(docs, weights)]
    if jupyter or (jupyter is None and is_in_jupyter()):
        from IPython.display import HTML, display

        # The class keeps MathJax away from what looks like formulas in the text.
        display(HTML(f'<div class="tex2jax_ignore">{_fill("fragment.html", views)}</div>'))
        return None
    return _fill("page.html" if page else "fragment.html", views)


def _fill(template: str, views: Sequence[Any]) -> str:
    return _templates().get_template(template).render(docs=views)


@lru_cache(maxsize=1)
def _templates() -> jinja2.Environment:
    """Everything that comes from a document is escaped by the environment, not by the templates."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("spacy_docre.visual", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.tests["opening"] = lambda piece: isinstance(piece, Opening)
    environment.tests["closing"] = lambda piece: isinstance(piece, Closing)
    return environment
