"""kill -9 while a collection is embedded again: the job goes on, and nothing is missing or there twice."""

import time
from typing import Any

import httpx
import pytest
from real_service import Launcher

DOCUMENTS = 600
KILLS = 3

pytestmark = pytest.mark.thorough


def text_behind(kill: int) -> str:
    return f"Changed behind kill {kill}."


def ids(client: httpx.Client, name: str) -> list[str]:
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        params: dict[str, Any] = {"limit": 1000, "after": after}
        page = client.get(f"/v1/collections/{name}/documents", params=params).json()
        found += [document["id"] for document in page["documents"]]
        after = page["next"]
    return found


def test_an_order_survives_kills_and_is_carried_out(services: Launcher) -> None:
    service = services.start()
    with service.client() as client:
        client.put("/v1/collections/notes", json={})
        client.put("/v1/aliases/live", json={"collection": "notes"})
        body = {"documents": [{"id": f"n{n}", "text": f"Note {n} on tides."} for n in range(DOCUMENTS)]}
        client.post("/v1/collections/notes/documents?wait=true", json=body).raise_for_status()
        order = {"model": "fake", "into": "notes-v2", "switch": ["live"]}
        accepted = client.post("/v1/collections/notes/reembed", json=order)
        assert accepted.status_code == 202
        job = f"/v1/jobs/{accepted.json()['job']['id']}"
    for kill in range(KILLS):
        service.kill()
        service = services.start(data=service.data)
        with service.client() as client:
            changed = {"documents": [{"id": f"n{kill}", "text": text_behind(kill)}]}
            client.post("/v1/collections/live/documents?wait=true", json=changed).raise_for_status()
    with service.client() as client:
        while (state := client.get(job).json())["status"] != "finished":
            time.sleep(0.05)
        assert (state["failed"], state["switched"]) == (0, ["live"])
        assert client.get("/v1/collections/live").json()["name"] == "notes-v2"
        assert ids(client, "notes-v2") == sorted(f"n{number}" for number in range(DOCUMENTS))
        assert client.get("/v1/collections/notes-v2/points/count").json() == {"count": DOCUMENTS}
        for kill in range(KILLS):
            document = client.get(f"/v1/collections/live/documents/n{kill}?include=text").json()
            assert document["text"] == text_behind(kill)
