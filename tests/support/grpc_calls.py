"""A gRPC server over a service in this process, and clients of it with the generated stubs."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from api.grpc.server import GrpcServer, open_server
from api.grpc.v1.embedder_pb2_grpc import EmbedderStub
from api.grpc.v1.index_pb2_grpc import IndexStub
from api.grpc.v1.inferencer_pb2_grpc import InferencerStub
from api.services.container import Services

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Caller:
    """Stubs of all services over one connection."""

    channel: grpc.aio.Channel
    embedder: Any
    index: Any
    inferencer: Any


@dataclass(frozen=True, slots=True)
class Refused:
    """How a call was refused: its status and details by their kind."""

    code: grpc.StatusCode
    message: str
    details: dict[type, Any] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        reason: str = self.details[error_details_pb2.ErrorInfo].reason
        return reason


@asynccontextmanager
async def open_caller(address: str, **options: Any) -> AsyncIterator[Caller]:
    async with grpc.aio.insecure_channel(address, **options) as channel:
        yield Caller(channel, EmbedderStub(channel), IndexStub(channel), InferencerStub(channel))


@asynccontextmanager
async def serving(services: Services, **options: Any) -> AsyncIterator[tuple[GrpcServer, Caller]]:
    """A server on any free port, and a client of it."""
    async with (
        open_server(services, LOOPBACK, 0, **options) as server,
        open_caller(server.address) as caller,
    ):
        yield server, caller


async def refused(call: Awaitable[Any]) -> Refused:
    """How ``call`` is refused."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return refusal_of(error)
    raise AssertionError(f"was answered: {answer}")


def refusal_of(error: grpc.aio.AioRpcError) -> Refused:
    status = rpc_status.from_call(error)
    return Refused(
        error.code(), error.details() or "", dict(map(_unpacked, status.details if status else ()))
    )


def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test open a second server over a service, whose series are registered already."""
    monkeypatch.setattr("api.grpc.calls.CallMetrics", lambda _: _Uncounted())


class _Uncounted:
    def add(self, *_: object) -> None: ...


def rows_of(response: Any) -> np.ndarray:
    """The vectors (n, dim) of an answer of Embed."""
    return np.frombuffer(response.vectors, dtype="<f4").reshape(-1, response.dim)


def _unpacked(packed: Any) -> tuple[type, Message]:
    kind = getattr(error_details_pb2, packed.TypeName().rpartition(".")[2])
    message = kind()
    assert packed.Unpack(message)
    return kind, message
