"""Vector databases as servers: Chroma and milvus-lite, on loopback, in a folder that is thrown away."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from harness.service import Service, clean_environment, free_port, open_server

# Chroma's clients and its server both report their use unless told not to.
CHROMA_ENVIRONMENT = {"ANONYMIZED_TELEMETRY": "False"}
CHROMA_PROBE = "/api/v2/heartbeat"


@asynccontextmanager
async def open_chroma(python: Path, folder: Path) -> AsyncIterator[Service]:
    """Chroma's server, ready; ``folder`` takes its data and its log."""
    port = free_port()
    command = [str(python.parent / "chroma"), "run", "--host", "127.0.0.1", "--port", str(port)]
    async with open_server(
        [*command, "--path", str(folder / "chroma")],
        port,
        (CHROMA_PROBE, CHROMA_PROBE),
        log=folder / "chroma.log",
        environment=clean_environment() | CHROMA_ENVIRONMENT,
    ) as service:
        yield service


@asynccontextmanager
async def open_milvus(python: Path, folder: Path) -> AsyncIterator[Service]:
    """milvus-lite's server, which speaks gRPC alone: ready when its port takes connections."""
    port = free_port()
    command = [str(python.parent / "milvus-lite"), "server", "--host", "127.0.0.1", "--port", str(port)]
    async with open_server(
        [*command, "--data-dir", str(folder / "milvus")],
        port,
        None,
        log=folder / "milvus.log",
        environment=clean_environment(),
    ) as service:
        yield service
