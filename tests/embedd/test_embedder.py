"""The embedder over real worker processes, mostly of the fake model, which are told to hold."""

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
from fake_models import batches, expected, open_fake, until
from tiny_models import MAX_TOKENS, build_embedding_model

from embedd.embedder import Embedder, Lane, ModelLimits, Truncated, open_embedder
from embedd.errors import (
    DeadlineExceeded,
    InvalidInput,
    Overloaded,
)
from embedd.fake import FakeTokenizer
from embedd.specs import parse_spec

TEXTS = ["one red fox", "two red foxes in the snow", "three"]


async def test_texts_become_vectors_in_order(tmp_path: Path) -> None:
    async with open_fake(tmp_path) as embedder:
        answer = await embedder.embed(TEXTS)
    np.testing.assert_array_equal(answer.vectors, expected(TEXTS))
    assert answer.tokens == (5, 8, 3)
    assert answer.truncated == ()


async def test_no_texts_are_no_vectors(tmp_path: Path) -> None:
    async with open_fake(tmp_path) as embedder:
        assert (await embedder.embed([])).vectors.shape == (0, 64)


async def test_a_prompt_is_put_in_front(tmp_path: Path) -> None:
    async with open_fake(tmp_path) as embedder:
        answer = await embedder.embed(["fox"], prompt="query: ")
    np.testing.assert_array_equal(answer.vectors, expected(["query: fox"]))


async def test_token_ids_stand_for_the_text_they_were_made_from(tmp_path: Path) -> None:
    ids = [one.ids.tolist() for one in FakeTokenizer().encode(TEXTS, 256, "end")]
    async with open_fake(tmp_path) as embedder:
        answer = await embedder.embed([ids[0], TEXTS[1], ids[2][1:-1], ids[1]])
        prompted = await embedder.embed([ids[0], TEXTS[0]], prompt="query: ")
    np.testing.assert_array_equal(answer.vectors, expected([TEXTS[0], TEXTS[1], TEXTS[2], TEXTS[1]]))
    assert answer.tokens == (5, 8, 3, 8)
    np.testing.assert_array_equal(prompted.vectors, expected(["query: " + TEXTS[0]] * 2))


async def test_token_ids_are_cut_and_reported_by_their_place_in_the_request(tmp_path: Path) -> None:
    async with open_fake(tmp_path) as embedder:
        answer = await embedder.embed(["short", [7] * 300])
        assert answer.truncated == (Truncated(index=1, tokens=302, kept=256),)
        with pytest.raises(InvalidInput, match="input 1 has the token id -5"):
            await embedder.embed(["short", [-5], "other"])
        with pytest.raises(InvalidInput, match="input 2 is empty"):
            await embedder.embed(["short", [5], []])


async def test_of_a_far_too_long_text_it_is_told_that_it_was_cut(tmp_path: Path) -> None:
    async with open_embedder(parse_spec("all-MiniLM-L6-v2")) as embedder:
        answer = await embedder.embed(["short", "word " * 200_000])
    (cut,) = answer.truncated
    assert (cut.index, cut.kept, cut.exact) == (1, 256, False)
    assert cut.tokens > 256
    assert answer.tokens == (3, 256)


async def test_a_decoder_reads_prompts_and_cuts_texts_as_sentence_transformers_does(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - the other tests need not wait

    folder = build_embedding_model(tmp_path, "lasttoken", family="qwen3")
    settings = folder / "config_sentence_transformers.json"
    settings.write_text(json.dumps({"prompts": {"query": "what ran : ", "passage": "unused"}}))
    reference = SentenceTransformer(str(folder), device="cpu")
    texts = ["the red fox", "a river stands high " * 20]
    async with open_embedder(parse_spec(str(folder), dtype="float32")) as embedder:
        prompts = embedder.card.prompts
        questions = await embedder.embed(texts, prompt=prompts["query"])
        documents = await embedder.embed(texts, prompt=prompts["document"])
    np.testing.assert_allclose(questions.vectors, reference.encode_query(texts), atol=1e-5)
    np.testing.assert_allclose(documents.vectors, reference.encode_document(texts), atol=1e-5)
    assert questions.truncated == (Truncated(1, 85, MAX_TOKENS),)


async def test_a_cut_text_is_reported(tmp_path: Path) -> None:
    async with open_fake(tmp_path) as embedder:
        answer = await embedder.embed(["short", "word " * 300])
        assert answer.truncated == (Truncated(index=1, tokens=302, kept=256),)
        with pytest.raises(InvalidInput, match="input 1 has 302 tokens, the model takes 256"):
            await embedder.embed(["short", "word " * 300], truncate="none")


@pytest.mark.parametrize("blank", ["", "  \n\t"])
async def test_an_empty_text_refuses_the_request(tmp_path: Path, blank: str) -> None:
    async with open_fake(tmp_path) as embedder:
        with pytest.raises(InvalidInput, match="input 1 is empty"):
            await embedder.embed(["full", blank])


async def test_concurrent_requests_share_batches_and_keep_their_own_answers(tmp_path: Path) -> None:
    texts = [f"text number {n} " + "and more " * (n % 7) for n in range(200)]
    (tmp_path / "hold").touch()
    async with open_fake(tmp_path, ModelLimits(max_batch_tokens=400, batches_in_flight=1)) as embedder:
        await embedder.wait_ready()
        calls = [asyncio.ensure_future(embedder.embed([text])) for text in texts]
        await until((tmp_path / "batches").exists)
        (tmp_path / "hold").unlink()
        answers = await asyncio.gather(*calls)
    np.testing.assert_array_equal(np.concatenate([answer.vectors for answer in answers]), expected(texts))
    assert max(batches(tmp_path)) <= 400
    assert len(batches(tmp_path)) < 20


async def test_a_large_request_is_tokenised_in_slices_and_answered_in_order(tmp_path: Path) -> None:
    texts = [f"document {n} " + "padding " * (n % 50) for n in range(300)]
    async with open_fake(tmp_path) as embedder:
        answer = await embedder.embed(texts, lane=Lane.BULK)
        np.testing.assert_array_equal(answer.vectors, expected(texts))
        with pytest.raises(InvalidInput, match="input 299 has"):
            await embedder.embed([*texts[:299], "word " * 300], lane=Lane.BULK, truncate="none")


async def test_a_person_is_served_before_the_jobs_that_wait(tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    limits = ModelLimits(max_batch_tokens=10, batches_in_flight=1)
    order: list[str] = []
    async with open_fake(tmp_path, limits) as embedder, asyncio.TaskGroup() as group:

        async def ask(name: str, lane: Lane) -> None:
            await embedder.embed([name], lane=lane)
            order.append(name)

        await embedder.wait_ready()
        group.create_task(ask("running", Lane.BULK))
        await until((tmp_path / "batches").exists)
        jobs = [group.create_task(ask(f"job{n} a b c d", Lane.BULK)) for n in range(3)]
        person = group.create_task(ask("person a b c d", Lane.INTERACTIVE))
        await until(lambda: embedder.waiting_tokens(Lane.INTERACTIVE) > 0)
        (tmp_path / "hold").unlink()
        await asyncio.gather(person, *jobs)
    assert order == ["running", "person a b c d", "job0 a b c d", "job1 a b c d", "job2 a b c d"]


async def test_too_much_waiting_refuses_the_whole_request(tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    limits = ModelLimits(max_batch_tokens=10, max_waiting_tokens=50, batches_in_flight=1)
    async with open_fake(tmp_path, limits) as embedder:
        await embedder.wait_ready()
        calls = [asyncio.ensure_future(embedder.embed(["running"]))]
        await until((tmp_path / "batches").exists)
        calls += [asyncio.ensure_future(embedder.embed([f"{n} b c d e f g h"])) for n in range(5)]
        await until(lambda: embedder.waiting_tokens(Lane.INTERACTIVE) == 50)
        with pytest.raises(Overloaded, match="50 tokens waiting, limit 50") as refusal:
            await embedder.embed(["x"])
        assert refusal.value.retry_after_s > 0
        await embedder_answers(embedder, tmp_path, calls)


async def embedder_answers(embedder: Embedder, faults: Path, calls: list[asyncio.Future[object]]) -> None:
    """Lets the held batches go: all admitted calls are answered and new ones are let in."""
    (faults / "hold").unlink()
    await asyncio.gather(*calls)
    await embedder.embed(["x"])


async def test_a_departed_client_costs_no_batch(tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    limits = ModelLimits(max_batch_tokens=10, batches_in_flight=1)
    async with open_fake(tmp_path, limits) as embedder:
        await embedder.wait_ready()
        running = asyncio.ensure_future(embedder.embed(["running"]))
        await until((tmp_path / "batches").exists)
        leaving = asyncio.ensure_future(embedder.embed(["a b c d e f"]))
        staying = asyncio.ensure_future(embedder.embed(["a b c"]))
        await until(lambda: embedder.waiting_tokens(Lane.INTERACTIVE) == 13)
        leaving.cancel()
        await asyncio.wait([leaving])
        (tmp_path / "hold").unlink()
        await asyncio.gather(running, staying)
    assert batches(tmp_path) == [3, 5]


async def test_a_deadline_ends_the_wait(tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    async with open_fake(tmp_path) as embedder:
        await embedder.wait_ready()
        with pytest.raises(DeadlineExceeded, match=r"1 inputs were not answered within 0\.05 s"):
            await embedder.embed(["slow"], deadline_s=0.05)
        (tmp_path / "hold").unlink()
        await embedder.embed(["next"])


async def test_a_row_that_is_not_finite_is_named_and_its_neighbours_are_answered(tmp_path: Path) -> None:
    (tmp_path / "bad").touch()
    async with open_fake(tmp_path, ModelLimits(batches_in_flight=1)) as embedder:
        outcomes = await asyncio.gather(
            embedder.embed(["x"]), embedder.embed(["a b c"]), return_exceptions=True
        )
    assert isinstance(outcomes[0], InvalidInput)
    assert str(outcomes[0]) == "input 0 has no finite embedding"
    assert not isinstance(outcomes[1], BaseException)
