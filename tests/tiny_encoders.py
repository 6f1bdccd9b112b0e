"""Encoders of many families, tiny and randomly initialised, each with a tokenizer of the kind its family has."""

import re
from collections import Counter
from typing import Any, Dict, List, Tuple

import torch
import transformers
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModel, PreTrainedTokenizerBase
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

# Padding is piece 1 everywhere, as RoBERTa has it, whose position embeddings start behind it.
BRACKETS = {
    "unk_token": "[UNK]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
ANGLES = {"cls_token": "<s>", "pad_token": "<pad>", "sep_token": "</s>", "unk_token": "<unk>", "mask_token": "<mask>"}

# Family: kind of its tokenizer, name of its class, special pieces.
TOKENIZERS = {
    "bert": ("wordpiece", "BertTokenizerFast", BRACKETS),
    "distilbert": ("wordpiece", "DistilBertTokenizerFast", BRACKETS),
    "electra": ("wordpiece", "ElectraTokenizerFast", BRACKETS),
    "mpnet": ("wordpiece", "MPNetTokenizerFast", ANGLES),
    "roberta": ("bytes", "RobertaTokenizerFast", ANGLES),
    "longformer": ("bytes", "LongformerTokenizerFast", ANGLES),
    "deberta": ("bytes untrimmed", "DebertaTokenizerFast", BRACKETS),
    "modernbert": ("bytes untrimmed", "PreTrainedTokenizerFast", BRACKETS),
    "gpt2": (
        "bytes untrimmed",
        "GPT2TokenizerFast",
        {"unk_token": "<end>", "bos_token": "<end>", "eos_token": "<end>"},
    ),
    "xlm-roberta": ("unigram by word", "XLMRobertaTokenizerFast", ANGLES),
    "camembert": ("unigram by word", "CamembertTokenizerFast", ANGLES),
    "albert": ("unigram", "AlbertTokenizerFast", BRACKETS),
    "deberta-v2": ("unigram", "DebertaV2TokenizerFast", BRACKETS),
}
SIZES = {
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48, "max_position_embeddings": 64},
    "xlnet": {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 48},
    "default": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": 64,
    },
}

# Encoders and their options, by model type (what follows a space tells one from another).
FAMILIES: Dict[str, Dict[str, Any]] = {
    "bert": {},
    "roberta": {},
    "xlm-roberta": {},
    "camembert": {},
    "distilbert": {},
    "electra": {"embedding_size": 16},
    "albert": {"embedding_size": 16},
    # No rows from queries and keys alone: the encoder is asked for its attention.
    "mpnet": {},
    "deberta": {"relative_attention": True, "pos_att_type": ("p2c", "c2p")},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ("p2c", "c2p"), "position_buckets": 8},
    "deberta-v2 without positions": {"relative_attention": True, "position_biased_input": False},
    "bert relative": {"position_embedding_type": "relative_key"},
    "roformer": {},
    "modernbert": {"global_attn_every_n_layers": 2, "local_attention": 8},
    "gpt2": {},
    "llama": {"num_key_value_heads": 1},  # gives no attention at all unless its kernel is "eager"
}
BY_QUERY_AND_KEY = set(list(FAMILIES)[:7])


def save_encoder(folder: str, model_type: str, text: str, options: Dict[str, Any]) -> None:
    """Save an encoder and its fast tokenizer.

    text (str): What the tokenizer's pieces come from.
    options: Settings of its config, beyond width 32, 2 layers, 2 heads, 64 positions.
    """
    tokenizer = make_tokenizer(model_type, text)
    tokenizer.save_pretrained(folder)
    sizes = {"vocab_size": len(tokenizer), "pad_token_id": 1, **SIZES.get(model_type, SIZES["default"]), **options}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModel.from_config(CONFIG_MAPPING[model_type](**sizes))
        for name, parameter in model.named_parameters():
            # Rows of fresh encoders are all but uniform, and biases 0: too tame to show a mistake.
            if "norm" not in name.lower():
                torch.nn.init.normal_(parameter, std=0.2)
    model.eval().save_pretrained(folder, safe_serialization=True)


def make_tokenizer(model_type: str, text: str) -> PreTrainedTokenizerBase:
    """Build the fast tokenizer of a family; BERT's, where the family is not listed."""
    kind, class_name, special = TOKENIZERS.get(model_type, TOKENIZERS["bert"])
    ids = {name: i for i, name in enumerate(dict.fromkeys(special.values()))}
    kind, _, manner = kind.partition(" ")
    tokenizer = {"wordpiece": make_wordpiece, "bytes": make_bytes, "unigram": make_unigram}[kind](
        text, list(ids), manner
    )
    if "cls_token" in special:
        first, last = special["cls_token"], special["sep_token"]
        if kind == "bytes" and not manner:
            tokenizer.post_processor = processors.RobertaProcessing(
                (last, ids[last]), (first, ids[first]), trim_offsets=True, add_prefix_space=False
            )
        else:
            tokenizer.post_processor = processors.TemplateProcessing(
                single=f"{first} $A {last}", special_tokens=[(first, ids[first]), (last, ids[last])]
            )
    return getattr(transformers, class_name)(tokenizer_object=tokenizer, **special)


def frequent_words(text: str) -> List[str]:
    return [word for word, _ in Counter(re.findall(r"\w+", text)).most_common(300) if len(word) > 1]


def make_wordpiece(text: str, special: List[str], manner: str) -> Tokenizer:
    characters = sorted(set(text.lower()) - set(" \n"))
    pieces = [*special, *characters, *(f"##{c}" for c in characters), *frequent_words(text.lower())]
    unknown = next(piece for piece in special if "unk" in piece.lower())
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def make_bytes(text: str, special: List[str], manner: str) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([text], trainer)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=not manner)
    return tokenizer


def make_unigram(text: str, special: List[str], manner: str) -> Tokenizer:
    characters = ["▁", *sorted(set(text) - set(" \n"))]
    pieces: List[Tuple[str, float]] = [(piece, 0.0) for piece in special]
    pieces += [(piece, -10.0) for piece in characters]
    pieces += [(f"▁{word}", -11.0 + 0.1 * len(word)) for word in frequent_words(text)]
    unknown = next(i for i, piece in enumerate(special) if "unk" in piece.lower())
    tokenizer = Tokenizer(models.Unigram(list(dict(pieces).items()), unk_id=unknown))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    metaspace = pre_tokenizers.Metaspace(prepend_scheme="always")
    parts = [pre_tokenizers.WhitespaceSplit(), metaspace] if manner else [metaspace]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)
    return tokenizer
