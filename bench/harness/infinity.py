"""infinity-emb as a peer: the same model, in the ways it can run on a CPU."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from harness.peers import ONNX_MODEL
from harness.service import MODEL, Service, clean_environment, free_port, open_server

TORCH = ("--engine", "torch", "--no-bettertransformer", "--dtype")
# Its own optimiser asks optimum for what is no longer there; ONNX Runtime optimises by itself as well.
ONNX = ("--engine", "optimum", "--onnx-disable-optimize", "--pooling-method", "mean")
WAYS: dict[str, Sequence[str]] = {
    "infinity torch float32": (*TORCH, "float32"),
    "infinity torch bfloat16": (*TORCH, "bfloat16"),
    "infinity onnx float32": ONNX,
}
PATH = "/embeddings"
# It reports its use, and asks the hub about models, unless told not to.
ENVIRONMENT = {"DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0", "HF_HUB_OFFLINE": "1"}


@asynccontextmanager
async def open_infinity(python: Path, way: str, model: Path, folder: Path) -> AsyncIterator[Service]:
    """Infinity on a free port, ready; ``folder`` takes its log and cache."""
    port = free_port()
    onnx = WAYS[way] is ONNX
    command = [str(python.parent / "infinity_emb"), "v2", "--host", "127.0.0.1", "--port", str(port)]
    # It finds an ONNX file only in a folder named in relation to its own.
    command += ["--model-id", "./" if onnx else str(model), "--served-model-name", MODEL, "--device", "cpu"]
    environment = clean_environment() | ENVIRONMENT | {"HF_HOME": str(folder / "cache")}
    async with open_server(
        [*command, *WAYS[way]],
        port,
        ("/health", "/health"),
        log=folder / f"{way}.log",
        environment=environment,
        folder=ONNX_MODEL if onnx else None,
    ) as service:
        yield service
