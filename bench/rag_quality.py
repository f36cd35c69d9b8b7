"""Are answers right, can they be checked, and is nothing answered where there is nothing?

The passages of SQuAD go into a real service through HTTP. Its questions are put to ``extractive``: those that
have an answer with three quoted sentences and with one, those that only seem to have one, and queries of
Cranfield and NPL, which the passages say nothing about. Every source is held against its document. XQuAD asks
in twelve languages, each of its own passages. Constants of the service were fitted on half of SQuAD's
articles: figures are also given for the other half.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from itertools import islice, pairwise
from statistics import fmean, median
from typing import Any

from harness.answers import (
    AnsweredQuestion,
    Told,
    balanced_accuracy,
    best_threshold,
    chosen_articles,
    false_sources,
    read_questions,
    scores_of_answer,
)
from harness.client import Client, open_client
from harness.corpora import SEED, SourceDocument, load_cranfield, load_npl, load_squad, load_xquad
from harness.load import run_clients
from harness.metrics import mean_scores
from harness.options import Options, parse_options
from harness.report import machine, print_table, write
from harness.service import MODEL, open_service
from harness.targets import Goal, print_goals
from harness.texts import load_texts

PARTS = ("squad", "abstention", "xquad", "first_token")
CLIENTS = 4
LIMITS = (3, 1)
# Of --quick: questions of each kind, languages, documents.
QUICK_QUESTIONS = 150
QUICK_LANGUAGES = ("en", "de")
STREAMED = 200
# Among so many passages: those of SQuAD, and paragraphs of books that are one passage each.
PASSAGES, QUICK_PASSAGES = 20_000, 2_000
PASSAGE_WORDS, PASSAGE_TOKENS = 120, 256
FILLING = 27_771


async def told(client: Client, collection: str, questions: Sequence[str], **retrieval: Any) -> list[Told]:
    """What is said to each question."""

    async def ask(number: int) -> Told:
        return Told.read(await client.answer(questions[number], collection=collection, **retrieval))

    return await run_clients(ask, clients=CLIENTS, requests=len(questions))


async def answers_of(
    client: Client,
    collection: str,
    questions: Sequence[AnsweredQuestion],
    texts: dict[str, str],
    chosen: frozenset[str],
) -> dict[str, Any]:
    """The scores of questions that have an answer, by the most sentences that may be quoted.

    ``chosen``: the articles of the fitted half.
    """
    figures: dict[str, Any] = {"questions": len(questions)}
    for limit in LIMITS:
        answers = await told(client, collection, [one.text for one in questions], max_quotes=limit)
        scores = [scores_of_answer(*pair) for pair in zip(questions, answers, strict=True)]
        halves = {"fitted": True, "kept": False}
        figures[f"{limit}"] = mean_scores(scores) | {
            "false_sources": sum(false_sources(one, texts) for one in answers),
            "sources": sum(len(one.sources) for one in answers),
        }
        for half, is_chosen in halves.items():
            members = [
                score
                for one, score in zip(questions, scores, strict=True)
                if (one.article in chosen) is is_chosen
            ]
            if members:
                figures[f"{limit}, {half} half"] = mean_scores(members)
    return figures


async def abstention_of(
    client: Client, collection: str, kinds: dict[str, Sequence[str]], chosen: Sequence[bool]
) -> dict[str, Any]:
    """Shares refused by kind of question, and how well evidence tells adversarial questions from others.

    ``chosen``: which answerable and then adversarial ones are of the fitted half.
    """
    said = {kind: await told(client, collection, questions) for kind, questions in kinds.items()}
    evidence = {kind: [one.evidence for one in answers] for kind, answers in said.items()}
    good, bad = evidence["answerable"], evidence["adversarial"]
    fitted_good, kept_good = in_halves(good, chosen[: len(good)])
    fitted_bad, kept_bad = in_halves(bad, chosen[len(good) :])
    at = best_threshold(fitted_good, fitted_bad)
    return {
        "threshold": said["answerable"][0].threshold,
        "refused": {kind: fmean(one.abstained for one in answers) for kind, answers in said.items()},
        "questions": {kind: len(answers) for kind, answers in said.items()},
        "balanced_accuracy": {
            "threshold_of_fitted_half": at,
            "fitted_half": balanced_accuracy(fitted_good, fitted_bad, at),
            "kept_half": balanced_accuracy(kept_good, kept_bad, at),
            "all_at_their_best": balanced_accuracy(good, bad, best_threshold(good, bad)),
        },
    }


def in_halves(values: Sequence[float], chosen: Sequence[bool]) -> tuple[list[float], list[float]]:
    """Those of the fitted half, and those of the half that was kept."""
    marked = list(zip(values, chosen, strict=True))
    return [value for value, is_in in marked if is_in], [value for value, is_in in marked if not is_in]


async def squad_parts(client: Client, options: Options) -> dict[str, Any]:
    """Everything that is asked of the passages of SQuAD."""
    documents = load_squad(options.data).documents
    texts = {document.id: document.text for document in documents}
    await client.create_collection("squad", token_vectors="2bit")
    await client.add_documents("squad", documents)
    asked = read_questions(options.data / "squad" / "questions.jsonl.gz")
    chosen = chosen_articles(asked)
    answerable = some([one for one in asked if one.answers], options)
    adversarial = some([one for one in asked if not one.answers], options)
    figures: dict[str, Any] = {}
    if "squad" in options.parts:
        figures["squad"] = await answers_of(client, "squad", answerable, texts, chosen)
    if "abstention" in options.parts:
        kinds = {
            "answerable": [one.text for one in answerable],
            "adversarial": [one.text for one in adversarial],
            "cranfield": some([one.text for one in load_cranfield(options.data).questions], options),
            "npl": some([one.text for one in load_npl(options.data).questions], options),
        }
        marks = [one.article in chosen for one in (*answerable, *adversarial)]
        figures["abstention"] = await abstention_of(client, "squad", kinds, marks)
    return figures


async def first_token(client: Client, options: Options) -> dict[str, Any]:
    """Milliseconds to the first text of a streamed answer among many passages, one question at a time; and
    to the vector of another question, which is the model's share.
    """
    squad = load_squad(options.data)
    filling = (text for text in load_texts(options.data, FILLING) if len(text.split()) <= PASSAGE_WORDS)
    count = QUICK_PASSAGES if options.quick else PASSAGES
    others = [
        SourceDocument(f"filling/{number}", "", text)
        for number, text in enumerate(islice(filling, count - len(squad.documents)))
    ]
    await client.create_collection("large", token_vectors="2bit", chunk_tokens=PASSAGE_TOKENS)
    await client.add_documents("large", [*squad.documents, *others])
    asked = [one.text for one in read_questions(options.data / "squad" / "questions.jsonl.gz") if one.answers]
    random.Random(SEED).shuffle(asked)
    answers, embeddings = [], []
    for answered, embedded in islice(pairwise(asked), 0, 2 * STREAMED, 2):
        answers.append((await client.chat("extractive@large", answered)).first_token_s)
        began = time.perf_counter()
        await client.embed([embedded])
        embeddings.append(time.perf_counter() - began)
    return {
        "documents": count,
        "questions": len(answers),
        "p50_ms": 1000 * median(answers),
        "embedding_p50_ms": 1000 * median(embeddings),
    }


async def xquad_part(client: Client, options: Options) -> dict[str, Any]:
    """Each language's questions put to its own passages."""
    figures = {}
    for language, corpus in load_xquad(options.data).items():
        if options.quick and language not in QUICK_LANGUAGES:
            continue
        name = f"xquad-{language}"
        settings = {} if language == "en" else {"tokenizer": "trigram"}
        await client.create_collection(name, token_vectors="2bit", **settings)
        await client.add_documents(name, corpus.documents)
        asked = some(read_questions(options.data / "xquad" / "questions.jsonl.gz", language), options)
        answers = await told(client, name, [one.text for one in asked])
        texts = {document.id: document.text for document in corpus.documents}
        scores = mean_scores([scores_of_answer(*pair) for pair in zip(asked, answers, strict=True)])
        figures[language] = scores | {"false_sources": sum(false_sources(one, texts) for one in answers)}
    return figures


def some(questions: Sequence[Any], options: Options) -> Sequence[Any]:
    """All of them, or with ``--quick`` a sample that is the same each time."""
    if not options.quick or len(questions) <= QUICK_QUESTIONS:
        return questions
    return random.Random(SEED).sample(questions, QUICK_QUESTIONS)


async def run(options: Options) -> None:
    """Runs the bench and reports."""
    before = machine()
    async with open_service() as service, open_client(service.url) as client:
        info = await client.info()
        figures = await squad_parts(client, options) if {"squad", "abstention"} & {*options.parts} else {}
        if "xquad" in options.parts:
            figures["xquad"] = await xquad_part(client, options)
        if "first_token" in options.parts:
            figures["first_token"] = await first_token(client, options)
    report(figures)
    goals = goals_of(figures)
    print_goals(goals)
    figures["goals"] = [goal.as_figure() for goal in goals]
    settings = {"quick": options.quick, "model": MODEL, "clients": CLIENTS, "service": info}
    write(options.out, figures, settings, before)


def goals_of(figures: dict[str, Any]) -> list[Goal]:
    """What extractive answers are to reach."""
    goals: list[Goal] = []
    if squad := figures.get("squad"):
        goals += [
            Goal("three sentences: answered", squad["3"]["answered"], "at least", 0.88, "%"),
            Goal("three sentences: its passage cited", squad["3"]["cited"], "at least", 0.93, "%"),
            Goal("one sentence: answered", squad["1"]["answered"], "at least", 0.77, "%"),
            Goal("false sources", squad["3"]["false_sources"] + squad["1"]["false_sources"], "at most", 0),
        ]
    if abstention := figures.get("abstention"):
        refused, accuracy = abstention["refused"], abstention["balanced_accuracy"]
        goals += [
            Goal("answerable refused", refused["answerable"], "at most", 0.05, "%"),
            Goal("cranfield refused", refused["cranfield"], "at least", 0.9, "%"),
            Goal("npl refused", refused["npl"], "at least", 0.9, "%"),
            Goal("balanced accuracy, kept half", accuracy["kept_half"], "at least", 0.625),
        ]
    if first := figures.get("first_token"):
        goals.append(Goal("first token, p50", first["p50_ms"], "at most", 40, "ms"))
    return goals


def report(figures: dict[str, Any]) -> None:
    """One table per part that has rows."""
    measures = ("answered", "cited", "refused", "sentences")
    for part in ("squad", "xquad"):
        rows = {name: row for name, row in figures.get(part, {}).items() if isinstance(row, dict)}
        cells = [[name, *(f"{row[measure]:.3f}" for measure in measures)] for name, row in rows.items()]
        if cells:
            print_table(part, [{"squad": "sentences at most", "xquad": "language"}[part], *measures], cells)
    if first := figures.get("first_token"):
        print(f"of the first token, a question's vector takes {first['embedding_p50_ms']:.1f} ms")
    if abstention := figures.get("abstention"):
        shares = [[kind, f"{share:.1%}"] for kind, share in abstention["refused"].items()]
        print_table(f"refused at {abstention['threshold']}", ["questions", "share"], shares)


if __name__ == "__main__":
    asyncio.run(run(parse_options("rag_quality", "Quality of answers through HTTP.", parts=PARTS)))
