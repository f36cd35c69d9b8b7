"""Sends files to a collection: in batches, two requests at a time, and each file fails for itself.

Ingesting is idempotent (a document that is there unchanged costs nothing), so a request whose connection
broke is sent again, and an interrupted run is continued by starting it again. A service that is busy (429,
503 with Retry-After) is waited for as long as it asks. A request that is refused as a whole is sent again
file by file, so that one bad file does not hold back its neighbours.

Knows no terminal: progress is told to the caller after every request.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import islice
from typing import Protocol, TypeVar

from api.cli.client import ConnectionLostError, ServiceError, Upload
from api.schemas import DocumentOutcome, Info

T = TypeVar("T")

_IN_FLIGHT = 2  # one request is parsed and sent while the other one is embedded
_BATCH_FILES = 16
_BATCH_BYTES = 8 * 2**20
_ASKED_FROM_BYTES = 2**20
"""The limit of a service is asked for when a file is larger than this."""
_RECONNECTS_S = (0.5, 1.0, 2.0, 4.0)
_SHORTEST_WAIT_S = 0.1
_LONGEST_WAIT_S = 60.0
_PATIENCE_S = 600.0
_ONE_FILE_AT_FAULT = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)


@dataclass(frozen=True, slots=True)
class Batch:
    """The files of one request."""

    uploads: tuple[Upload, ...]
    size_bytes: int


@dataclass(slots=True)
class Tally:
    """What came of the files so far; ``ids`` are those that the service knows them by."""

    documents: int = 0
    unchanged: int = 0
    passages: int = 0
    size_bytes: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)

    def add(self, batch: Batch, outcomes: Sequence[DocumentOutcome]) -> None:
        self.documents += len(outcomes)
        self.size_bytes += batch.size_bytes
        for outcome in outcomes:
            self.ids.add(outcome.id)
            self.passages += outcome.passages
            self.unchanged += outcome.status == "unchanged"
            if outcome.status == "failed":
                self.failures.append((outcome.id, str(outcome.error or "no reason given")))


class Send(Protocol):
    """One request: the files in, one outcome each out."""

    def __call__(self, uploads: Sequence[Upload], /) -> list[DocumentOutcome]: ...


def ingest(
    uploads: Sequence[Upload],
    send: Send,
    told: Callable[[Tally], None],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Tally:
    """Send all ``uploads``; ``told`` hears of the progress after each request, in this thread.

    Raises:
        ServiceError: the service refuses everything or is gone; requests under way are finished first.
    """
    tally = Tally()
    batches = cut_batches(uploads)
    with ThreadPoolExecutor(_IN_FLIGHT) as threads:

        def start(count: int) -> dict[Future[list[DocumentOutcome]], Batch]:
            return {threads.submit(_deliver, b.uploads, send, sleep): b for b in islice(batches, count)}

        running = start(_IN_FLIGHT)
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                tally.add(running.pop(future), future.result())
                told(tally)
                running |= start(1)
    return tally


def cut_batches(uploads: Sequence[Upload]) -> Iterator[Batch]:
    """``uploads`` in order, in runs of few enough files and bytes; a file over the limit goes alone."""
    files: list[Upload] = []
    total = 0
    for upload in uploads:
        size = size_of(upload)
        if files and (len(files) == _BATCH_FILES or total + size > _BATCH_BYTES):
            yield Batch(tuple(files), total)
            files, total = [], 0
        files.append(upload)
        total += size
    if files:
        yield Batch(tuple(files), total)


def size_of(upload: Upload) -> int:
    """In bytes; 0 for a file that vanished, which fails when it is sent."""
    if isinstance(upload.content, bytes):
        return len(upload.content)
    try:
        return upload.content.stat().st_size
    except OSError:
        return 0


class Limited(Protocol):
    """A service that says how large a file may be."""

    def info(self) -> Info: ...


def refuse_larger(send: Send, service: Limited, uploads: Sequence[Upload]) -> Send:
    """``send``, but for files that the service would not take: these fail before they are read."""
    if max(map(size_of, uploads), default=0) < _ASKED_FROM_BYTES:
        return send
    limit = service.info().limits.get("max_file_bytes", sys.maxsize)

    def send_small(batch: Sequence[Upload], /) -> list[DocumentOutcome]:
        for upload in batch:
            if (size := size_of(upload)) > limit:
                raise OSError(f"is too large: it has {size:,} bytes, and the service takes {limit:,}")
        return send(batch)

    return send_small


def _deliver(uploads: Sequence[Upload], send: Send, sleep: Callable[[float], None]) -> list[DocumentOutcome]:
    try:
        return patiently(lambda: send(uploads), sleep)
    except (ServiceError, OSError) as error:
        if isinstance(error, ServiceError) and error.status not in _ONE_FILE_AT_FAULT:
            raise
        if len(uploads) == 1:
            return [_failed(uploads[0], error)]
    return [outcome for upload in uploads for outcome in _deliver([upload], send, sleep)]


def patiently(send: Callable[[], T], sleep: Callable[[float], None] = time.sleep) -> T:
    """What ``send`` gives in the end; it is called again where that is safe and may help.

    Raises:
        ServiceError: the service refuses, is gone for good, or is busy for too long.
    """
    reconnects = iter(_RECONNECTS_S)
    patience_s = _PATIENCE_S
    while True:
        try:
            return send()
        except ConnectionLostError:
            pause_s = next(reconnects, None)
            if pause_s is None:
                raise
        except ServiceError as error:
            if error.retry_after_s is None or patience_s <= 0:
                raise
            pause_s = min(max(error.retry_after_s, _SHORTEST_WAIT_S), _LONGEST_WAIT_S)
            patience_s -= pause_s
        sleep(pause_s)


def _failed(upload: Upload, error: ServiceError | OSError) -> DocumentOutcome:
    reason = error.message if isinstance(error, ServiceError) else str(error.strerror or error)
    return DocumentOutcome(id=upload.id, status="failed", passages=0, tokens=0, error=reason)
