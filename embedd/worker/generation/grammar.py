"""Answers that follow a grammar: which tokens may come next, by llguidance.

A grammar is compiled once and copied for each request. docs/adr has why this library.
"""

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from llguidance import LLExecutor, LLMatcher, LLTokenizer
from llguidance.numpy import fill_next_token_bitmask, fill_next_token_bitmask_par_with_draft_tokens

_ANY_OBJECT = '{"type": "object"}'
_SPACE = " "
"""What may stand between the parts of JSON, once: models that may write any space may write nothing else."""
_KEPT = 64


class InvalidGrammar(Exception):
    """What was asked for is no grammar, too large, or the model has no tokenizer to apply it with."""


class Grammar:
    """Where one answer stands in its grammar."""

    def __init__(self, matcher: LLMatcher, executor: LLExecutor) -> None:
        self._matcher = matcher
        self._executor = executor

    @property
    def done(self) -> bool:
        """Whether nothing can follow."""
        return self._matcher.is_stopped()

    def accept(self, token: int) -> None:
        self._matcher.consume_token(token)

    def forced(self) -> Sequence[int]:
        """The tokens that have to come now, where the grammar leaves no choice."""
        return self._matcher.compute_ff_tokens()

    def allowed(self, drafts: Sequence[int]) -> Sequence[int]:
        """The beginning of ``drafts`` that the grammar allows."""
        return drafts[: self._matcher.validate_tokens(list(drafts))] if drafts else drafts

    def mask(self, drafts: Sequence[int], vocab: int) -> npt.NDArray[np.bool_]:
        """Which tokens may come next, and after each of the ``drafts``: (len(drafts) + 1, vocab)."""
        bits = np.zeros((len(drafts) + 1, -(-vocab // 32)), dtype=np.int32)
        if drafts:
            guessed = [(self._matcher, 0, list(drafts))]
            fill_next_token_bitmask_par_with_draft_tokens(self._executor, guessed, bits)
        else:
            fill_next_token_bitmask(self._matcher, bits)
        return np.unpackbits(bits.view(np.uint8), axis=1, bitorder="little")[:, :vocab].astype(bool)


class Grammars:
    """Compiles for the tokenizer in ``folder``; the latest are kept."""

    def __init__(self, folder: Path, vocab: int) -> None:
        self._folder = folder
        self._vocab = vocab
        self._tokenizer: LLTokenizer | None = None
        self._executor = LLExecutor(1)
        self._compiled: OrderedDict[tuple[str, str], LLMatcher] = OrderedDict()

    def compile(self, asked: Mapping[str, str]) -> Grammar:
        """The grammar that the payload of a request asks for.

        Raises:
            InvalidGrammar: it cannot be compiled.
        """
        key = asked["kind"], asked.get("value", "")
        if key not in self._compiled:
            self._compiled[key] = self._compile(*key)
        self._compiled.move_to_end(key)
        while len(self._compiled) > _KEPT:
            self._compiled.popitem(last=False)
        return Grammar(self._compiled[key].deep_copy(), self._executor)

    def _compile(self, kind: str, value: str) -> LLMatcher:
        tokenizer = self._tokenizer = self._tokenizer or self._read_tokenizer()
        try:
            grammar = _translate(kind, value)
        except ValueError as error:
            raise InvalidGrammar(str(error)) from error
        matcher = LLMatcher(tokenizer, grammar, log_level=0)
        if matcher.is_error():
            raise InvalidGrammar(matcher.get_error())
        return matcher

    def _read_tokenizer(self) -> LLTokenizer:
        path = self._folder / "tokenizer.json"
        if not path.exists():
            raise InvalidGrammar("the model has no tokenizer.json, which answers by a grammar need")
        return LLTokenizer(str(path), n_vocab=self._vocab, eos_token=_read_ends(self._folder) or None)


def _translate(kind: str, value: str) -> str:
    if kind == "lark":
        return LLMatcher.grammar_from_lark(value)
    schema = _ANY_OBJECT if kind == "json_object" else value
    return LLMatcher.grammar_from_json_schema(schema, overrides={"whitespace_pattern": _SPACE})


def _read_ends(folder: Path) -> list[int]:
    """The tokens that end an answer, as the model's files say."""
    for name in ("generation_config.json", "config.json"):
        path = folder / name
        ends = json.loads(path.read_bytes()).get("eos_token_id") if path.exists() else None
        if ends is not None:
            return [ends] if isinstance(ends, int) else list(ends)
    return []
