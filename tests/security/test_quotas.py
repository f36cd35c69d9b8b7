"""Keys with quotas get what they may in a minute, hear what is left, and when there is more."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from asking import expect

from api.errors import QuotaExceeded
from api.security.identity import ANONYMOUS, Identity, Quota, Scope
from api.security.quotas import LocalQuotas, metered

Client = TestClient[Any, Any]

QUESTION = [{"role": "user", "content": "When does the harbour open?"}]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def caller(requests: int | None = None, tokens: int | None = None) -> Identity:
    return Identity("caller", Scope.READ.included(), quota=Quota(requests, tokens))


async def test_requests_are_given_back_evenly() -> None:
    clock = Clock()
    quotas, one = LocalQuotas(clock), caller(requests=6)
    for _ in range(6):
        await quotas.admit(one)
    with pytest.raises(QuotaExceeded) as refused:
        await quotas.admit(one)
    assert refused.value.retry_after_s == pytest.approx(10)
    clock.now += 10
    await quotas.admit(one)
    with pytest.raises(QuotaExceeded):
        await quotas.admit(one)
    clock.now += 3600
    assert quotas.standings(one)[0].remaining == 6


async def test_overdrawn_tokens_are_waited_for() -> None:
    clock = Clock()
    quotas, one = LocalQuotas(clock), caller(tokens=60)
    await quotas.admit(one)
    quotas.spend(one, 100)
    with pytest.raises(QuotaExceeded) as refused:
        await quotas.admit(one)
    assert refused.value.retry_after_s == pytest.approx(41)
    assert quotas.standings(one)[0].remaining == 0
    clock.now += 41
    await quotas.admit(one)


async def test_whoever_has_no_quota_has_no_bucket() -> None:
    quotas = LocalQuotas()
    for _ in range(1000):
        await quotas.admit(ANONYMOUS)
        quotas.spend(ANONYMOUS, 10**9)
    assert quotas.standings(ANONYMOUS) == []
    assert not quotas._buckets


async def test_whoever_leaves_a_stream_has_paid_for_what_came() -> None:
    async def events() -> AsyncGenerator[int, None]:
        for number in (0, 0, 0, 10):
            yield number

    quotas, one = LocalQuotas(Clock()), caller(tokens=100)
    stream = metered(quotas, one, events(), lambda total: total or None)
    await anext(stream)
    await anext(stream)
    await stream.aclose()
    assert quotas.standings(one)[0].remaining == 98
    assert [event async for event in metered(quotas, one, events(), lambda total: total or None)]
    assert quotas.standings(one)[0].remaining == 88


async def test_one_request_too_many_is_429_and_says_when_to_come_back(client: Client, make_key: Any) -> None:
    headers = await make_key(requests_per_minute=2)
    for left in (1, 0):
        response = await client.get("/v1/models", headers=headers)
        assert response.status == 200
        assert response.headers["x-ratelimit-limit-requests"] == "2"
        assert response.headers["x-ratelimit-remaining-requests"] == str(left)
    refused = await client.get("/v1/models", headers=headers)
    assert (await expect(refused, 429))["error"]["code"] == "rate_limit_exceeded"
    assert 1 <= int(refused.headers["Retry-After"]) <= 30
    assert refused.headers["x-ratelimit-reset-requests"].endswith("s")
    await expect(await client.get("/v1/models", headers=await make_key()), 200)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"model": "fake", "input": "a few words are enough"}),
        ("/embed", {"inputs": "a few words are enough"}),
        ("/v1/rerank", {"query": "words", "documents": ["a few", "are enough"]}),
        ("/v1/chat/completions", {"messages": QUESTION, "retrieval": {"collection": "open"}, "stream": True}),
        ("/v1/chat/completions", {"messages": QUESTION, "retrieval": {"collection": "open"}}),
    ],
)
async def test_tokens_of_models_are_paid_for(
    client: Client, make_key: Any, path: str, body: dict[str, Any]
) -> None:
    headers = await make_key(tokens_per_minute=1)
    first = await client.post(path, json=body, headers=headers)
    assert first.status == 200, await first.text()
    assert first.headers["x-ratelimit-limit-tokens"] == "1"
    await first.read()
    assert (await client.post(path, json=body, headers=headers)).status == 429


async def test_questions_over_a_socket_are_requests_too(client: Client, make_key: Any) -> None:
    headers = await make_key(requests_per_minute=2)  # one is the connection
    async with client.ws_connect("/v1/chat", headers=headers) as socket:
        codes = []
        for id in ("a", "b"):
            await socket.send_json(
                {"type": "ask", "id": id, "messages": QUESTION, "model": "extractive@open"}
            )
            while (frame := await socket.receive_json())["type"] == "chunk":
                pass
            codes.append(frame.get("error", {}).get("code"))
    assert codes == [None, "rate_limit_exceeded"]
