"""The training config of a relation head, made of the configs that come with the package."""

from pathlib import Path
from typing import List, Optional

from spacy.util import load_model_from_config
from thinc.api import Config

from ..errors import check_choice

BASE = "base"
# In a checkout the configs lie beside the package, once installed inside it.
FOLDERS = [Path(__file__).parents[1] / "configs", Path(__file__).parents[2] / "configs"]
GIVEN = ("mentions", "clusters", "types")


def make_config(
    head: str,
    *,
    encoder: Optional[str] = None,
    mixed_precision: bool = False,
    marked: bool = False,
    relations_only: bool = False,
) -> Config:
    """Join the base config and that of a relation head.

    >>> make_config("atlop", encoder="bert-base-cased").to_disk("my.cfg")

    encoder (Optional[str]): Name of an encoder as configs have it; None for that of the base config.
    mixed_precision (bool): Whether to train in bfloat16.
    marked (bool): Whether relations get an encoder of their own, with markers round the mentions.
    relations_only (bool): Whether mentions, clusters and types are those of the corpus, so that no component looks for
        them.
    RETURNS (Config): Complete and not interpolated.
    RAISES (ValueError): If no head has that name.
    """
    check_choice("relation head", head, list_heads())
    config = read_config(BASE).merge(read_config(head))
    if encoder is not None:
        config["vars"]["encoder"] = encoder
    config["vars"]["mixed_precision"] = mixed_precision
    components = config["components"]
    if marked:
        encoder_block = dict(components["docre_transformer"]["model"])
        tok2vec = {"@architectures": "spacy-docre.MarkedTransformer.v1", "encoder": encoder_block}
        components["docre_relations"]["model"]["tok2vec"] = tok2vec
    if relations_only:
        needed = ["sentencizer", *([] if marked else ["docre_transformer"]), "docre_relations"]
        config["nlp"]["pipeline"] = needed
        config["components"] = {name: components[name] for name in needed}
        config["corpora"]["dev"]["given"] = list(GIVEN)
        config["training"]["score_weights"].update({f"{layer}_f": None for layer in GIVEN})
    return load_model_from_config(config, auto_fill=True).config


def list_heads() -> List[str]:
    """List the names of the heads that have a config."""
    return sorted(path.stem for path in find_folder().glob("*.cfg") if path.stem != BASE)


def read_config(name: str) -> Config:
    """Read a config of this package: the base, or that of a head.

    RETURNS (Config): Not interpolated.
    """
    return Config().from_disk(find_folder() / f"{name}.cfg", interpolate=False)


def find_folder() -> Path:
    """Find the folder of the configs."""
    return next((folder for folder in FOLDERS if (folder / f"{BASE}.cfg").is_file()), FOLDERS[0])
