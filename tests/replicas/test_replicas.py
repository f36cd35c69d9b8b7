"""Whichever replica is asked: it is the same service."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from postgres_server import PostgresServer
from replica_pair import Replica, until


def text_of(n: int) -> dict[str, Any]:
    return {"id": f"d{n}", "text": f"Spring tides come {n} days behind the new moon."}


def test_what_one_writes_the_other_finds(one: Replica, two: Replica, docs: str) -> None:
    outcome = one.ask("POST", f"{docs}/documents?wait=true", {"documents": [text_of(n) for n in range(5)]})
    assert {each["status"] for each in outcome["documents"]} == {"ready"}
    hits = two.ask("POST", f"{docs}/search", {"query": "tides 3 days", "k": 5})["hits"]
    assert {hit["document_id"] for hit in hits} == {f"d{n}" for n in range(5)}
    assert docs.rpartition("/")[2] in [
        each["name"] for each in two.ask("GET", "/v1/collections")["collections"]
    ]


def test_a_conversation_that_began_at_one_goes_on_at_the_other(one: Replica, two: Replica) -> None:
    id = one.ask("POST", "/v1/conversations", {}, status=201)["id"]
    for number, replica in enumerate((one, two, one)):
        messages = [{"role": "user", "content": f"question {number}"}]
        replica.ask("POST", "/v1/chat/completions", {"conversation": id, "messages": messages})
    kept = two.ask("GET", f"/v1/conversations/{id}/messages")["messages"]
    assert [message["content"] for message in kept[::2]] == [f"question {n}" for n in range(3)]


def test_a_key_that_one_makes_opens_the_other_and_one_that_it_revokes_does_not(
    one: Replica, two: Replica
) -> None:
    made = one.ask("POST", "/v1/keys", {"name": "app"}, status=201)
    headers = {"Authorization": f"Bearer {made['key']}"}

    def status() -> int:
        return two.http.get("/v1/models", headers=headers).status_code

    until(lambda: status() == 200)
    one.ask("DELETE", f"/v1/keys/{made['id']}")
    until(lambda: status() == 401)


def test_an_alias_that_one_moves_leads_elsewhere_at_the_other(one: Replica, two: Replica, docs: str) -> None:
    name = docs.rpartition("/")[2]
    one.ask("PUT", "/v1/collections/moved-to", {"description": "the new one"}, status=201)
    one.ask("PUT", "/v1/aliases/live", {"collection": name}, status=201)
    assert two.ask("GET", "/v1/collections/live")["name"] == name
    one.ask("PUT", "/v1/aliases/live", {"collection": "moved-to"})
    until(lambda: two.ask("GET", "/v1/collections/live")["name"] == "moved-to")
    two.ask("DELETE", "/v1/collections/moved-to")
    until(lambda: one.http.get("/v1/collections/live").status_code == 404)


def test_a_request_that_both_get_with_one_key_is_carried_out_once(
    one: Replica, two: Replica, docs: str
) -> None:
    def send(replica: Replica) -> Any:
        body = {"documents": [text_of(n) for n in range(20)]}
        path, headers = f"{docs}/documents?wait=true", {"Idempotency-Key": "once"}
        return replica.ask("POST", path, body, headers=headers)

    with ThreadPoolExecutor() as threads:
        answers = list(threads.map(send, (one, two, one, two)))
    assert all(answer == answers[0] for answer in answers)
    versions = [each["version"] for each in two.ask("GET", f"{docs}/documents")["documents"]]
    assert versions == [1] * 20


def test_a_quota_is_granted_once_by_all(one: Replica, two: Replica) -> None:
    made = one.ask("POST", "/v1/keys", {"name": "slow", "requests_per_minute": 6}, status=201)
    headers = {"Authorization": f"Bearer {made['key']}"}
    until(lambda: two.http.get("/v1/models", headers=headers).status_code == 200)

    def send(n: int) -> httpx.Response:
        return (one, two)[n % 2].http.get("/v1/models", headers=headers)

    statuses = [send(n).status_code for n in range(8)]
    assert statuses.count(429) >= 2
    assert statuses.count(200) <= 6  # as it fills up on the way
    assert "retry-after" in send(0).headers or send(1).status_code == 429


def test_a_model_that_is_added_at_one_is_opened_by_the_other_and_goes_with_it(
    one: Replica, two: Replica
) -> None:
    one.ask("POST", "/v1/models", {"source": "fake", "name": "second"}, status=202)

    def embeds(replica: Replica) -> bool:
        body = {"model": "second", "input": "tides"}
        return replica.http.post("/v1/embeddings", json=body).status_code == 200

    until(lambda: embeds(one) and embeds(two))
    two.ask("DELETE", "/v1/models/second")
    until(lambda: not embeds(one) and not embeds(two))


def test_weights_that_one_exchanges_are_the_others_too(one: Replica, two: Replica) -> None:
    one.ask("POST", "/v1/models", {"source": "fake", "name": "other"}, status=202)

    def models() -> list[dict[str, Any]]:
        return [each.http.get("/v1/models/other").json() for each in (one, two)]

    until(lambda: [model.get("status") for model in models()] == ["ready", "ready"])
    before = [model["created_at"] for model in models()]
    one.ask("PUT", "/v1/models/other", {"allow_pickle": True}, status=202)
    until(lambda: all(model["allow_pickle"] and "coming" not in model for model in models()))
    assert [model["status"] for model in models()] == ["ready", "ready"]
    assert before[0] != models()[0]["created_at"] == models()[1]["created_at"]
    two.ask("PUT", "/v1/models/other", {"source": "fake-reranker"}, status=202)
    # Both load what was there before once more.
    until(lambda: all("coming" not in model and model["source"] == "fake" for model in models()), within_s=60)
    assert [model["status"] for model in models()] == ["ready", "ready"]
    two.ask("DELETE", "/v1/models/other")


def test_a_file_that_was_sent_to_one_can_be_followed_at_the_other(
    one: Replica, two: Replica, docs: str
) -> None:
    content = b"# Tides\n\n" + b"The moon pulls the sea. " * 10_000
    response = one.http.post(f"{docs}/documents", files={"file": ("tides.md", content, "text/markdown")})
    assert response.status_code == 202
    job = response.json()["job"]["id"]
    with two.http.stream("GET", f"/v1/jobs/{job}/events") as events:
        told = [line.removeprefix("data: ") for line in events.iter_lines() if line.startswith("data: {")]
    assert json.loads(told[-1])["status"] == "finished"
    stored = two.ask("GET", f"{docs}/documents/tides.md?include=text")
    assert stored["characters"] > 200_000
    assert stored["version"] == 1


def test_while_the_database_is_away_nobody_is_ready_and_then_everybody_is(
    one: Replica, two: Replica, docs: str, postgres: PostgresServer
) -> None:
    def standing(replica: Replica) -> Any:
        return replica.http.get("/readyz").json()

    def is_up(replica: Replica) -> bool:
        return 'embedd_store_up{store="catalog"} 1.0' in replica.http.get("/metrics").text

    assert is_up(one)
    postgres.stop()
    try:
        for replica in (one, two):
            until(lambda replica=replica: not standing(replica)["ready"])
        assert "the catalog cannot be used" in standing(one)["reasons"][0]
        assert not is_up(one)
        refused = one.http.post(f"{docs}/search", json={"query": "tides"})
        assert refused.status_code == 503
        assert "retry-after" in refused.headers
    finally:
        postgres.start()
    for replica in (one, two):
        until(lambda replica=replica: standing(replica)["ready"])
    assert two.ask("POST", f"{docs}/search", {"query": "tides"})["hits"] == []
