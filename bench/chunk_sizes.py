"""How long should a passage be, for a search and for an answer?

The passages of SQuAD are put together again into the articles they were cut from, and the service cuts these
into passages of several sizes. Questions are searched for: a size is good if the answer stands early in what
is found, counted in words read and not in passages, since long passages hold more. They are also put to
``extractive``, whose sentences are to come from the paragraph that the question was written for. Abstracts of
Cranfield are cut as well, and ranked as documents. Through HTTP.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from harness.answers import AnsweredQuestion, Told, chosen_articles, read_questions, scores_of_answer
from harness.client import Client, open_client
from harness.corpora import SEED, Corpus, SourceDocument, load_cranfield, load_squad, sample
from harness.load import run_clients
from harness.options import Options, parse_options
from harness.report import machine, print_table, write
from harness.service import MODEL, open_service
from retrieval_quality import WAYS, mean_scores_of

LARGEST = 256  # tokens the model takes, what stands around a passage included; the service's default is 128
SIZES, QUICK_SIZES = (32, 64, 128, LARGEST), (64, LARGEST)
FULL_QUESTIONS, QUICK_QUESTIONS = 500, 60
# Of --quick, Cranfield's questions and documents.
SAMPLE = {"questions": 25, "documents": 250}
# Words that somebody reads, or that a prompt takes.
READ = (100, 400)
HITS = 30
QUOTES = 3
CLIENTS = 4
BETWEEN = "\n\n"


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Where a passage of SQuAD stands: ``text[start:end]`` of an article."""

    article: str
    start: int
    end: int

    def holds(self, part: Mapping[str, Any]) -> bool:
        """Whether a hit or a source has something of it."""
        is_here: bool = part["start"] < self.end and self.start < part["end"]
        return is_here and bool(part["document_id"] == self.article)


def articles_of(corpus: Corpus) -> tuple[list[SourceDocument], dict[str, Paragraph]]:
    """Whole articles, and where each passage stands, by its id."""
    passages: defaultdict[str, list[SourceDocument]] = defaultdict(list)
    for passage in corpus.documents:
        passages[passage.title].append(passage)
    articles, paragraphs = [], {}
    for title, parts in passages.items():
        start = 0
        for part in parts:
            paragraphs[part.id] = Paragraph(title, start, start + len(part.text))
            start += len(part.text) + len(BETWEEN)
        articles.append(SourceDocument(title, title, BETWEEN.join(part.text for part in parts)))
    return articles, paragraphs


def read_up_to(words: int, hits: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The first hits, the last of them cut, that have so many words together."""
    for hit in hits:
        parts = hit["text"].split()[:words]
        yield {**hit, "text": " ".join(parts)}
        words -= len(parts)
        if words <= 0:
            return


def is_found(question: AnsweredQuestion, paragraph: Paragraph, hits: Iterator[Mapping[str, Any]]) -> bool:
    """Whether an answer stands in what is read of the paragraph that the question was written for."""
    answers = [" ".join(answer.split()) for answer in question.answers]
    return any(paragraph.holds(hit) and any(answer in hit["text"] for answer in answers) for hit in hits)


async def ask(client: Client, collection: str, question: AnsweredQuestion, at: Paragraph) -> dict[str, float]:
    """What a search and an answer are worth for one question."""
    hits = await client.search(collection, query=question.text, k=HITS, include=["text"])
    scores = {f"read {words}": float(is_found(question, at, read_up_to(words, hits))) for words in READ}
    told = Told.read(await client.answer(question.text, collection=collection, max_quotes=QUOTES))
    answered = scores_of_answer(question, told)["answered"]
    return scores | {"answered": answered, "cited": float(any(map(at.holds, told.sources)))}


async def measure(
    client: Client, size: int, squad: Corpus, cranfield: Corpus, questions: Sequence[AnsweredQuestion]
) -> dict[str, Any]:
    """One size: passages that came of the articles, means over all questions and over the kept half."""
    articles, paragraphs = articles_of(squad)
    chosen = chosen_articles(questions)
    options = {} if size == LARGEST else {"chunk_tokens": size}
    name, abstracts = f"squad-{size}", f"cranfield-{size}"
    await client.create_collection(name, token_vectors="2bit", **options)
    reports = await client.add_documents(name, articles)

    async def score(number: int) -> dict[str, float]:
        question = questions[number]
        return await ask(client, name, question, paragraphs[question.document_id])

    scores = await run_clients(score, clients=CLIENTS, requests=len(questions))
    kept = [each for each, one in zip(scores, questions, strict=True) if one.article not in chosen]
    await client.create_collection(abstracts, **options)
    await client.add_documents(abstracts, cranfield.documents)
    ranked = await mean_scores_of(client, abstracts, cranfield, WAYS["hybrid"])
    return {
        "passages": sum(report["passages"] for report in reports),
        **{measure: fmean(each[measure] for each in scores) for measure in scores[0]},
        "kept half": {measure: fmean(each[measure] for each in kept) for measure in scores[0]},
        "cranfield ndcg@10": ranked["ndcg@10"],
    }


async def run(options: Options) -> None:
    """Runs the bench and reports."""
    before, squad, cranfield = machine(), load_squad(options.data), load_cranfield(options.data)
    asked = [one for one in read_questions(options.data / "squad" / "questions.jsonl.gz") if one.answers]
    count = QUICK_QUESTIONS if options.quick else FULL_QUESTIONS
    questions = random.Random(SEED).sample(asked, count)
    if options.quick:
        cranfield = sample(cranfield, **SAMPLE)
    sizes = QUICK_SIZES if options.quick else SIZES
    async with open_service() as service, open_client(service.url) as client:
        figures = {str(size): await measure(client, size, squad, cranfield, questions) for size in sizes}
    report(figures, count)
    settings = {"quick": options.quick, "model": MODEL, "questions": count, "seed": SEED}
    write(options.out, {"sizes": figures}, settings | {"hits": HITS, "quotes": QUOTES}, before)


def report(figures: dict[str, Any], count: int) -> None:
    measures = [name for name in next(iter(figures.values())) if name not in ("passages", "kept half")]
    rows = [
        [size, f"{each['passages']:,}", *(f"{each[name]:.3f}" for name in measures)]
        for size, each in figures.items()
    ]
    print_table(f"{count} questions, by the tokens of a passage", ["tokens", "passages", *measures], rows)


if __name__ == "__main__":
    asyncio.run(run(parse_options("chunk_sizes", "Search and answers by the size of passages.")))
