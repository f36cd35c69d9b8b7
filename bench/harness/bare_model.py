"""The yardstick for ingestion: the model alone, embedding the same texts, in a process of its own.

``python -m harness.bare_model MODEL < texts.json`` prints {"texts", "seconds"}: sentence-transformers as its
users call it, with its defaults and batches of 32; loading and a first batch are not counted.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1]
BATCH_SIZE = 32


async def bare_rate(folder: Path, texts: Sequence[str]) -> float:
    """Texts per second of the model in ``folder``.

    Raises:
        RuntimeError: the process failed; it has said why.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "harness.bare_model",
        str(folder),
        cwd=BENCH,
        env=os.environ | {"TQDM_DISABLE": "1"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate(json.dumps(list(texts)).encode())
    if process.returncode:
        raise RuntimeError(f"the bare model's process ended with {process.returncode}")
    result = json.loads(output)
    return float(result["texts"] / result["seconds"])


def main() -> None:
    """Runs in the process of its own: embeds what stands on standard input."""
    if not Path(sys.argv[1]).is_dir():
        sys.exit(f"no model in {sys.argv[1]}")  # sentence-transformers would look for it on a hub
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - only the child may import torch

    texts = json.load(sys.stdin)
    model = SentenceTransformer(sys.argv[1], device="cpu")
    model.encode(texts[:BATCH_SIZE], batch_size=BATCH_SIZE)
    started = time.perf_counter()
    model.encode(texts, batch_size=BATCH_SIZE)
    print(json.dumps({"texts": len(texts), "seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main()
