"""A disk that takes no more: typed errors, nothing torn or lost, and writing goes on when there is room."""

import resource
import shutil
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from promises import DIM, point_of
from real_service import Launcher, Service

from index.check import check_folder

POINTS = "/v1/collections/points/points"
BATCH = 200
DISK = "16m"
# The data folder is a disk of its own, that only this process and the service see, with something to remove.
ON_A_SMALL_DISK = (
    f'mount -t tmpfs -o size={DISK} tmpfs "$0" && head -c 4m /dev/zero >"$0/filler" && exec "$@"'
)

pytestmark = pytest.mark.slow


def can_mount() -> bool:
    try:
        done = subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True)
    except FileNotFoundError:
        return False
    return done.returncode == 0


def batches() -> Iterator[list[dict[str, Any]]]:
    for number in count():
        yield [point_of(f"p{number}-{n}", 1) for n in range(BATCH)]


def fill(client: httpx.Client) -> tuple[int, httpx.Response]:
    """How many points were acknowledged, and how the first refused batch was answered."""
    client.put("/v1/collections/points", json={"dim": DIM}).raise_for_status()
    acknowledged = 0
    for points in batches():
        response = client.post(POINTS, json={"points": points})
        if response.status_code != 200:
            return acknowledged, response
        acknowledged += BATCH
    raise AssertionError


def points_in(client: httpx.Client) -> int:
    """How many there are, by every way to ask."""
    counted: int = client.get(f"{POINTS}/count").json()["count"]
    lines = client.get("/v1/collections/points/export").text.splitlines()
    assert len(lines) - 1 == counted
    point = point_of("p0-7", 1)
    answer = client.post(
        "/v1/collections/points/search", json={"vector": point["vector"], "k": 1, "exact": True}
    )
    assert answer.json()["hits"][0]["id"] == "p0-7"
    return counted


def check_nothing_is_torn(service: Service, folder: Path, copy: Path) -> None:
    """Of the files as they lie there, without anything that the service would do at its end."""
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("filler"))
    report = check_folder(copy)
    assert [problem for problem in report.problems if problem.part != "leftovers"] == []


def refusal(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


@pytest.mark.skipif(not can_mount(), reason="needs a mount namespace")
def test_a_full_disk_is_a_507_and_nothing_is_torn(services: Launcher, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    before = ("unshare", "-rm", "sh", "-c", ON_A_SMALL_DISK, str(data))
    service = services.start(data=data, before=before)
    seen = Path(f"/proc/{service.pid}/root{data}")
    with service.client() as client:
        acknowledged, refused = fill(client)
        assert refusal(refused) == (507, "storage_full")
        assert acknowledged > 0
        assert points_in(client) == acknowledged
        check_nothing_is_torn(service, seen, tmp_path / "copy")
        (seen / "filler").unlink()
        again = client.post(POINTS, json={"points": [point_of("new", 1)]})
        assert again.status_code == 200, again.text
        assert points_in(client) == acknowledged + 1


def test_a_disk_that_refuses_is_a_503_and_nothing_is_torn(services: Launcher, tmp_path: Path) -> None:
    service = services.start()
    _, hard = resource.prlimit(service.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (4 * 2**20, hard))
    with service.client() as client:
        acknowledged, refused = fill(client)
        assert refusal(refused) == (503, "storage_failed")
        assert acknowledged > 0
        assert points_in(client) == acknowledged
        check_nothing_is_torn(service, service.data, tmp_path / "copy")
        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (hard, hard))
        again = client.post(POINTS, json={"points": [point_of("new", 1)]})
        assert again.status_code == 200, again.text
        assert points_in(client) == acknowledged + 1
    service.kill()
    assert [problem for problem in check_folder(service.data).problems if problem.part != "leftovers"] == []
