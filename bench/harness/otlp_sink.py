"""A collector that takes spans and does nothing with them: a process of its own, until its input ends.

Run as ``python -m harness.otlp_sink``; prints its port. Nothing is decoded, so that next to no time of the
machine that is measured goes into what would be elsewhere.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc

_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"


def _take(request: bytes, context: grpc.ServicerContext) -> bytes:  # noqa: ARG001 - the library's signature
    return b""


def main() -> None:
    """Serves until standard input is closed."""
    server = grpc.server(ThreadPoolExecutor(max_workers=1))
    handlers = {"Export": grpc.unary_unary_rpc_method_handler(_take)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(_SERVICE, handlers)])
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.read()
    server.stop(grace=None)


if __name__ == "__main__":
    main()
