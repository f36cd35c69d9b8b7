"""The map of a collection: principal components, computed beside numpy's own decomposition."""

import numpy as np
import numpy.typing as npt
import pytest
from asking import Ask

from api.services.map import principal_plane

MAP = "/v1/collections/mine/map"


def clustered(count: int, dim: int, seed: int = 3) -> npt.NDArray[np.float32]:
    """Rows around three centres, as passages of three documents are."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(3, dim)) * 4
    rows = centres[np.arange(count) % 3] + random.normal(size=(count, dim))
    return rows.astype(np.float32)


async def fill(ask: Ask, rows: npt.NDArray[np.float32], metric: str = "cosine") -> None:
    await ask("PUT", "/v1/collections/mine", {"dim": rows.shape[1], "metric": metric}, status=201)
    points = [
        {"id": f"p{n}", "vector": row.tolist(), "text": f"text {n} " * 60} for n, row in enumerate(rows)
    ]
    await ask("POST", "/v1/collections/mine/points", {"points": points})


@pytest.mark.parametrize(("count", "dim"), [(200, 40), (30, 6), (5, 384), (3, 2)])
def test_the_plane_is_that_of_the_two_leading_singular_vectors(count: int, dim: int) -> None:
    rows = clustered(count, dim)
    plane = principal_plane(rows)
    _, singular, axes = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    expected = (rows - rows.mean(axis=0)) @ axes[:2].T
    places = plane.places(rows)
    correlation = np.abs((places * expected).sum(axis=0)) / (
        np.linalg.norm(places, axis=0) * np.linalg.norm(expected, axis=0)
    )
    assert correlation == pytest.approx([1, 1], abs=1e-3)
    assert plane.explained == pytest.approx(singular[:2] ** 2 / (singular**2).sum(), abs=1e-4)
    assert np.abs(places).max() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("shape", [(0, 4), (1, 4), (6, 1)])
def test_what_spans_no_plane_lies_on_a_line_or_a_point(shape: tuple[int, int]) -> None:
    rows = clustered(*shape) if shape[0] else np.zeros(shape, np.float32)
    plane = principal_plane(rows)
    assert plane.axes.shape == (2, shape[1])
    assert np.isfinite(plane.places(rows)).all()
    assert plane.places(rows)[:, 1] == pytest.approx(0, abs=1e-6)


def test_equal_rows_all_lie_in_the_middle() -> None:
    rows = np.ones((5, 4), np.float32)
    assert principal_plane(rows).places(rows) == pytest.approx(0, abs=1e-6)


async def test_the_same_passages_make_the_same_map(ask: Ask) -> None:
    await fill(ask, clustered(60, 8))
    assert await ask("GET", MAP) == await ask("GET", MAP)


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
async def test_a_vector_finds_its_place_by_the_projection(ask: Ask, metric: str) -> None:
    rows = clustered(50, 8)
    await fill(ask, rows, metric)
    drawn = await ask("GET", MAP)
    projection = drawn["projection"]
    assert projection["normalized"] is (metric == "cosine")
    vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True) if projection["normalized"] else rows
    places = (vectors - np.array(projection["mean"])) @ np.array(projection["axes"]).T
    found = {point["id"]: (point["x"], point["y"]) for point in drawn["points"]}
    assert [found[f"p{n}"] for n in range(50)] == [pytest.approx(place, abs=2e-4) for place in places]


async def test_a_large_collection_is_sampled_evenly(ask: Ask) -> None:
    await fill(ask, clustered(90, 4))
    drawn = await ask("GET", f"{MAP}?limit=10")
    assert drawn["total"] == 90
    assert [point["id"] for point in drawn["points"]] == [f"p{round(89 * n / 9)}" for n in range(10)]
    assert all(len(point["text"]) <= 240 for point in drawn["points"])


async def test_an_empty_collection_has_an_empty_map(ask: Ask) -> None:
    await ask("PUT", "/v1/collections/mine", {}, status=201)
    drawn = await ask("GET", MAP)
    assert (drawn["points"], drawn["total"]) == ([], 0)


async def test_passages_say_where_they_stand(ask: Ask, docs: str) -> None:
    drawn = await ask("GET", f"/v1/collections/{docs}/map")
    for point in drawn["points"]:
        document = await ask("GET", f"/v1/collections/{docs}/documents/{point['document_id']}?include=text")
        assert document["text"][point["start"] : point["end"]] == point["text"]


@pytest.mark.parametrize("limit", ["0", "5001", "many"])
async def test_a_limit_out_of_range_is_refused(ask: Ask, docs: str, limit: str) -> None:
    await ask("GET", f"/v1/collections/{docs}/map?limit={limit}", status=422)


async def test_a_collection_that_does_not_exist_has_no_map(ask: Ask) -> None:
    await ask("GET", "/v1/collections/nowhere/map", status=404)
