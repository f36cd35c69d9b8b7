"""The gRPC server: opened with its service, stopped with it.

Knows sockets and limits; methods are in `api.grpc.methods`. Loaded only where gRPC is on.
"""

import errno
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from itertools import groupby

import grpc

from api.grpc.calls import Edge, Method
from api.grpc.certificates import Certificates
from api.grpc.methods import methods_of
from api.security.tls import TlsFiles, read_tls_files
from api.services.container import Services
from api.settings import Settings

_QUIET_S = 30
_ANSWER_S = 20
"""Of a connection that has been quiet, until it is asked whether somebody is there, and for the answer."""


class GrpcServer:
    """A server that answers at ``address``."""

    def __init__(
        self, server: grpc.aio.Server, edge: Edge, address: str, certificates: Certificates | None
    ) -> None:
        self.address = address
        self._server = server
        self._edge = edge
        self._certificates = certificates

    def renew(self, files: TlsFiles) -> None:
        """Let connections from now on see these certificates."""
        assert self._certificates is not None, "it listens with some"
        self._certificates.renew(files)

    async def stop(self, timeout_s: float) -> None:
        """Take no more calls and return when those that run are answered; after ``timeout_s`` they are
        cancelled.
        """
        self._edge.closing.set()
        await self._server.stop(timeout_s)


@asynccontextmanager
async def open_server(services: Services, host: str, port: int) -> AsyncIterator[GrpcServer]:
    """A server that listens; port 0 takes any free one.

    Raises:
        OSError: it cannot listen there.
    """
    edge = Edge(services)
    server = grpc.aio.server(options=_options(services.settings))
    for name, handlers in _by_service(edge, methods_of(services.settings)):
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
    files = read_tls_files(services.settings)
    certificates = None if files is None else Certificates(files)
    bound = _listen(server, _join(host, port), certificates)
    await server.start()
    opened = GrpcServer(server, edge, _join(host, bound), certificates)
    try:
        yield opened
    finally:
        edge.closing.set()
        await server.stop(None)


def _by_service(
    edge: Edge, methods: Iterable[Method]
) -> Iterable[tuple[str, Mapping[str, grpc.RpcMethodHandler]]]:
    for name, some in groupby(methods, key=lambda method: method.proto.containing_service.full_name):
        yield name, {method.proto.name: edge.serve(method) for method in some}


def _options(settings: Settings) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 0),  # else a port that is taken would be shared, and nobody told
        ("grpc.max_receive_message_length", settings.max_json_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.keepalive_time_ms", _QUIET_S * 1000),
        ("grpc.keepalive_timeout_ms", _ANSWER_S * 1000),
    ]


def _listen(server: grpc.aio.Server, address: str, certificates: Certificates | None) -> int:
    try:
        if certificates is None:
            port: int = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, certificates.credentials())
    except RuntimeError as error:
        raise OSError(
            errno.EADDRINUSE,
            f"gRPC cannot listen on {address}, which may be in use: choose another port with --grpc-port, or "
            "0 for none",
        ) from error
    return port


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
