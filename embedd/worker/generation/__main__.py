"""The generator's worker: ``python -m embedd.worker.generation --folder .. --sha256 .. --fd N``; see
``server``.
"""

import argparse
import contextlib
import os
import socket
from pathlib import Path

from embedd.serving import watch_peer


def main() -> None:
    arguments = _parse_arguments()
    sock = socket.socket(fileno=arguments.fd)
    sock.set_inheritable(False)
    watch_peer(sock)
    os.environ.setdefault(
        "OMP_WAIT_POLICY", "PASSIVE"
    )  # read when torch is loaded: its threads sleep, not spin
    from embedd.worker.generation.loading import Settings, load  # noqa: PLC0415 - this is what loads it
    from embedd.worker.generation.model import Placement  # noqa: PLC0415
    from embedd.worker.generation.server import Server  # noqa: PLC0415

    settings = Settings(
        folder=arguments.folder,
        sha256=arguments.sha256,
        placement=Placement(device=arguments.device, dtype=arguments.dtype, int8=arguments.weights == "int8"),
        threads=arguments.threads,
        kv_tokens=arguments.kv_tokens,
        max_batch_tokens=arguments.max_batch_tokens,
    )
    with contextlib.suppress(ConnectionError):  # the peer left before it had its answer
        Server(sock, lambda: load(settings)).run()


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="embedd.worker.generation", description="One replica of a generator."
    )
    parser.add_argument("--fd", type=int, required=True, help="the socket to serve, inherited")
    parser.add_argument("--folder", type=Path, required=True, help="the model's files")
    parser.add_argument("--sha256", required=True, help="what the weights must have")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", choices=["auto", "float32", "bfloat16", "float16"], default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kv-tokens", type=int, help="tokens whose keys and values are kept")
    parser.add_argument("--max-batch-tokens", type=int, help="rows of a step")
    parser.add_argument("--weights", choices=["int8"], help="in a byte each, on a CPU")
    return parser.parse_args()


if __name__ == "__main__":
    main()
