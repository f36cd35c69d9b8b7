"""A model as it is now: what is kept of it, what runs, and what is on its way."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from api.services.model_rows import ModelRow
from api.services.registry import Kind, ModelState, Registry
from embedd.fetching import Progress
from embedd.remote.specs import is_remote
from embedd.specs import lies_afar

UnderWay = Literal["downloading", "loading"]
Status = Literal["registered", "downloading", "loading", "ready", "stalled", "failed"]


@dataclass(frozen=True, slots=True)
class Weights:
    """What a model should answer with. None: ``source`` and ``allow_pickle`` are as they were, ``revision``
    and ``sha256`` whatever is found there.
    """

    source: str | None = None
    revision: str | None = None
    sha256: str | None = None
    allow_pickle: bool | None = None

    def of(self, row: ModelRow) -> ModelRow:
        """The model ``row`` with these."""
        return replace(
            row,
            source=row.source if self.source is None else self.source,
            revision=self.revision,
            sha256=self.sha256,
            allow_pickle=row.allow_pickle if self.allow_pickle is None else self.allow_pickle,
            standing="registered",
            reason="",
            size_bytes=None,
        )


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model as it is now; without a ``row`` settings name it.

    ``progress`` counts the bytes of files out of a bucket that are being fetched, or were since the start.
    ``coming`` says how far the weights of the ``row`` are while others still answer for it.
    """

    name: str
    kind: Kind
    status: Status
    reason: str
    row: ModelRow | None = None
    state: ModelState | None = None
    progress: Progress | None = None
    coming: UnderWay | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether it will be another one soon, or not."""
        return self.coming is not None or self.status in ("downloading", "loading")


def record_of(
    row: ModelRow, registry: Registry[Any], progress: Progress | None, *, is_coming: bool, others_answer: bool
) -> ModelRecord:
    """The model of ``row``. Others than its weights answer until they have come, or where they could not."""
    state = next((state for state in registry.states() if state.name == row.name), None)
    status, reason = _status(row, registry, state, progress)
    if others_answer and not is_coming:
        status, reason = "failed", row.reason
    coming = _under_way(row, progress) if others_answer and is_coming else None
    return ModelRecord(row.name, row.kind, status, reason, row, state, progress, coming)


def _status(
    row: ModelRow, registry: Registry[Any], state: ModelState | None, progress: Progress | None
) -> tuple[Status, str]:
    if not row.enabled:
        return "registered", ""
    if row.name in registry.coming:
        waits_for = registry.coming[row.name] if is_remote(row.source) else ""
        return _under_way(row, progress), waits_for
    if state is None:
        return row.standing, row.reason
    return state.status.state, state.status.reason or row.reason


def _under_way(row: ModelRow, progress: Progress | None) -> UnderWay:
    fetches = lies_afar(row.source) and not (progress and progress.is_complete)
    return "downloading" if fetches else "loading"
