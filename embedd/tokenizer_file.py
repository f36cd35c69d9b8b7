"""What a ``tokenizer.json`` says: the library's object for it, its special tokens, its vocabulary's size."""

import json
from dataclasses import dataclass

import tokenizers
from tokenizers import normalizers

from embedd.encoding import Frame

_LETTER = "a"


@dataclass(frozen=True, slots=True)
class TokenizerFile:
    """All that a tokenizer is made of: its ``tokenizer.json``, and what the model's other files say.
    ``segments``: whether the model is told the texts of a pair apart; ``embedded``: how many ids it has
    vectors for.
    """

    description: str
    lowercase: bool = False
    segments: bool = True
    embedded: int | None = None


def build(description: str, *, lowercase: bool) -> tokenizers.Tokenizer:
    """The tokenizer, which neither cuts nor pads; ``lowercase`` adds a step in front if there is none."""
    tokenizer = tokenizers.Tokenizer.from_str(description)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if lowercase and "Lowercase" not in description and not _lowercases(description):
        steps = [normalizers.Lowercase(), tokenizer.normalizer]
        tokenizer.normalizer = normalizers.Sequence([step for step in steps if step is not None])
    return tokenizer


def _lowercases(description: str) -> bool:
    normalizer = json.loads(description).get("normalizer") or {}
    return bool(normalizer.get("lowercase"))


def single_frame(tokenizer: tokenizers.Tokenizer) -> Frame:
    """The special tokens around one text, found out with a text of one letter."""
    probe = tokenizer.encode(_LETTER)
    first, last = _places(probe, 0)
    return Frame(head=tuple(probe.ids[:first]), tail=tuple(probe.ids[last:]))


def pair_frame(tokenizer: tokenizers.Tokenizer, *, segments: bool) -> Frame:
    """The special tokens around and between two texts, which are told apart only with ``segments``."""
    probe = tokenizer.encode(_LETTER, _LETTER)
    (start, begin), (end, last) = _places(probe, 0), _places(probe, 1)
    return Frame(
        head=tuple(probe.ids[:start]),
        between=tuple(probe.ids[begin:end]),
        tail=tuple(probe.ids[last:]),
        segment=probe.type_ids.index(1) - begin if segments and 1 in probe.type_ids else -1,
    )


def _places(probe: tokenizers.Encoding, text: int) -> tuple[int, int]:
    """Where the tokens of that text begin and end."""
    places = [place for place, part in enumerate(probe.sequence_ids) if part == text]
    if not places:
        raise ValueError(f"it makes no token of the letter {_LETTER!r}")
    return places[0], places[-1] + 1


def vocab_size(tokenizer: tokenizers.Tokenizer) -> int:
    """One more than the largest id; a vocabulary may have gaps, and then has to be looked through."""
    size: int = tokenizer.get_vocab_size(with_added_tokens=True)
    if tokenizer.id_to_token(size - 1) is not None and tokenizer.id_to_token(size) is None:
        return size
    return max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1
