"""Files that wait for the jobs of a collection, in a folder beside its truth.

A file is called after its job and its place in it, ``<job>-<position>``, so whoever finds it knows whether it
is still waited for.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from index import files


class FolderUploads:
    """The ``Uploads`` of a collection of the data folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def keep(self, job_id: str, uploads: Mapping[int, Path]) -> None:
        """Moves the files, which are on the same disk."""
        await asyncio.to_thread(self._keep, job_id, uploads)

    def _keep(self, job_id: str, uploads: Mapping[int, Path]) -> None:
        with files.disk_in_words("files that wait to be ingested cannot be kept"):
            for position, upload in uploads.items():
                files.sync(upload)
                upload.rename(self._place(job_id, position))
            files.sync(self._folder)

    @asynccontextmanager
    async def fetched(self, job_id: str, positions: Sequence[int]) -> AsyncIterator[Mapping[int, Path]]:
        """All of them, where they lie."""
        yield {position: self._place(job_id, position) for position in positions}

    async def drop(self, job_id: str) -> None:
        await asyncio.to_thread(self._drop, job_id)

    def _drop(self, job_id: str) -> None:
        with files.disk_in_words("files that were ingested cannot be removed"):
            for upload in self._folder.glob(f"{job_id}-*"):
                upload.unlink(missing_ok=True)

    async def sweep(self, waiting: Collection[str]) -> None:
        await asyncio.to_thread(self._sweep, waiting)

    def _sweep(self, waiting: Collection[str]) -> None:
        with files.disk_in_words("files that nobody waits for cannot be removed"):
            for upload in self._folder.iterdir():
                if upload.name.rpartition("-")[0] not in waiting:
                    upload.unlink()

    def _place(self, job_id: str, position: int) -> Path:
        return self._folder / f"{job_id}-{position}"
