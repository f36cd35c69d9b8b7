"""One answer in the making: token ids of a worker in, pieces for a reader out.

Knows characters, stop strings, tool calls and log probabilities; nothing of workers or of other answers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from embedd.generation.stops import StopStrings
from embedd.generation.tool_calls import ToolCallReader, ToolSyntax
from embedd.generation.vocabulary import Detokenizer, Vocabulary
from embedd.generators import Delta, TokenLogprob

TokenLogprobs = Sequence[Any]
"""The contract's, one a token: ``[logprob, [[token, logprob], ...best first]]``."""


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """What all answers to one prompt have in common; ``syntax`` only where tools may be called."""

    vocabulary: Vocabulary
    stops: tuple[str, ...] = ()
    syntax: ToolSyntax | None = None
    parallel: bool = True


class Choice:
    """Answer ``number``; ``stopped`` once it holds one of its stop strings, and needs no more tokens."""

    def __init__(self, number: int, form: AnswerForm, new_ids: Iterator[str]) -> None:
        self._number = number
        self._vocabulary = form.vocabulary
        specials = form.syntax is not None and form.vocabulary.is_special(form.syntax.open)
        self._detokenizer = Detokenizer(form.vocabulary, specials=specials)
        self._stops = StopStrings(form.stops)
        self._reader = ToolCallReader(form.syntax, new_ids, parallel=form.parallel) if form.syntax else None
        self._written = 0  # characters that the tokens made
        self._released = 0  # of them, those that are before any stop string
        self._logprobs: list[tuple[int, int, TokenLogprob]] = []  # not told yet: where it begins and ends
        self.tokens = 0

    @property
    def stopped(self) -> bool:
        return self._stops.found is not None

    def add(self, ids: Sequence[int], logprobs: TokenLogprobs | None) -> Delta | None:
        """What the next tokens say; None if nothing yet."""
        said = ""
        for place, id in enumerate(ids):
            if self.stopped:
                break
            said += self._add(id, logprobs[place] if logprobs is not None else None)
        return self._delta(said)

    def finish(self, reason: Literal["stop", "length"]) -> Delta:
        """The last piece: what was held back, and why it is the last."""
        said = ""
        if not self.stopped:
            said = self._stops.add(self._detokenizer.finish()) + self._stops.finish()
        delta = self._delta(said, last=True) or Delta(choice=self._number)
        called = self._reader is not None and self._reader.calls > 0
        ended = "stop" if self.stopped else reason
        return Delta(
            text=delta.text,
            choice=self._number,
            logprobs=delta.logprobs,
            tool_calls=delta.tool_calls,
            finish_reason="tool_calls" if called and ended == "stop" else ended,
        )

    def _add(self, id: int, logprob: Any) -> str:
        self.tokens += 1
        piece = self._detokenizer.add(id)
        begins, self._written = self._written, self._written + len(piece)
        if logprob is not None:
            self._logprobs.append((begins, self._written, self._describe(id, logprob)))
        said = self._stops.add(piece)
        self._released += len(said)
        return said

    def _delta(self, said: str, *, last: bool = False) -> Delta | None:
        logprobs = self._told_logprobs(last=last)
        if self._reader is None:
            return Delta(said, choice=self._number, logprobs=logprobs) if said or logprobs else None
        heard = self._reader.add(said)
        content, calls = heard.content, heard.calls
        if last:
            content += self._reader.finish().content
        if not (content or calls or logprobs):
            return None
        return Delta(content, choice=self._number, logprobs=logprobs, tool_calls=calls)

    def _told_logprobs(self, *, last: bool) -> tuple[TokenLogprob, ...]:
        """Those of the tokens whose text is said by now; in the end all but those of a stop string."""
        if self.stopped:
            told = [one for begins, _, one in self._logprobs if begins < self._released]
            self._logprobs = []
            return tuple(told)
        told = [one for _, ends, one in self._logprobs if last or ends <= self._released]
        self._logprobs = self._logprobs[len(told) :]
        return tuple(told)

    def _describe(self, id: int, logprob: Any) -> TokenLogprob:
        chosen, best = logprob
        others = tuple(self._token(other, value) for other, value in best)
        return self._token(id, chosen, others)

    def _token(self, id: int, logprob: float, best: tuple[TokenLogprob, ...] = ()) -> TokenLogprob:
        written = self._vocabulary.bytes_of(id)
        return TokenLogprob(written.decode("utf-8", "replace"), written, logprob, best)
