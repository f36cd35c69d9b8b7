"""How far a job is, how fast it goes, and when it will be done, as far as that can be told.

How far is on disk; how fast is only known of what this process has seen.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a job is: documents and their bytes, and the ``passages`` that were made of them.

    Bytes are those of files and texts as they came; both are 0 where nothing came.
    """

    documents: int
    documents_total: int
    done_bytes: int = 0
    size_bytes: int = 0
    passages: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """A standing, the ``rate`` in documents a second, and the seconds left: None while nothing tells."""

    standing: Standing
    rate: float = 0.0
    seconds_left: float | None = None


class Paces:
    """When this process took up each running job, and how far it was then."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began: dict[str, tuple[float, Standing]] = {}

    def take_up(self, job_id: str, standing: Standing) -> None:
        """The job begins now, or goes on after a restart; all later standings are held against this one."""
        self._began.setdefault(job_id, (self._clock(), standing))

    def let_go(self, job_id: str) -> None:
        self._began.pop(job_id, None)

    def progress(self, job_id: str, now: Standing) -> Progress:
        """Bytes tell the time left where they are known, since documents are of all sizes."""
        if job_id not in self._began:
            return Progress(now)
        began, then = self._began[job_id]
        elapsed_s = max(self._clock() - began, 1e-3)
        rate = (now.documents - then.documents) / elapsed_s
        done, left = now.done_bytes - then.done_bytes, now.size_bytes - now.done_bytes
        if not now.size_bytes:
            done, left = now.documents - then.documents, now.documents_total - now.documents
        return Progress(now, rate, left * elapsed_s / done if done > 0 else None)


def ended(standing: Standing, created_at: str, finished_at: str) -> Progress:
    """Of a job that has ended; its rate is over all the time since it came."""
    took = datetime.fromisoformat(finished_at) - datetime.fromisoformat(created_at)
    return Progress(standing, standing.documents / max(took.total_seconds(), 1e-3), 0.0)
