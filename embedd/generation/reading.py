"""From what a client asks to the token ids of a prompt, in a thread of its own.

Knows the template and the tokenizer, both used by that one thread; a long prompt holds up other prompts, and
nothing else. Texts that cannot fit are refused before they are tokenised.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import numpy as np
import numpy.typing as npt
import tokenizers

from embedd.conversation import Continuation, Prompt, Tool
from embedd.errors import InvalidInput, PromptTooLong
from embedd.generation.control_tokens import ControlTokens
from embedd.generation.folder import LanguageFiles
from embedd.generation.template import ChatTemplate
from embedd.generation.vocabulary import Vocabulary
from embedd.grounding import lay_out
from embedd.tokenizer_file import build

Ids = npt.NDArray[np.int32]


class PromptReader:
    """Made by ``open_prompt_reader``."""

    def __init__(self, files: LanguageFiles, vocabulary: Vocabulary, thread: ThreadPoolExecutor) -> None:
        self._template = files.template
        self._tokenizer = build(files.tokenizer, lowercase=False)
        self._plain = build(_without_specials(files.tokenizer), lowercase=False)
        self._controls = ControlTokens(vocabulary.specials)
        self._longest_token = vocabulary.longest_token
        self._thread = thread

    async def read(self, prompt: Prompt | Continuation, tools: tuple[Tool, ...], context: int) -> Ids:
        """The ids (n,) of ``prompt``, n less than ``context``, ready to be continued.

        Raises:
            PromptTooLong: there are more.
            InvalidInput: the model has no chat template, its template refuses the turns, or ids are unknown.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._read, prompt, tools, context)

    def _read(self, prompt: Prompt | Continuation, tools: tuple[Tool, ...], context: int) -> Ids:
        if isinstance(prompt, Continuation):
            if isinstance(prompt.text, tuple):
                return self._checked(prompt.text, context)
            return self._tokenise(prompt.text, context)
        if self._template is None:
            raise InvalidInput(
                "this model has no chat template: name one with the setting `chat_template`, "
                "or use /v1/completions"
            )
        rendered = self._render(self._template, prompt, tools)
        self._refuse_far_too_long(rendered, context)
        return self._checked(self._encode_rendered(rendered), context)

    def _render(self, template: ChatTemplate, prompt: Prompt, tools: tuple[Tool, ...]) -> str:
        """Some templates refuse system turns; ours need not be one."""
        options, mark = prompt.template_options, self._controls.mark
        try:
            return template.render(lay_out(prompt), tools, options, mark)
        except InvalidInput:
            if prompt.passages is None:
                raise
            return template.render(lay_out(prompt, system=False), tools, options, mark)

    def _tokenise(self, text: str, context: int) -> Ids:
        """A text by itself, with the tokens that stand around one; control tokens in it are what they are."""
        self._refuse_far_too_long(text, context)
        return self._checked(self._tokenizer.encode(text).ids if text else [], context)

    def _encode_rendered(self, text: str) -> list[int]:
        """The ids of what a template made, in which marked control tokens are text."""
        ids: list[int] = []
        for piece, marked in self._controls.split(text):
            tokenizer = self._plain if marked else self._tokenizer
            more = self._encode_behind(tokenizer, piece) if ids else self._encode(tokenizer, piece)
            if marked and self._tokenizer.token_to_id(piece) in more:
                raise InvalidInput(f"the prompt has the text {piece!r}, which to this model is a command")
            ids += more
        return ids

    def _encode_behind(self, tokenizer: tokenizers.Tokenizer, piece: str) -> list[int]:
        """The ids of a piece that does not begin a text: some tokenizers put a blank before what does."""
        newline = self._encode(tokenizer, "\n")
        ids = self._encode(tokenizer, f"\n{piece}")
        return ids[len(newline) :] if ids[: len(newline)] == newline else self._encode(tokenizer, piece)

    @staticmethod
    def _encode(tokenizer: tokenizers.Tokenizer, text: str) -> list[int]:
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def _refuse_far_too_long(self, text: str, context: int) -> None:
        """Before it is tokenised, and what is no text."""
        fewest = len(text) // self._longest_token
        if fewest > context:
            raise _too_long(f"at least {fewest}", context)
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidInput(f"the prompt is no valid Unicode: {error}") from error

    def _checked(self, ids: list[int] | tuple[int, ...], context: int) -> Ids:
        if not ids:
            raise InvalidInput("the prompt is empty")
        if len(ids) >= context:
            raise _too_long(str(len(ids)), context)
        try:
            return np.array(ids, dtype=np.int32)
        except OverflowError as error:
            raise InvalidInput(f"the prompt has token ids that no model has: {error}") from error


def _without_specials(description: str) -> str:
    """The tokenizer for which special tokens are text."""
    tokenizer = json.loads(description)
    tokenizer["added_tokens"] = [one for one in tokenizer["added_tokens"] if not one["special"]]
    return json.dumps(tokenizer | {"post_processor": None})


def _too_long(tokens: str, context: int) -> PromptTooLong:
    return PromptTooLong(
        f"the prompt has {tokens} tokens and the model's context is {context}, with the answer: shorten "
        "the conversation, or ask for fewer passages"
    )


@asynccontextmanager
async def open_prompt_reader(files: LanguageFiles, vocabulary: Vocabulary) -> AsyncIterator[PromptReader]:
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="prompts") as thread:
        yield PromptReader(files, vocabulary, thread)
