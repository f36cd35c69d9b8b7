"""Where the environments of other products are that the benches compare with; ``make peers`` makes them."""

from pathlib import Path

from harness.options import REPOSITORY

PEERS = REPOSITORY / "bench" / "out" / "peers"


def peer_python(name: str) -> Path | None:
    """The interpreter of a peer's environment; without one the reader is told, and there is None."""
    python = PEERS / name / "bin" / "python"
    if python.exists():
        return python
    print(f"{name} is not installed and left out: make peers")
    return None
