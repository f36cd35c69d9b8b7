"""Questions that go on from earlier ones, made to stand for themselves.

``carry_over`` does it by words: a question that points back ("and when was it built?") is given the terms of
the question it points back to. It is only added to, so what it asks for itself is still found. Measured in
bench/follow_up.py. ``rewriting`` is how a language model is asked to do it.
"""

import re
from collections.abc import Sequence
from typing import Final

from embedd.conversation import Prompt, Turn
from embedd.stop_words import STOP_WORDS

_WORD: Final = re.compile(r"[^\W_]+(?:['\u2019.-][^\W_]+)*")
# Words that stand for something else. Without "that", "there" and "one", which mostly do not in questions.
_POINTING: Final = frozenset(
    "it its he him his she her hers they them their theirs this these those".split()  # noqa: SIM905
)
# "It" that stands for nothing: "how long does it take", "is it possible to".
_EMPTY: Final = re.compile(
    r"\bit (?:takes?|took|means?|to|that|(?:im)?possible|necessary|common|easi?er|harder|important|essential"
    r"|(?:discovered|known|found|said|believed) that)\b",
    re.IGNORECASE,
)
_GOING_ON: Final = re.compile(
    r"(?:and|but|or|so|then|also|what about|how about|what else|anything else|how so)\b", re.IGNORECASE
)
_SELF_CONTAINED: Final = 2
"""So many terms of its own make a question one about something, if it points to nothing."""
_MOST_TERMS: Final = 8
_MOST_STEPS: Final = 3

_MOST_TURNS: Final = 6
_MOST_CHARACTERS: Final = 600
"""Of each earlier turn: what it is about stands at its beginning."""
_LONGEST: Final = 400
INSTRUCTIONS: Final = (
    "Rewrite the user's last question so that it can be understood without the conversation before it: put "
    "the names in place of words like 'it' or 'they'. Do not answer it and do not add anything. If it can be "
    "understood as it is, repeat it. Write the question alone, in its own language, on one line."
)


def carry_over(question: str, earlier: Sequence[str]) -> str | None:
    """``question`` with terms of the ``earlier`` ones of the user (oldest first) that it points back to; None
    if it stands for itself, or there is nothing to carry over.
    """
    if not is_follow_up(question):
        return None
    own = {term.lower() for term in terms_of(question)}
    carried: dict[str, str] = {}
    for step, before in enumerate(reversed(earlier)):
        carried = {term.lower(): term for term in terms_of(before)} | carried
        if not is_follow_up(before) or step + 1 == _MOST_STEPS:
            break
    new = [term for key, term in carried.items() if key not in own][:_MOST_TERMS]
    return f"{question} {' '.join(new)}" if new else None


def is_follow_up(question: str) -> bool:
    """Whether ``question`` says too little by itself, or points to what it does not name.

    A pointing word behind a name most often means that name ("When did Tesla leave his job?").
    """
    if len(terms_of(question)) < _SELF_CONTAINED or _GOING_ON.match(question.strip()):
        return True
    words = [found[0] for found in _WORD.finditer(_EMPTY.sub("", question))]
    place = next((n for n, word in enumerate(words) if word.lower() in _POINTING), None)
    return place is not None and not any(_is_name(word) for word in words[1:place])


def terms_of(text: str) -> list[str]:
    """The words that say what ``text`` is about, each once, as they are written."""
    found = {match[0].lower(): match[0] for match in _WORD.finditer(text)}
    return [word for key, word in found.items() if key not in STOP_WORDS]


def rewriting(turns: Sequence[Turn]) -> Prompt:
    """What a language model is asked to rewrite the last question of a conversation."""
    said = [turn for turn in turns if turn.role in ("user", "assistant") and turn.content.strip()]
    lines = [f"{turn.role}: {_in_one_line(turn.content)}" for turn in said[-_MOST_TURNS - 1 : -1]]
    asked = f"Conversation:\n{chr(10).join(lines)}\n\nLast question:\n{_in_one_line(said[-1].content)}"
    return Prompt((Turn("system", INSTRUCTIONS), Turn("user", asked)), None, {"enable_thinking": False})


def read_rewriting(text: str) -> str | None:
    """The question that a language model wrote; None if it wrote something else."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    line = lines[0].removeprefix("Last question:").strip().strip('"“”') if lines else ""
    return line if 0 < len(line) <= _LONGEST else None


def _is_name(word: str) -> bool:
    return word[:1].isupper() and word.lower() not in STOP_WORDS


def _in_one_line(text: str) -> str:
    return " ".join(text.split())[:_MOST_CHARACTERS]
