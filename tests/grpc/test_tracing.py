"""Which statuses of calls a trace shows as failures; real spans are in tests/system/test_tracing.py."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from grpc import StatusCode

from api.grpc.tracing import FAILURES, following
from api.grpc.v1 import embedder_pb2
from api.tracing import Attributes

EMBED = embedder_pb2.DESCRIPTOR.services_by_name["Embedder"].methods_by_name["Embed"]


class Told:
    def __init__(self) -> None:
        self.carrier: dict[str, str] = {}
        self.told: Attributes = {}

    @contextmanager
    def request(self, _name: str, carrier: Mapping[str, str], _: Attributes) -> Iterator[Attributes]:
        self.carrier = dict(carrier)
        yield self.told


@pytest.mark.parametrize("status", list(StatusCode), ids=lambda status: status.name)
def test_what_the_server_is_to_blame_for_is_a_failure_and_nothing_else(status: StatusCode) -> None:
    tracing = Told()
    with following(tracing, EMBED, {}, lambda: status):
        pass
    assert tracing.told["rpc.grpc.status_code"] == status.value[0]
    assert tracing.told.get("error.type") == (status.name if status in FAILURES else None)


def test_the_status_is_told_also_where_an_error_goes_through() -> None:
    tracing = Told()
    with pytest.raises(KeyError), following(tracing, EMBED, {}, lambda: StatusCode.INTERNAL):
        raise KeyError("x")
    assert tracing.told["error.type"] == "INTERNAL"


def test_metadata_that_is_no_text_names_no_trace() -> None:
    tracing = Told()
    with following(tracing, EMBED, {"traceparent": "00-a-b-01", "other-bin": b"\x00"}, lambda: StatusCode.OK):
        pass
    assert tracing.carrier == {"traceparent": "00-a-b-01"}
