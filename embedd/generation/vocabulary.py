"""A language model's tokens as text: ids to characters while they come, and each token as its bytes.

Knows a ``tokenizer.json`` through the ``tokenizers`` library; texts become ids in ``reading``. Used by one
thread.
"""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property

from embedd.tokenizer_file import build, vocab_size

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_BLANK = "\u2581"
_REPLACEMENT = "\ufffd"

_LONGEST_CHARACTER = 8
"""Tokens after which what is no character yet will not become one: UTF-8 has four bytes at most."""


class Vocabulary:
    """The tokens of the tokenizer that ``description``, a tokenizer.json, describes."""

    def __init__(self, description: str) -> None:
        self._tokenizer = build(description, lowercase=False)
        self._added = dict(self._tokenizer.get_added_tokens_decoder().items())
        self._byte_level = '"ByteLevel"' in json.dumps(json.loads(description).get("decoder"))
        self.size = vocab_size(self._tokenizer)

    def id_of(self, token: str) -> int | None:
        """The id of the token written ``token``."""
        id: int | None = self._tokenizer.token_to_id(token)
        return id

    def is_special(self, token: str) -> bool:
        """Whether ``token`` is one that plain text leaves out."""
        id = self.id_of(token)
        return id in self._added and bool(self._added[id].special)

    @property
    def specials(self) -> list[str]:
        """The tokens that ``is_special``."""
        return [str(token.content) for token in self._added.values() if token.special]

    def decode(self, ids: Sequence[int], *, specials: bool) -> str:
        """The text of ``ids``, with the names of special tokens or without; unknown ids have none."""
        text: str = self._tokenizer.decode(ids, skip_special_tokens=not specials)
        return text

    def bytes_of(self, id: int) -> bytes:
        """What the token adds to a text; less than a character, perhaps."""
        if id in self._added:
            return str(self._added[id].content).encode()
        token: str = self._tokenizer.id_to_token(id) or ""
        if self._byte_level:
            return b"".join(self._bytes.get(character, character.encode()) for character in token)
        if byte := _BYTE.fullmatch(token):
            return bytes([int(byte[1], 16)])
        return token.replace(_BLANK, " ").encode()

    @cached_property
    def longest_token(self) -> int:
        """The characters of the longest token."""
        return max(map(len, self._tokenizer.get_vocab(with_added_tokens=True)), default=1)

    @cached_property
    def _bytes(self) -> Mapping[str, bytes]:
        """The byte that a character of a byte-level token stands for: GPT-2's way to write any byte.

        https://github.com/openai/gpt-2, src/encoder.py
        """
        printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
        others = [byte for byte in range(256) if byte not in printable]
        shown = {chr(byte): bytes([byte]) for byte in printable}
        return shown | {chr(256 + place): bytes([byte]) for place, byte in enumerate(others)}


class Detokenizer:
    """Ids to text piece by piece: what is said is never taken back, and no character is ever broken.

    The library's own DecodeStream does as much, but keeps what is left over at the end to itself. Ids are
    decoded together with those before them, since tokenizers write some tokens differently at the beginning
    of a text. The same method as in vLLM and text-generation-inference.
    """

    def __init__(self, vocabulary: Vocabulary, *, specials: bool = False) -> None:
        self._vocabulary = vocabulary
        self._specials = specials
        self._ids: list[int] = []
        self._said = 0  # tokens whose text was given
        self._before = ""  # their text, as it is at the beginning of what is decoded

    def add(self, id: int) -> str:
        """The text that the next token completes; empty if a character is still on its way."""
        self._ids.append(id)
        text = self._vocabulary.decode(self._ids, specials=self._specials)
        unfinished = text.endswith(_REPLACEMENT) and len(self._ids) - self._said < _LONGEST_CHARACTER
        if unfinished or len(text) <= len(self._before):
            return ""
        return self._say(text)

    def finish(self) -> str:
        """What is left over: bytes that became no character, as replacement characters."""
        text = self._vocabulary.decode(self._ids, specials=self._specials)
        return self._say(text) if len(text) > len(self._before) else ""

    def _say(self, text: str) -> str:
        piece = text[len(self._before) :]
        self._ids = self._ids[self._said :]
        self._said = len(self._ids)
        self._before = self._vocabulary.decode(self._ids, specials=self._specials)
        return piece
