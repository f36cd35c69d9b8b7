"""Jobs as they are answered: work that goes on after its request was, and how far it is."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from api.schemas import Answer, DocumentOutcome, NoQuery

JobStatus = Literal["running", "finished", "cancelled"]


class JobProgress(Answer):
    """``bytes`` are those of files and texts as they came, ``passages`` those that were embedded or written.

    ``rate`` is in documents a second; ``seconds_left`` is null while nothing tells, and 0 at the end.
    """

    documents: int
    documents_total: int
    bytes: int
    bytes_total: int
    passages: int
    rate: float
    seconds_left: float | None


class JobAnswer(Answer):
    """``documents`` tell, once it has ended, what became of each; of a cancelled job those that were done."""

    id: str
    collection: str
    status: JobStatus
    total: int
    done: int
    failed: int
    created_at: str
    finished_at: str | None
    progress: JobProgress
    documents: list[DocumentOutcome] | UnsetType = UNSET
    switched: list[str] | UnsetType = UNSET
    error: str | UnsetType = UNSET


class JobAccepted(Answer):
    job: JobAnswer


class JobList(Answer):
    jobs: list[JobAnswer]


class JobsQuery(NoQuery):
    """Those of one collection, or of all."""

    collection: str | None = None
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100
