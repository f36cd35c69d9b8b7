"""What do tags of who asks, and a filter, cost a hybrid search?

Passages of SQuAD, Cranfield and NPL with their embeddings, made more by perturbing the embeddings, go into a
collection in this process. Nine of ten have tags, of twenty groups; a question is asked by somebody who is in
three of them, with a filter that half of the passages match. Reported beside each other: searches without
either, with one, and with both, in turns. No question is asked twice, since words are remembered.
Embedding it is not part of a search.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from itertools import cycle, product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from harness.corpora import SEED, load_cranfield, load_npl, load_squad
from harness.grown import DIM, FULL_TEXTS, QUICK_TEXTS, Matrix, embedded, grown
from harness.metrics import percentiles_ms
from harness.options import Options, parse_options
from harness.report import machine, print_table, write
from index.catalog import open_catalog
from index.collection import Collection
from index.filters import AllOf, Filter, parse_filter, visible_to
from index.rows import CollectionSettings, Document, Passage, Query

K = 10
GROUPS = 20
HELD = 3
FULL_SEARCHES = 1_000
QUICK_SEARCHES = 250
ROWS_PER_WRITE = 1_000
FULL_ROWS = 100_000
QUICK_ROWS = 12_000


KINDS = list(product((False, True), (False, True)))
"""Of searches: with a filter, with tags."""


def texts_and_questions(options: Options) -> tuple[list[str], list[str]]:
    """Those whose embeddings ``embedded`` gives, in its order, and as many more questions as are asked."""
    corpora = [load(options.data) for load in (load_squad, load_cranfield, load_npl)]
    dice = random.Random(SEED)
    texts = [document.text for corpus in corpora for document in corpus.documents]
    asked = [question.text for corpus in corpora for question in corpus.questions]
    count = QUICK_TEXTS if options.quick else FULL_TEXTS
    searches = QUICK_SEARCHES if options.quick else FULL_SEARCHES
    return dice.sample(texts, min(count, len(texts))), dice.sample(asked, len(KINDS) * searches)


async def store(collection: Collection, vectors: Matrix, texts: Sequence[str], rows: int) -> None:
    """Writes all rows as points, and waits for the graph."""
    dice = random.Random(SEED)
    for start in range(0, rows, ROWS_PER_WRITE):
        some = range(start, min(start + ROWS_PER_WRITE, rows))
        drawn = await asyncio.to_thread(grown, vectors, some)
        points = zip(some, drawn, strict=True)
        await collection.upsert([point(n, texts[n % len(texts)], vector, dice) for n, vector in points])
    await collection.graph_settled()


def point(number: int, text: str, vector: Matrix, dice: random.Random) -> Document:
    """One of ten is for everybody, the others for one group or two."""
    acl = (
        ()
        if dice.random() < 0.1
        else tuple(f"group-{dice.randrange(GROUPS)}" for _ in range(dice.choice((1, 2))))
    )
    passage = Passage(text, 0, len(text), vector)
    return Document(str(number), "", None, {"half": number % 2}, (passage,), is_point=True, acl=acl)


def condition(dice: random.Random, *, filtered: bool, tagged: bool) -> Filter | None:
    """What is asked for in one question."""
    parts: list[Filter] = [parse_filter({"half": dice.randrange(2)})] if filtered else []
    if tagged:
        parts.append(visible_to([f"group-{group}" for group in dice.sample(range(GROUPS), HELD)]))
    return AllOf(tuple(parts)) if parts else None


async def measure(
    collection: Collection, vectors: Matrix, questions: Sequence[str]
) -> list[dict[str, float]]:
    """Milliseconds of each kind, taken in turns."""
    times: dict[tuple[bool, bool], list[float]] = {kind: [] for kind in KINDS}
    dice = random.Random(SEED)
    for filtered, tagged in KINDS:  # the first reads the columns
        await collection.search(
            Query(1, vectors[0], filter=condition(dice, filtered=filtered, tagged=tagged))
        )
    for kind, text, vector in zip(cycle(KINDS), questions, cycle(vectors), strict=False):
        filtered, tagged = kind
        tree = condition(dice, filtered=filtered, tagged=tagged)
        started = time.perf_counter()
        found = await collection.search(Query(K, vector=vector, text=text, mode="hybrid", filter=tree))
        assert len(found.hits) == K, "a filter lost results"
        times[kind].append(time.perf_counter() - started)
    return [{"filter": kind[0], "acl": kind[1], **percentiles_ms(times[kind])} for kind in KINDS]


async def run(options: Options) -> None:
    """Runs the bench and reports."""
    before, rows = machine(), QUICK_ROWS if options.quick else FULL_ROWS
    vectors, asked = await embedded(options)
    texts, questions = texts_and_questions(options)
    with TemporaryDirectory() as folder:
        async with open_catalog(Path(folder)) as catalog:
            collection, _ = await catalog.create(CollectionSettings("rows", DIM))
            await store(collection, vectors, texts, rows)
            figures = await measure(collection, np.asarray(asked), questions)
    print_table(
        f"hybrid search over {rows} passages",
        ["filter", "acl", "p50 ms", "p95 ms", "p99 ms"],
        [
            [
                str(each["filter"]),
                str(each["acl"]),
                *(f"{each[name]:.1f}" for name in ("p50_ms", "p95_ms", "p99_ms")),
            ]
            for each in figures
        ],
    )
    settings = {"quick": options.quick, "rows": rows, "k": K, "groups": GROUPS, "held": HELD, "seed": SEED}
    write(options.out, {"searches": figures}, settings, before)


if __name__ == "__main__":
    asyncio.run(run(parse_options("acl_search", "Latency of hybrid search with tags and filter.")))
