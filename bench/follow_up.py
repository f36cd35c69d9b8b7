"""Does carrying terms over find what a follow-up question means, and leave other questions alone?

Pairs of SQuAD's questions about one passage become short conversations: in the second one every run of words
that the first one has too becomes "it" ("Where did the Rhine begin?" "How long is it?"). Searched for are
the second question as SQuAD has it, as it is said in the conversation, and with the terms carried over. And
what carrying over does to questions that stand for themselves: SQuAD's own, behind a question about the same
passage, and behind one about another article. Reported: hit@1 and hit@5 of the passage, through HTTP.
"""

import asyncio
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from embedd.follow_up import carry_over, terms_of
from embedd.stop_words import STOP_WORDS
from harness.client import Client, open_client
from harness.corpora import SEED, Corpus, Question, load_squad
from harness.load import run_clients
from harness.metrics import hit_at
from harness.options import Options, parse_options
from harness.report import machine, print_table, write
from harness.service import MODEL, open_service

COLLECTION = "squad"
CLIENTS = 4
FULL_PAIRS = 1_000
QUICK_PAIRS = 100
_WORD = re.compile(r"\w+(?:['’.-]\w+)*")  # noqa: RUF001 - an apostrophe


@dataclass(frozen=True, slots=True)
class Pair:
    """Two questions about one passage, the second one as it is said behind the first, and a question about
    something else.
    """

    first: str
    second: Question
    said: str
    other: str


SEARCHED: dict[str, Callable[[Pair], str]] = {
    "follow-up, as SQuAD has it": lambda pair: pair.second.text,
    "follow-up, as it is said": lambda pair: pair.said,
    "follow-up, terms carried over": lambda pair: carry_over(pair.said, [pair.first]) or pair.said,
    "self-contained, behind one about the same": lambda pair: (
        carry_over(pair.second.text, [pair.first]) or pair.second.text
    ),
    "self-contained, behind one about another": lambda pair: (
        carry_over(pair.second.text, [pair.other]) or pair.second.text
    ),
}


def pairs_of(corpus: Corpus) -> Iterator[Pair]:
    """Neighbouring questions about each passage, as far as they have words in common."""
    about: defaultdict[str, list[Question]] = defaultdict(list)
    for question in corpus.questions:
        about[next(iter(question.gains))].append(question)
    titles = {document.id: document.title for document in corpus.documents}
    dice = random.Random(SEED)
    for passage, questions in about.items():
        for first, second in pairwise(questions):
            other = dice.choice(corpus.questions)
            if titles[next(iter(other.gains))] != titles[passage] and (
                said := pointing(first.text, second.text)
            ):
                yield Pair(first.text, second, said, other.text)


def pointing(first: str, second: str) -> str | None:
    """``second`` with "it" for every run of words that ``first`` has; None if none is worth it."""
    shared = {term.lower() for term in terms_of(first)}
    words = second.split()
    keys = [found[0].lower() if (found := _WORD.search(word)) else "" for word in words]
    said: list[str] = []
    for word, key in zip(words, keys, strict=True):
        if key not in shared:
            said.append(word)
        elif not said or said[-1] != "it":
            while said and said[-1].lower() in ("the", "a", "an"):
                said.pop()
            said.append("it")
    rest = [word for word in said if word != "it" and word.lower().strip("?") not in STOP_WORDS]
    return " ".join(said) if "it" in said and rest else None


async def hits(client: Client, pairs: Sequence[Pair], words: Callable[[Pair], str]) -> dict[str, float]:
    """hit@1 and hit@5 of the second questions' passages."""

    async def ask(number: int) -> list[str]:
        pair = pairs[number]
        found = await client.search(COLLECTION, query=words(pair), k=5, include=[])
        return list(dict.fromkeys(hit["document_id"] for hit in found))

    rankings = await run_clients(ask, clients=CLIENTS, requests=len(pairs))
    gains = [pair.second.gains for pair in pairs]
    return {f"hit@{k}": sum(map(hit_at, [k] * len(pairs), rankings, gains)) / len(pairs) for k in (1, 5)}


async def run(options: Options) -> None:
    """Runs the bench and reports."""
    before, corpus = machine(), load_squad(options.data)
    pairs = list(pairs_of(corpus))
    count = QUICK_PAIRS if options.quick else FULL_PAIRS
    pairs = random.Random(SEED).sample(pairs, min(count, len(pairs)))
    async with open_service() as service, open_client(service.url) as client:
        await client.create_collection(COLLECTION)
        await client.add_documents(COLLECTION, corpus.documents)
        figures = {name: await hits(client, pairs, words) for name, words in SEARCHED.items()}
    shares: dict[str, Any] = {
        "told_follow_ups": sum(carry_over(pair.said, [pair.first]) is not None for pair in pairs)
        / len(pairs),
        "changed_self_contained": sum(
            carry_over(pair.second.text, [pair.other]) is not None for pair in pairs
        )
        / len(pairs),
    }
    print_table(
        f"{len(pairs)} pairs of SQuAD's questions",
        ["searched for", "hit@1", "hit@5"],
        [[name, f"{each['hit@1']:.3f}", f"{each['hit@5']:.3f}"] for name, each in figures.items()],
    )
    print(", ".join(f"{name.replace('_', ' ')} {share:.3f}" for name, share in shares.items()))
    settings = {"quick": options.quick, "model": MODEL, "pairs": len(pairs), "seed": SEED}
    write(options.out, {"ways": figures} | shares, settings, before)


if __name__ == "__main__":
    asyncio.run(run(parse_options("follow_up", "Follow-up questions by carrying terms over.")))
