"""Models out of buckets, in a folder that services on one machine may share.

``<cache>/<name of the source>/<revision>`` is a model, whole and checked, or is not there: it is written
under another name and renamed when it is on disk. A lock lets one process fetch a source at a time; the
others wait, and find it.
"""

import asyncio
import fcntl
import hashlib
import os
import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from embedd.bucket import Bucket, BucketLimits, open_bucket
from embedd.download import Progress, Stopped, download, missing_bytes
from embedd.errors import ModelLoadError
from embedd.manifest import (
    MANIFEST,
    MOST_BYTES,
    Entry,
    check_paths,
    is_wanted,
    read_manifest,
    revision_of,
    write_manifest,
)
from embedd.specs import ModelSpec

__all__ = ["Fetching", "Progress", "fetch"]

_STAGED: Final = ".fetching-"
_LOCK_EVERY_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Fetching:
    """Where models go, and the address of the bucket's service; None is Amazon's."""

    cache: Path
    endpoint: str | None = None
    limits: BucketLimits = field(default_factory=BucketLimits)


async def fetch(spec: ModelSpec, fetching: Fetching, progress: Progress) -> Path:
    """The folder of the model ``spec``, which lies in a bucket, with its files; cancelling stops the work and
    keeps what is there for the next time.

    Raises:
        ModelLoadError: it cannot be had, or not be written here.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Path] = loop.create_future()

    def settle(folder: Path | None, error: Exception | None) -> None:
        if found.done():
            return
        if folder is not None:
            found.set_result(folder)
        elif error is not None:
            found.set_exception(error)

    def work() -> None:
        folder, problem = None, None
        try:
            folder = bring(spec, fetching, progress)
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            problem = error
        with suppress(RuntimeError):  # the loop is gone
            loop.call_soon_threadsafe(settle, folder, problem)

    # No thread of a pool, which the end of the process would wait for: a bucket may be silent for long.
    threading.Thread(target=work, name="model-fetch", daemon=True).start()
    try:
        return await found
    finally:
        progress.stopped.set()


def bring(spec: ModelSpec, fetching: Fetching, progress: Progress) -> Path:
    """As ``fetch``, and blocks."""
    home = fetching.cache / _name_of(spec.source)
    try:
        if spec.revision is not None and (home / spec.revision).is_dir():
            return _found(home / spec.revision, progress)  # nobody needs to be asked
        return _bring(spec, fetching, home, progress)
    except OSError as error:
        raise ModelLoadError(
            f"{spec.source} cannot be stored in {fetching.cache}: {error.strerror or error}"
        ) from error


def _found(folder: Path, progress: Progress) -> Path:
    entries = read_manifest((folder / MANIFEST).read_bytes(), str(folder / MANIFEST))
    progress.total_bytes = progress.done_bytes = sum(entry.size for entry in entries)
    return folder


def _bring(spec: ModelSpec, fetching: Fetching, home: Path, progress: Progress) -> Path:
    bucket = open_bucket(spec.source, fetching.endpoint, fetching.limits)
    entries = _files_of(bucket, allow_pickle=spec.allow_pickle)
    revision = revision_of(entries)
    if spec.sha256 is None and spec.revision not in (None, revision):
        raise ModelLoadError(f"{spec.source} has the revision {revision}, not {spec.revision}")
    progress.total_bytes = sum(entry.size for entry in entries)
    with _locked(home, progress):
        if not (home / revision).is_dir():
            _install(bucket, entries, home, fetching.limits, progress)
    progress.done_bytes = progress.total_bytes
    return home / revision


def _files_of(bucket: Bucket, *, allow_pickle: bool) -> list[Entry]:
    """What is to be fetched, by the manifest or, without one, as it is listed."""
    content = bucket.read(MANIFEST, MOST_BYTES)
    if content is not None:
        found = read_manifest(content, f"{bucket.uri}/{MANIFEST}")
    else:
        found = check_paths(bucket.entries(), bucket.uri)
    wanted = [entry for entry in found if is_wanted(entry.path, allow_pickle=allow_pickle)]
    if not any(entry.path.endswith(".safetensors") or allow_pickle for entry in wanted):
        raise ModelLoadError(
            f"{bucket.uri} holds no safetensors among its {len(found)} files"
            + ("; pickled weights must be allowed (allow_pickle)" if found else ": is the prefix right?")
        )
    return wanted


def _install(
    bucket: Bucket, entries: Sequence[Entry], home: Path, limits: BucketLimits, progress: Progress
) -> None:
    revision = revision_of(entries)
    staged = home / f"{_STAGED}{revision}"
    for other in home.glob(f"{_STAGED}*"):
        if other != staged:
            shutil.rmtree(other)
    staged.mkdir(exist_ok=True)
    _refuse_if_full(bucket.uri, staged, missing_bytes(entries, staged))
    known = download(bucket, entries, staged, limits, progress)
    (staged / MANIFEST).write_bytes(write_manifest(known))
    for path in [*staged.rglob("*"), staged]:
        _sync(path)
    staged.rename(home / revision)
    _sync(home)


def _refuse_if_full(uri: str, folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ModelLoadError(
            f"{uri} needs {needed} bytes more in {folder.parent}, and {free} are free: no space is left"
        )


@contextmanager
def _locked(home: Path, progress: Progress) -> Iterator[None]:
    """While nobody else, in this process or another, has the folder; waits for whoever has."""
    home.mkdir(parents=True, exist_ok=True)
    lock = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        while not _try_lock(lock):
            if progress.stopped.wait(_LOCK_EVERY_S):
                raise Stopped("the files are not needed any more")
        yield
    finally:
        os.close(lock)


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _name_of(source: str) -> str:
    """A folder's name that no other source has, and that people recognise."""
    words = re.sub(r"[^A-Za-z0-9.-]+", "-", source.removeprefix("s3://")).strip("-.")
    return f"{words[:60]}-{hashlib.sha256(source.encode()).hexdigest()[:12]}"
