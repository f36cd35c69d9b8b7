"""What does each tokenizer find, by words alone, in twelve languages?

XQuAD goes into a real service through HTTP, one collection for each language and tokenizer, and every
question is asked in lexical mode. Reported: nDCG@10, the mean over the questions. No model is loaded: points
bring a vector that says nothing.
"""

import asyncio
from typing import Any

from harness.client import Client, open_client
from harness.corpora import SEED, Corpus, load_xquad, sample
from harness.load import run_clients
from harness.metrics import mean_scores, scores_of
from harness.options import Options, parse_options
from harness.report import machine, print_table, write
from harness.service import open_service

TOKENIZERS = ("porter", "unicode61", "trigram")
DEPTH = 10
CLIENTS = 4
# Of --quick, for each language.
QUESTIONS = 60


async def evaluate(client: Client, corpus: Corpus, tokenizer: str) -> dict[str, float]:
    """The mean scores of all questions of ``corpus``, asked of a new collection with this tokenizer."""
    name = f"{corpus.name}-{tokenizer}"
    await client.create_collection(name, dim=1, tokenizer=tokenizer)
    points = [{"id": d.id, "vector": [1], "title": d.title, "text": d.text} for d in corpus.documents]
    await client.add_points(name, points)

    async def score(number: int) -> dict[str, float]:
        question = corpus.questions[number]
        hits = await client.search(name, query=question.text, k=DEPTH, mode="lexical", include=[])
        return scores_of([hit["document_id"] for hit in hits], question.gains)

    return mean_scores(await run_clients(score, clients=CLIENTS, requests=len(corpus.questions)))


async def run(options: Options) -> None:
    """Runs the bench and reports."""
    before = machine()
    figures: dict[str, Any] = {}
    async with open_service(model="none") as service, open_client(service.url) as client:
        for language, corpus in load_xquad(options.data).items():
            asked = QUESTIONS if options.quick else len(corpus.questions)
            some = sample(corpus, questions=asked, documents=len(corpus.documents))
            figures[language] = {name: await evaluate(client, some, name) for name in TOKENIZERS}
    cells = [
        [language, *(f"{scores[name]['ndcg@10']:.3f}" for name in TOKENIZERS)]
        for language, scores in figures.items()
    ]
    print_table("XQuAD by words alone, nDCG@10", ["language", *TOKENIZERS], cells)
    settings = {"quick": options.quick, "depth": DEPTH, "clients": CLIENTS, "seed": SEED}
    write(options.out, figures, settings, before)


if __name__ == "__main__":
    asyncio.run(run(parse_options("languages", "What each tokenizer finds, by language.")))
