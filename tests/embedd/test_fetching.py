"""Models out of a bucket, from a real S3 server on this machine: whole and right, or not there at all."""

import errno
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from embedd import download as downloading
from embedd.bucket import Bucket, BucketLimits, open_bucket
from embedd.download import download
from embedd.errors import ModelLoadError
from embedd.fetching import Fetching, Progress, bring, fetch
from embedd.manifest import MANIFEST
from embedd.pushing import push
from embedd.specs import ModelSpec, parse_spec

LIMITS = BucketLimits(connect_s=2, silence_s=2, attempts=2)
WEIGHTS = os.urandom(200_000)
SPEC = ModelSpec("m", "s3://models/e5")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def session() -> boto3.session.Session:
    """With credentials; one reads a megabyte of descriptions of S3, so the tests share it."""
    return boto3.session.Session("test", "test", region_name="us-east-1")


@pytest.fixture(scope="module")
def administrator(session: boto3.session.Session, endpoint: str) -> Any:
    return session.client("s3", endpoint_url=endpoint)


@pytest.fixture
def s3(administrator: Any, session: boto3.session.Session, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client, with an empty bucket."""
    monkeypatch.setattr("boto3.session.Session", lambda: session)
    client = administrator
    client.create_bucket(Bucket="models")
    for one in client.list_objects_v2(Bucket="models").get("Contents", ()):
        client.delete_object(Bucket="models", Key=one["Key"])
    return client


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloading, "SEGMENT_BYTES", 64 * 1024)
    monkeypatch.setattr(downloading, "_PAUSE_S", 0.0)


@pytest.fixture
def fetching(endpoint: str, tmp_path: Path) -> Fetching:
    return Fetching(tmp_path / "cache", endpoint, LIMITS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model as far as buckets care."""
    folder = tmp_path / "model"
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    (folder / "config.json").write_text("{}")
    (folder / "1_Pooling" / "config.json").write_text('{"a": 1}')
    (folder / "modeling.py").write_text("raise SystemExit")
    (folder / "empty.txt").touch()
    return folder


def installed(cache: Path) -> list[Path]:
    """Whole models."""
    return [path for path in cache.glob("*/*") if path.is_dir() and not path.name.startswith(".")]


def put(s3: Any, **files: bytes) -> None:
    for name, content in files.items():
        s3.put_object(Bucket="models", Key=f"e5/{name.replace('__', '.')}", Body=content)


def test_what_is_pushed_comes_back_byte_for_byte_without_code(
    s3: Any, folder: Path, fetching: Fetching, endpoint: str
) -> None:
    pushed = push(folder, SPEC.source, endpoint=endpoint)
    progress = Progress()
    found = bring(SPEC, fetching, progress)
    names = sorted(path.relative_to(found).as_posix() for path in found.rglob("*") if path.is_file())
    assert names == ["1_Pooling/config.json", "config.json", MANIFEST, "empty.txt", "model.safetensors"]
    for entry in pushed:
        assert (found / entry.path).read_bytes() == (folder / entry.path).read_bytes()
    assert progress.done_bytes == progress.total_bytes == sum(entry.size for entry in pushed)


def test_what_is_here_is_not_asked_for_again(
    s3: Any, folder: Path, fetching: Fetching, endpoint: str
) -> None:
    push(folder, SPEC.source, endpoint=endpoint)
    found = bring(SPEC, fetching, Progress())
    nowhere = replace(fetching, endpoint="http://127.0.0.1:9")
    progress = Progress()
    assert bring(replace(SPEC, revision=found.name), nowhere, progress) == found
    assert progress.is_complete


def test_pushing_again_sends_what_has_changed_alone(
    s3: Any, folder: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(folder, SPEC.source, endpoint=endpoint)
    sent: list[str] = []
    upload = Bucket.upload
    monkeypatch.setattr(Bucket, "upload", lambda *args: (sent.append(args[1]), upload(*args)))
    (folder / "config.json").write_text('{"new": 1}')
    push(folder, SPEC.source, endpoint=endpoint)
    assert sent == ["config.json"]


def test_a_prefix_without_a_manifest_is_taken_as_it_is_listed(s3: Any, fetching: Fetching) -> None:
    put(s3, model__safetensors=WEIGHTS, config__json=b"{}", train__py=b"")
    found = bring(SPEC, fetching, Progress())
    files = {each["path"]: each["sha256"] for each in json.loads((found / MANIFEST).read_bytes())["files"]}
    assert files["model.safetensors"] == hashlib.sha256(WEIGHTS).hexdigest()
    assert "train.py" not in files


def test_a_download_that_is_cut_short_goes_on_where_it_was(
    s3: Any, fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(s3, model__safetensors=WEIGHTS)
    asked: list[tuple[int, int]] = []
    pieces = Bucket.pieces

    def breaks_off(self: Bucket, entry: Any, first: int, last: int) -> Iterator[bytes]:
        asked.append((first, last))
        if first >= 128 * 1024:
            raise ModelLoadError("the line is dead")
        yield from pieces(self, entry, first, last)

    monkeypatch.setattr(Bucket, "pieces", breaks_off)
    one = replace(fetching, limits=replace(LIMITS, parallel=1))
    with pytest.raises(ModelLoadError, match=r"beyond byte 131072 of 200000: the line is dead"):
        bring(SPEC, one, Progress())
    assert installed(fetching.cache) == []
    monkeypatch.setattr(Bucket, "pieces", lambda *args: (asked.append(args[2:]), pieces(*args))[1])
    asked.clear()
    found = bring(SPEC, one, Progress())
    assert asked == [(128 * 1024, 192 * 1024), (192 * 1024, 200_000)]
    assert (found / "model.safetensors").read_bytes() == WEIGHTS


def test_an_answer_that_is_truncated_is_asked_for_from_there(
    s3: Any, fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(s3, model__safetensors=WEIGHTS)
    pieces, cut = Bucket.pieces, [True]

    def truncated(self: Bucket, entry: Any, first: int, last: int) -> Iterator[bytes]:
        for piece in pieces(self, entry, first, last):
            if cut and cut.pop():
                yield piece[:1000]
                return
            yield piece

    monkeypatch.setattr(Bucket, "pieces", truncated)
    found = bring(SPEC, fetching, Progress())
    assert (found / "model.safetensors").read_bytes() == WEIGHTS


def test_a_bucket_that_lies_about_a_sum_installs_nothing(
    s3: Any, folder: Path, fetching: Fetching, endpoint: str
) -> None:
    push(folder, SPEC.source, endpoint=endpoint)
    other = bytes(len(WEIGHTS))
    put(s3, model__safetensors=other)
    sums = [hashlib.sha256(content).hexdigest() for content in (other, WEIGHTS)]
    with pytest.raises(ModelLoadError, match=f"sha256 {sums[0]}, not {sums[1]}"):
        bring(SPEC, fetching, Progress())
    assert installed(fetching.cache) == []
    put(s3, model__safetensors=WEIGHTS)
    assert bring(SPEC, fetching, Progress()).is_dir()


def test_a_file_that_the_disk_lost_is_held_against_its_sum_and_fetched_again(
    s3: Any, folder: Path, endpoint: str, tmp_path: Path
) -> None:
    entries = push(folder, SPEC.source, endpoint=endpoint)
    bucket, place = open_bucket(SPEC.source, endpoint, LIMITS), tmp_path / "place"
    download(bucket, entries, place, LIMITS, Progress())
    (place / "model.safetensors").write_bytes(bytes(len(WEIGHTS)))
    with pytest.raises(ModelLoadError, match="is not what it should be"):
        download(bucket, entries, place, LIMITS, Progress())
    download(bucket, entries, place, LIMITS, Progress())
    assert (place / "model.safetensors").read_bytes() == WEIGHTS


def test_a_bucket_that_sends_the_beginning_for_every_part_is_not_believed(
    s3: Any, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(s3, model__safetensors=WEIGHTS, config__json=b"{}")
    bucket = open_bucket(SPEC.source, endpoint, LIMITS)
    get = bucket._client.get_object
    monkeypatch.setattr(
        bucket._client,
        "get_object",
        lambda **asked: get(**{key: value for key, value in asked.items() if key != "Range"}),
    )
    files = {entry.path: entry for entry in bucket.entries()}
    with pytest.raises(ModelLoadError, match="ignores ranges"):
        download(bucket, [files["model.safetensors"]], tmp_path / "place", LIMITS, Progress())
    download(bucket, [files["config.json"]], tmp_path / "place", LIMITS, Progress())
    assert (tmp_path / "place" / "config.json").read_bytes() == b"{}"


def test_an_object_shorter_than_its_manifest_says_installs_nothing(
    s3: Any, folder: Path, fetching: Fetching, endpoint: str
) -> None:
    push(folder, SPEC.source, endpoint=endpoint)
    put(s3, model__safetensors=WEIGHTS[:100_000])
    with pytest.raises(ModelLoadError, match=r"model\.safetensors could not be fetched beyond byte"):
        bring(SPEC, fetching, Progress())
    assert installed(fetching.cache) == []


@pytest.mark.parametrize("path", ["../up.safetensors", "/etc/x.safetensors", "a/../../x.safetensors"])
def test_a_manifest_that_leads_out_of_its_folder_is_refused(s3: Any, fetching: Fetching, path: str) -> None:
    entry = {"path": path, "size": 3, "sha256": "0" * 64}
    put(s3, **{MANIFEST.replace(".", "__"): json.dumps({"format": 1, "files": [entry]}).encode()})
    with pytest.raises(ModelLoadError, match="outside of the model"):
        bring(SPEC, fetching, Progress())


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'{"format": 2, "files": []}', b'{"format": 1, "files": [1]}']
)
def test_a_manifest_that_is_none_is_told(s3: Any, fetching: Fetching, content: bytes) -> None:
    put(s3, **{MANIFEST.replace(".", "__"): content})
    with pytest.raises(ModelLoadError, match=MANIFEST):
        bring(SPEC, fetching, Progress())


def test_a_bucket_or_a_prefix_that_is_not_there_is_told(s3: Any, fetching: Fetching) -> None:
    with pytest.raises(ModelLoadError, match=r"s3://none/x.*(NoSuchBucket|does not exist)"):
        bring(ModelSpec("m", "s3://none/x"), fetching, Progress())
    with pytest.raises(ModelLoadError, match="is the prefix right"):
        bring(SPEC, fetching, Progress())


def test_a_service_that_is_not_there_is_told(s3: Any, fetching: Fetching) -> None:
    with pytest.raises(ModelLoadError, match="s3://models/e5"):
        bring(SPEC, replace(fetching, endpoint="http://127.0.0.1:9"), Progress())


def test_pickled_weights_are_fetched_when_they_are_allowed(s3: Any, fetching: Fetching) -> None:
    put(s3, pytorch_model__bin=b"pickle")
    with pytest.raises(ModelLoadError, match="allow_pickle"):
        bring(SPEC, fetching, Progress())
    found = bring(replace(SPEC, allow_pickle=True), fetching, Progress())
    assert (found / "pytorch_model.bin").read_bytes() == b"pickle"


def test_a_disk_that_fills_up_installs_nothing_and_goes_on_when_there_is_room(
    s3: Any, fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(s3, model__safetensors=WEIGHTS)
    with monkeypatch.context() as patched:
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        patched.setattr(downloading, "write_at", lambda *_: (_ for _ in ()).throw(full))
        with pytest.raises(ModelLoadError, match=r"cannot be stored in .*: No space left on device"):
            bring(SPEC, fetching, Progress())
    assert installed(fetching.cache) == []
    assert bring(SPEC, fetching, Progress()).is_dir()


def test_more_than_there_is_room_for_is_refused_before_it_is_fetched(
    s3: Any, fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(s3, model__safetensors=WEIGHTS)
    usage = shutil_usage(free=1000)
    monkeypatch.setattr("embedd.fetching.shutil.disk_usage", lambda _: usage)
    with pytest.raises(ModelLoadError, match=r"needs 200000 bytes more .* 1000 are free"):
        bring(SPEC, fetching, Progress())


def shutil_usage(free: int) -> Any:
    return type("Usage", (), {"free": free})()


def test_who_comes_second_waits_and_finds_what_the_first_has_fetched(
    s3: Any, fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(s3, model__safetensors=WEIGHTS)
    asked: list[int] = []
    pieces = Bucket.pieces
    monkeypatch.setattr(Bucket, "pieces", lambda *args: (asked.append(args[2]), pieces(*args))[1])
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(bring(SPEC, fetching, Progress()))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 3
    assert sorted(asked) == [0, 65536, 131072, 196608]


async def test_fetching_that_is_not_waited_for_stops_and_keeps_what_it_has(
    s3: Any, fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(s3, model__safetensors=WEIGHTS)
    progress = Progress()
    progress.stopped.set()
    with pytest.raises(ModelLoadError, match="not needed any more"):
        await fetch(SPEC, fetching, progress)
    assert installed(fetching.cache) == []


def test_a_place_in_a_bucket_is_a_source() -> None:
    assert parse_spec("s3://models/e5/").source == "s3://models/e5"
