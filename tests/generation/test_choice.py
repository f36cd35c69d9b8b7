"""One answer in the making: tokens in steps of any size become text, calls, log probabilities and an end."""

import itertools
import json
from collections.abc import Sequence

import language_tokenizers
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from embedd.generation.choice import AnswerForm, Choice
from embedd.generation.tool_calls import MISTRAL
from embedd.generation.vocabulary import Vocabulary
from embedd.generators import Delta

TEXT = language_tokenizers.byte_level()
VOCABULARY = Vocabulary(TEXT)
TOKENIZER = tokenizers.Tokenizer.from_str(TEXT)


def ids_of(text: str) -> list[int]:
    ids: list[int] = TOKENIZER.encode(text, add_special_tokens=False).ids
    return ids


def told(form: AnswerForm, steps: Sequence[Sequence[int]], *, logprobs: bool = False) -> list[Delta]:
    """All that a choice says, each step with the log probabilities of its tokens if there are any."""
    choice = Choice(3, form, (f"id{number}" for number in itertools.count()))
    said = (choice.add(step, [[-0.5, []] for _ in step] if logprobs else None) for step in steps)
    deltas = [delta for delta in said if delta is not None]
    return [*deltas, choice.finish("length")]


@given(st.sets(st.integers(1, 60)))
@settings(deadline=None)
def test_steps_of_any_size_say_the_same(cuts: set[int]) -> None:
    ids = ids_of("The tide comes at Größe 🌊. END hello")
    borders = [0, *sorted(cut for cut in cuts if cut < len(ids)), len(ids)]
    steps = [ids[first:last] for first, last in itertools.pairwise(borders)]
    deltas = told(AnswerForm(VOCABULARY, ("END",)), steps, logprobs=True)
    assert "".join(delta.text for delta in deltas) == "The tide comes at Größe 🌊. "
    assert [delta.finish_reason for delta in deltas if delta.finish_reason] == ["stop"]
    assert {delta.choice for delta in deltas} == {3}
    written = b"".join(one.bytes for delta in deltas for one in delta.logprobs).decode()
    assert written.startswith("The tide comes at Größe 🌊.")
    assert "END" not in written


def test_log_probabilities_come_with_the_text_of_their_tokens() -> None:
    form = AnswerForm(VOCABULARY, ("END",))
    deltas = told(form, [[id] for id in ids_of("aENx")], logprobs=True)
    texts = [("".join(one.text for one in delta.logprobs), delta.text) for delta in deltas]
    assert all(by_tokens == text for by_tokens, text in texts)


def test_a_call_behind_a_special_token_is_heard_and_nothing_is_shown_of_it() -> None:
    form = AnswerForm(VOCABULARY, (), MISTRAL)
    ids = ids_of('[TOOL_CALLS][{"name": "tide", "arguments": {"port": "Kiel"}}]')
    assert ids[0] == VOCABULARY.id_of("[TOOL_CALLS]")
    *_, last = deltas = told(form, [[id] for id in ids])
    pieces = [piece for delta in deltas for piece in delta.tool_calls]
    assert (pieces[0].id, pieces[0].name) == ("id0", "tide")
    assert json.loads("".join(piece.arguments for piece in pieces)) == {"port": "Kiel"}
    assert "".join(delta.text for delta in deltas) == ""
    assert last.finish_reason == "length", "it was the worker's word"


def test_what_was_held_back_is_said_at_the_end() -> None:
    deltas = told(AnswerForm(VOCABULARY, ("END",)), [ids_of("the EN"), ids_of("🌊")[:2]])
    assert "".join(delta.text for delta in deltas).startswith("the EN\ufffd")
