"""From what a client asks to the token ids of a prompt, in a thread of its own.

Knows the template and the tokenizer, both used by that one thread; a long prompt holds up other prompts, and
nothing else. Texts that cannot fit are refused before they are tokenised.
"""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import numpy as np
import numpy.typing as npt

from embedd.conversation import Continuation, Prompt, Tool
from embedd.errors import InvalidInput, PromptTooLong
from embedd.generation.folder import LanguageFiles
from embedd.generation.vocabulary import Vocabulary
from embedd.grounding import lay_out
from embedd.tokenizer_file import build

Ids = npt.NDArray[np.int32]


class PromptReader:
    """Made by ``open_prompt_reader``."""

    def __init__(self, files: LanguageFiles, vocabulary: Vocabulary, thread: ThreadPoolExecutor) -> None:
        self._template = files.template
        self._tokenizer = build(files.tokenizer, lowercase=False)
        self._size = vocabulary.size
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
            return self._tokenise(prompt.text, context, specials=True)
        if self._template is None:
            raise InvalidInput(
                "this model has no chat template: name one with the setting `chat_template`, "
                "or use /v1/completions"
            )
        return self._tokenise(self._template.render(lay_out(prompt), tools), context, specials=False)

    def _tokenise(self, text: str, context: int, *, specials: bool) -> Ids:
        fewest = len(text) // self._longest_token
        if fewest > context:
            raise _too_long(f"at least {fewest}", context)
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidInput(f"the prompt is no valid Unicode: {error}") from error
        ids = self._tokenizer.encode(text, add_special_tokens=specials).ids
        return self._checked(ids, context)

    def _checked(self, ids: list[int] | tuple[int, ...], context: int) -> Ids:
        if not ids:
            raise InvalidInput("the prompt is empty")
        if len(ids) >= context:
            raise _too_long(str(len(ids)), context)
        if min(ids) < 0 or max(ids) >= self._size:
            raise InvalidInput(f"the prompt has token ids outside of 0 to {self._size - 1}")
        return np.array(ids, dtype=np.int32)


def _too_long(tokens: str, context: int) -> PromptTooLong:
    return PromptTooLong(
        f"the prompt has {tokens} tokens and the model's context is {context}, with the answer: shorten "
        "the conversation, or ask for fewer passages"
    )


@asynccontextmanager
async def open_prompt_reader(files: LanguageFiles, vocabulary: Vocabulary) -> AsyncIterator[PromptReader]:
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="prompts") as thread:
        yield PromptReader(files, vocabulary, thread)
