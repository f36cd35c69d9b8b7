"""How files are sent: batches, retries, and failures that stay alone."""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from api.cli.client import ConnectionLostError, ServiceError, Upload
from api.cli.ingestion import Tally, cut_batches, ingest
from api.schemas import DocumentOutcome


def uploads(count: int) -> list[Upload]:
    return [Upload(f"{number}.txt", b"text") for number in range(count)]


def ready(files: Sequence[Upload]) -> list[DocumentOutcome]:
    return [DocumentOutcome(id=file.id, status="ready", passages=3, tokens=7) for file in files]


class Service:
    """Raises what is planned, then takes everything."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.slept: list[float] = []

    def __call__(self, files: Sequence[Upload], /) -> list[DocumentOutcome]:
        if self.errors:
            raise self.errors.pop(0)
        return ready(files)


def run(service: Service, files: Sequence[Upload]) -> Tally:
    return ingest(files, service, lambda _: None, sleep=service.slept.append)


def test_batches_keep_the_order_and_lose_nothing() -> None:
    batches = list(cut_batches(uploads(40)))
    assert [upload.id for batch in batches for upload in batch.uploads] == [f"{n}.txt" for n in range(40)]
    assert [len(batch.uploads) for batch in batches] == [16, 16, 8]


def test_a_batch_is_cut_before_it_has_too_many_bytes(tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(bytes(5 * 2**20))
    batches = list(cut_batches([Upload("a", big), Upload("b", big), Upload("c", b"x")]))
    assert [[upload.id for upload in batch.uploads] for batch in batches] == [["a"], ["b", "c"]]
    assert batches[1].size_bytes == 5 * 2**20 + 1


def test_nothing_to_send_is_no_batch() -> None:
    assert list(cut_batches([])) == []


def test_everything_is_counted() -> None:
    tally = run(Service(), uploads(20))
    assert (tally.documents, tally.passages, tally.size_bytes, tally.failures) == (20, 60, 80, [])


def test_two_requests_are_under_way_at_once() -> None:
    both = threading.Barrier(2, timeout=20)

    def send(files: Sequence[Upload], /) -> list[DocumentOutcome]:
        both.wait()
        return ready(files)

    assert ingest(uploads(64), send, lambda _: None).documents == 64


def test_progress_is_told_after_every_request() -> None:
    told: list[int] = []
    ingest(uploads(33), Service(), lambda tally: told.append(tally.documents))
    assert len(told) == 3
    assert told[-1] == 33


def test_a_busy_service_is_waited_for_as_long_as_it_asks() -> None:
    service = Service(
        ServiceError("busy", status=429, retry_after_s=3),
        ServiceError("loading", status=503, retry_after_s=900),
    )
    assert run(service, uploads(1)).failures == []
    assert service.slept == [3, 60]


def test_patience_ends() -> None:
    service = Service(*[ServiceError("busy", status=429, retry_after_s=60) for _ in range(20)])
    with pytest.raises(ServiceError, match="busy"):
        run(service, uploads(1))
    assert sum(service.slept) == 600


def test_a_service_that_does_not_ask_to_wait_is_not_waited_for() -> None:
    with pytest.raises(ServiceError, match="broken"):
        run(Service(ServiceError("broken", status=503)), uploads(1))


def test_a_lost_connection_is_tried_again_a_few_times() -> None:
    service = Service(*[ConnectionLostError("lost") for _ in range(4)])
    assert run(service, uploads(1)).documents == 1
    assert service.slept == [0.5, 1.0, 2.0, 4.0]


def test_a_connection_that_stays_lost_is_an_error() -> None:
    with pytest.raises(ConnectionLostError):
        run(Service(*[ConnectionLostError("lost") for _ in range(5)]), uploads(1))


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_a_refused_batch_is_sent_again_file_by_file(status: int) -> None:
    def send(files: Sequence[Upload], /) -> list[DocumentOutcome]:
        if any(file.id == "1.txt" for file in files):
            raise ServiceError("1.txt is too large", status=status)
        return ready(files)

    tally = ingest(uploads(3), send, lambda _: None)
    assert tally.documents == 3
    assert tally.failures == [("1.txt", "1.txt is too large")]


@pytest.mark.parametrize("status", [401, 404, 409, 500, 507])
def test_a_refusal_that_no_file_can_help_ends_the_run(status: int) -> None:
    with pytest.raises(ServiceError, match="no"):
        run(Service(ServiceError("no", status=status)), uploads(3))


def test_a_file_that_cannot_be_read_fails_alone(tmp_path: Path) -> None:
    def send(files: Sequence[Upload], /) -> list[DocumentOutcome]:
        for file in files:
            if isinstance(file.content, Path):
                file.content.read_bytes()
        return ready(files)

    tally = ingest([*uploads(1), Upload("gone.md", tmp_path / "gone.md")], send, lambda _: None)
    assert tally.documents == 2
    assert tally.failures == [("gone.md", "No such file or directory")]
