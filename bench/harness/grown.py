"""Real embeddings, and as many rows as one likes grown from them by perturbing."""

import itertools
import math
import random
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.client import Client, open_client
from harness.corpora import SEED, load_cranfield, load_npl, load_squad
from harness.load import run_clients
from harness.options import Options
from harness.service import MODEL, open_service

Matrix: TypeAlias = npt.NDArray[np.float32]

DIM: Final = 384
FULL_TEXTS: Final = 14_000
QUICK_TEXTS: Final = 1_200
QUESTIONS: Final = 200
# How far a perturbed row is from the one it was made of: a cosine of about 0.8.
NOISE: Final = 0.75
_TEXTS_PER_REQUEST: Final = 64


async def embedded(options: Options) -> tuple[Matrix, Matrix]:
    """Vectors of documents (n, dim) and of 200 questions, some of each corpus, in a random order.

    They are kept beside the results, since several benches need the same.
    """
    texts = QUICK_TEXTS if options.quick else FULL_TEXTS
    kept = options.out.parent / f"embedded-{MODEL}-{texts}.npz"
    if not kept.exists():
        documents, questions = await _embed_corpora(options, texts)
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept, documents=documents, questions=questions)
    with np.load(kept) as arrays:
        return arrays["documents"], arrays["questions"]


async def _embed_corpora(options: Options, count: int) -> tuple[Matrix, Matrix]:
    corpora = [load(options.data) for load in (load_squad, load_cranfield, load_npl)]
    dice = random.Random(SEED)
    texts = [document.text for corpus in corpora for document in corpus.documents]
    asked = [question.text for corpus in corpora for question in corpus.questions]
    async with open_service() as service, open_client(service.url) as client:
        documents = await _embed(client, dice.sample(texts, min(count, len(texts))))
        return documents, await _embed(client, dice.sample(asked, QUESTIONS))


async def _embed(client: Client, texts: Sequence[str]) -> Matrix:
    starts = range(0, len(texts), _TEXTS_PER_REQUEST)
    batches = [texts[start : start + _TEXTS_PER_REQUEST] for start in starts]
    answers = await run_clients(lambda n: client.embed(batches[n]), clients=2, requests=len(batches))
    return unit(np.array(list(itertools.chain.from_iterable(answers))))


def grown(documents: Matrix, numbers: Sequence[int], generation: int = 0) -> Matrix:
    """Rows by number, the same for the same first number and generation: each an embedding, perturbed."""
    dice = np.random.default_rng([SEED, generation, *numbers[:1]])
    noise = dice.normal(size=(len(numbers), documents.shape[1])) * (NOISE / math.sqrt(documents.shape[1]))
    return unit(documents[np.array(numbers) % len(documents)] + noise)


def unit(rows: npt.NDArray[np.floating[Any]]) -> Matrix:
    scaled: Matrix = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return scaled
