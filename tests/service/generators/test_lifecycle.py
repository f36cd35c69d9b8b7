"""Generators come, are listed and measured, are left by their clients, die, and come back."""

import asyncio
import json
from typing import Any

from aiohttp.test_utils import TestClient
from asking import Ask
from chat_bodies import CHAT, COMPLETIONS, asking
from fake_models import until
from upstreams import Upstream, falling_silent

from api.services.container import Services


async def test_every_generator_is_listed_with_its_state(ask: Ask, docs: str) -> None:
    assert docs == "docs"
    info = await ask("GET", "/v1/info")
    assert info["generator"] == "fake-llm"
    states = {
        one["name"]: (one["status"], one.get("source"), one.get("context"))
        for one in info["models"]
        if one["kind"] == "generator"
    }
    assert states["fake-llm"] == ("ready", "fake:llm", 4096)
    assert states["cloud"][1].startswith("openai:big-model@http://127.0.0.1:")
    assert states["none-such"][0] == "failed"
    names = [model["id"] for model in (await ask("GET", "/v1/models"))["data"]]
    assert {"fake-llm", "fake-llm@docs", "cloud", "cloud@docs", "extractive@docs"} <= set(names)
    (note,) = (await ask("GET", "/readyz"))["notes"]
    assert "generator 'none-such' is failed" in note


async def test_a_client_that_leaves_ends_its_answer(
    client: TestClient[Any, Any], services: Services, upstream: Upstream
) -> None:
    for streamed in (True, False):
        pending = asyncio.ensure_future(
            client.post(CHAT, json=asking("forever:", max_tokens=4000, stream=streamed))
        )
        generator: Any = services.models.generator("fake-llm")
        await until(lambda it=generator: it.running)
        if pending.done():
            pending.result().close()
        pending.cancel()
        await until(lambda it=generator: not it.running)
    response = await client.post(
        COMPLETIONS, json={"prompt": ["forever:", "forever:"], "max_tokens": 2000, "stream": True}
    )
    response.close()
    await until(lambda it=generator: not it.running)
    upstream.behave = falling_silent("Six ")
    response = await client.post(CHAT, json=asking("When?", model="cloud", stream=True))
    response.close()
    await until(lambda: upstream.left)


async def test_a_dead_worker_is_told_and_replaced(client: TestClient[Any, Any], ask: Ask) -> None:
    response = await client.post(CHAT, json=asking("die:", stream=True))
    *_, last = (await response.text()).strip().split("\n\n")
    assert "SIGKILL" in json.loads(last.removeprefix("data: "))["error"]["message"]
    refused = await client.post(CHAT, json=asking("die:"))
    assert (refused.status, int(refused.headers["Retry-After"]) > 0) == (503, True)
    assert (await ask("POST", CHAT, asking("say: on")))["choices"][0]["message"]["content"] == "on"


async def test_what_a_model_does_is_measured(client: TestClient[Any, Any], ask: Ask) -> None:
    for _ in range(2):
        await ask("POST", CHAT, asking("say: Six o'clock."))
    page = await (await client.get("/metrics")).text()
    lines = [line for line in page.splitlines() if 'model="fake-llm"' in line]
    values = {line.split("{")[0]: float(line.split()[-1]) for line in lines if "le=" not in line}
    assert values["embedd_time_to_first_token_seconds_count"] == 2
    assert values["embedd_inter_token_latency_seconds_count"] == 2 * (len("Six o'clock.") - 1)
    assert values["embedd_prefix_hit_tokens_total"] > 0
    assert values["embedd_spec_accepted_tokens_total"] == 6
    assert values["embedd_generation_workers_live"] == 1
    assert values["embedd_kv_cache_usage_ratio"] == 0
