"""What a service holds, read over HTTP in every way there is, and held to what was promised."""

import time
from collections import defaultdict
from typing import Any

import httpx
import numpy as np
from crash_writers import DOCUMENTS, POINTS, Promises
from promises import base64_of, marker_of, revision_in, text_of, vector_of
from real_service import Service

JOBS_FINISHED_WITHIN_S = 20.0
MOST_RESULTS = 10_000  # of all the searches of a batch
_NOTES = "/v1/collections/notes"
_VECTORS = "/v1/collections/vectors"


def check_promises(service: Service, promises: Promises, *, everything: bool = False) -> None:
    """Nothing lost, torn, doubled or risen from the dead; in detail what was touched lately, or all."""
    with service.client() as client:
        _finish_jobs(client, service, promises)
        promises.documents.settle(_documents(client))
        promises.points.settle(_points(client))
        for ledger in (promises.documents, promises.points):
            if everything:
                ledger.touched |= ledger.acknowledged.keys()
        _check_documents(client, promises)
        _check_points(client, promises)
        promises.documents.touched.clear()
        promises.points.touched.clear()


def _finish_jobs(client: httpx.Client, service: Service, promises: Promises) -> None:
    """Acknowledged jobs end well, and so do those that were kept but never acknowledged."""
    resumed = [event["embedd.job"] for event in service.events("job_resumed")]
    for job_id in {*promises.jobs, *resumed}:
        job = _finished(client, job_id)
        assert {document["status"] for document in job["documents"]} <= {"ready", "unchanged"}, job
        assert (job["done"], job["failed"]) == (job["total"], 0)
    promises.jobs.clear()


def _finished(client: httpx.Client, job_id: str) -> Any:
    deadline = time.monotonic() + JOBS_FINISHED_WITHIN_S
    while (job := _get(client, f"/v1/jobs/{job_id}"))["status"] != "finished":
        assert time.monotonic() < deadline, f"the job does not finish: {job}"
        time.sleep(0.02)
    return job


def _documents(client: httpx.Client) -> dict[str, int]:
    """The revision of every document, each whole, with all its passages and no others."""
    passages: dict[str, list[Any]] = defaultdict(list)
    for point in _scroll(client, _NOTES, "text"):
        passages[point["document_id"]].append(point)
    assert _get(client, f"{_NOTES}/points/count")["count"] == sum(map(len, passages.values()))
    found = {}
    for document in _listed(client):
        id = document["id"]
        own = passages.pop(id, [])
        assert [point["id"] for point in own] == [f"{id}#{n}" for n in range(document["passages"])]
        text = " ".join(point["text"] for point in own)
        found[id] = revision_in(text)
        assert text.split() == text_of(id, found[id]).split(), f"{id} is torn: {text}"
    assert not passages, f"passages without a document: {passages}"
    return found


def _points(client: httpx.Client) -> dict[str, int]:
    """The revision of every point."""
    points = _scroll(client, _VECTORS, "text")
    assert _get(client, f"{_VECTORS}/points/count")["count"] == len(points)
    found = {point["id"]: revision_in(point["text"]) for point in points}
    assert len(found) == len(points), "a point is there twice"
    return found


def _check_documents(client: httpx.Client, promises: Promises) -> None:
    """Reading by id and searching by words and by vector tell the same."""
    held = promises.documents.acknowledged
    touched = sorted(promises.documents.touched)
    for id in touched:
        response = client.get(f"{DOCUMENTS}/{id}", params={"include": "text"})
        assert response.status_code == (200 if id in held else 404), response.text
        assert id not in held or response.json()["text"] == text_of(id, held[id])
    present = [id for id in touched if id in held]
    markers = [{"query": marker_of(id, held[id]), "mode": "lexical", "k": 20} for id in present]
    # Exactly: a graph of thousands of the fake model's vectors, which have no neighbours, misses one in 300.
    texts = [
        {"query": text_of(id, held[id])[:1000], "mode": "dense", "k": 1, "exact": True} for id in present
    ]
    found = zip(_search(client, _NOTES, markers), _search(client, _NOTES, texts), strict=True)
    for id, (by_word, by_vector) in zip(present, found, strict=True):
        passages = _get(client, f"{DOCUMENTS}/{id}")["passages"]
        assert {hit["id"] for hit in by_word} == {f"{id}#{n}" for n in range(passages)}
        assert len(by_word) == passages
        assert by_vector[0]["document_id"] == id, f"{by_vector[0]} instead of {id}"


def _check_points(client: httpx.Client, promises: Promises) -> None:
    """Reading by id and searching by vector tell the same."""
    held = promises.points.acknowledged
    for touched in _slices(sorted(promises.points.touched), 5000):
        present = [id for id in touched if id in held]
        read = _post(client, f"{POINTS}/get", {"ids": touched, "include": ["text", "vector"]})["points"]
        assert [point["id"] for point in read] == present
        for point in read:
            assert point["text"] == marker_of(point["id"], held[point["id"]])
            assert np.array_equal(np.float32(point["vector"]), vector_of(point["id"], held[point["id"]]))
        exact = [{"vector": base64_of(id, held[id]), "k": 1, "exact": True} for id in present]
        assert [hits[0]["id"] for hits in _search(client, _VECTORS, exact)] == present


def _search(client: httpx.Client, collection: str, searches: list[dict[str, Any]]) -> list[Any]:
    """The hits of each search."""
    results = []
    most = max((search["k"] for search in searches), default=1)
    for some in _slices(searches, min(1000, MOST_RESULTS // most)):
        body = {"searches": [search | {"include": []} for search in some]}
        results += _post(client, f"{collection}/search/batch", body)["results"]
    return [result["hits"] for result in results]


def _listed(client: httpx.Client) -> list[Any]:
    page = _get(client, f"{DOCUMENTS}?limit=1000")
    documents = page["documents"]
    while page["next"] is not None:
        page = client.get(DOCUMENTS, params={"limit": 1000, "after": page["next"]}).json()
        documents += page["documents"]
    return documents


def _scroll(client: httpx.Client, collection: str, include: str) -> list[Any]:
    points, after = [], None
    while True:
        body = {"limit": 1000, "after": after, "include": [include]}
        page = _post(client, f"{collection}/points/scroll", body)
        points += page["points"]
        after = page["next"]
        if after is None:
            return points


def _slices(whole: list[Any], size: int) -> list[list[Any]]:
    return [whole[first : first + size] for first in range(0, len(whole), size)]


def _get(client: httpx.Client, path: str) -> Any:
    response = client.get(path)
    assert response.status_code == 200, response.text
    return response.json()


def _post(client: httpx.Client, path: str, body: Any) -> Any:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()
