"""Docs as HTML: text, table of relations and graph, with no model and no network."""

from .page import render

__all__ = ["render"]
