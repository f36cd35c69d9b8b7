"""The worker's entry: ``python -m embedd.worker --backend .. --fd N``. Serves ``load`` and ``run``."""

import argparse
import time
from collections.abc import Mapping
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np

from embedd.frames import Message
from embedd.serving import serve
from embedd.worker.backend import Backend, Batch
from embedd.worker.fake_backend import FakeBackend, Faults


def main() -> None:
    arguments = _parse_arguments()
    backend = _choose_backend(arguments)
    serve(arguments.fd, {"load": lambda _: backend.load(), "run": lambda payload: run(backend, payload)})


def run(backend: Backend, payload: Message) -> Mapping[str, object]:
    """A batch as frames carry it, its ``ids`` end to end, and its output, the token vectors end to end."""
    ids, borders = payload["ids"], [0, *accumulate(payload["lengths"])]
    batch = Batch(
        [ids[first:last] for first, last in pairwise(borders)],
        np.array(payload["seconds"], dtype=np.int32),
        payload["token_rows"],
        payload["token_dtype"],
    )
    began = time.perf_counter()
    output = backend.run(batch)
    reply = {"rows": output.rows, "bad": list(output.bad), "seconds": time.perf_counter() - began}
    return {**reply, "tokens": np.concatenate(output.tokens)} if output.tokens else reply


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="embedd.worker", description="One replica of an embedding model.")
    parser.add_argument("--fd", type=int, required=True, help="the socket to serve, inherited")
    parser.add_argument("--backend", choices=["sentence-transformers", "fake"], required=True)
    parser.add_argument("--kind", choices=["embedding", "reranking"], default="embedding")
    parser.add_argument("--folder", type=Path, help="the model's files")
    parser.add_argument("--sha256", help="what the weights must have")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", choices=["auto", "float32", "bfloat16", "float16"], default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="through torch.compile")
    parser.add_argument("--faults", type=Path, help="make the fake model misbehave, for tests")
    return parser.parse_args()


def _choose_backend(arguments: argparse.Namespace) -> Backend:
    if arguments.backend == "fake":
        return FakeBackend(arguments.kind, Faults(arguments.faults) if arguments.faults else None)
    # The fake model needs none of it.
    from embedd.worker.encoder import Encoder, Placement  # noqa: PLC0415

    placement = Placement(
        device=arguments.device,
        dtype=arguments.dtype,
        threads=arguments.threads,
        compile=arguments.compile,
    )
    return Encoder(arguments.folder, arguments.sha256, arguments.kind, placement)


if __name__ == "__main__":
    main()
