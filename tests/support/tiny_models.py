"""Small models with random weights, of real architectures, as the folders their libraries write."""

from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules as st_modules
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    BertConfig,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    MPNetConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
    XLMRobertaConfig,
)

WORDS = ["the", "a", "red", "fox", "river", "stands", "high", "over", "snow", "and", "what", "ran", "slept"]
TEXTS = [
    "the red fox",
    "a river stands high over the snow and the fox slept",
    "what",
    "ran ran ran the river",
]
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
MAX_TOKENS = 24

_SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
_COMMON = {"vocab_size": len(SPECIALS) + len(WORDS), "pad_token_id": 0, "max_position_embeddings": 64}


def configs() -> dict[str, PreTrainedConfig]:
    """A small config of every family that is run, by its name."""
    decoder = {**_SHAPE, **_COMMON, "num_key_value_heads": 2, "head_dim": 8}
    ends = {"cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}
    return {
        "bert": BertConfig(**_SHAPE, **_COMMON),
        "electra": ElectraConfig(**_SHAPE, **_COMMON, embedding_size=16),
        "xlm-roberta": XLMRobertaConfig(**_SHAPE, **{**_COMMON, "pad_token_id": 1}, type_vocab_size=1),
        "distilbert": DistilBertConfig(dim=32, n_layers=2, n_heads=4, hidden_dim=64, **_COMMON),
        "mpnet": MPNetConfig(**_SHAPE, **{**_COMMON, "pad_token_id": 1}),
        "modernbert": ModernBertConfig(
            **_SHAPE, **_COMMON, **ends, local_attention=6, global_attn_every_n_layers=2
        ),
        "qwen3": Qwen3Config(**decoder),
        "qwen3-windows": Qwen3Config(
            **decoder, use_sliding_window=True, sliding_window=5, max_window_layers=1
        ),
    }


def build_embedding_model(
    folder: Path, pooling: str = "mean", *, family: str = "bert", dense: bool = False, pad_left: bool = False
) -> Path:
    """A sentence-transformers folder."""
    transformer = folder / "transformer"
    write_tokenizer(transformer, pad_left=pad_left)
    torch.manual_seed(7)
    AutoModel.from_config(configs()[family]).save_pretrained(transformer)
    parts: list[Any] = [st_modules.Transformer(str(transformer)), st_modules.Pooling(32, pooling)]
    parts += [st_modules.Dense(32, 12)] if dense else []
    SentenceTransformer(modules=[*parts, st_modules.Normalize()], device="cpu").save(str(folder / "st"))
    return folder / "st"


def build_cross_encoder(folder: Path, *, family: str = "bert", labels: int = 1) -> Path:
    """A transformers folder with a classification head, as sentence-transformers' CrossEncoder reads it."""
    config = configs()[family]
    write_tokenizer(folder / family, pair_types=getattr(config, "type_vocab_size", 1) > 1)
    config.num_labels = labels
    torch.manual_seed(7)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder / family)
    return folder / family


def write_tokenizer(folder: Path, *, pad_left: bool = False, pair_types: bool = True) -> None:
    """A tokenizer of whole words, which frames texts as BERT's does."""
    vocabulary = {word: number for number, word in enumerate([*SPECIALS, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1" if pair_types else "[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    side = "left" if pad_left else "right"
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=MAX_TOKENS,
        padding_side=side,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", *(["token_type_ids"] if pair_types else []), "attention_mask"],
    ).save_pretrained(folder)
