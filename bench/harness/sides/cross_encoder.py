"""A cross-encoder to measure speed with, which does not depend on the weights: none can be had offline."""

import shutil
from pathlib import Path

SEED = 20_240_229
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def write_cross_encoder(like: Path, folder: Path) -> Path:
    """Writes a BERT of the shape of the one in ``like`` to ``folder``, with random weights and one score."""
    import torch  # noqa: PLC0415 - only this function's callers need it
    from transformers import BertConfig, BertForSequenceClassification  # noqa: PLC0415

    torch.manual_seed(SEED)
    model = BertForSequenceClassification(BertConfig.from_pretrained(like, num_labels=1))
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    for name in TOKENIZER_FILES:
        if (like / name).exists():
            shutil.copyfile(like / name, folder / name)
    return folder
