"""Tokenizers in the two ways that language models write bytes: GPT-2's and SentencePiece's."""

import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers

SAMPLE = [
    "The tide comes at six. Größe, 日本語, naïve café 🌊🐚.",
    "def f(x): return x  # tide",
    "hello hello",
]


def byte_level() -> str:
    """GPT-2's way: a tokenizer.json whose tokens are any bytes, some of them merged."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(SAMPLE, trainer)
    tokenizer.add_special_tokens(["<|im_start|>", "<|im_end|>", "[TOOL_CALLS]"])
    tokenizer.add_tokens([AddedToken("<tool_call>", special=False)])
    return str(tokenizer.to_str())


def byte_fallback() -> str:
    """SentencePiece's way: blanks as a character, and bytes as tokens for what is in no other."""
    words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    words += ["\u2581", *"abcdefghijklmnopqrstuvwxyzT.", "\u2581t", "\u2581ti", "\u2581tid", "\u2581tide"]
    vocabulary = {word: place for place, word in enumerate(words)}
    merges = [("\u2581", "t"), ("\u2581t", "i"), ("\u2581ti", "d"), ("\u2581tid", "e")]
    tokenizer = tokenizers.Tokenizer(
        models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(["<s>", "</s>"])
    return str(tokenizer.to_str())


BOTH = {"byte-level": byte_level(), "byte-fallback": byte_fallback()}
