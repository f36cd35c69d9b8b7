"""What ``embedd copy`` copies from and into: a data folder, or the PostgreSQL that services share."""

import importlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from api.storage import shared
from index.catalog import open_catalog
from index.catalogs import Collections
from index.copying.folder import open_folder
from index.copying.marks import FolderMarks, Marks
from index.copying.source import Sources
from index.errors import DataFolderInUse

_POSTGRES: Final = "postgresql://"


@dataclass(frozen=True, slots=True)
class Target:
    """A catalog to copy into; ``settled`` waits until searches find what was written to a collection."""

    catalog: Collections
    marks: Marks
    settled: Callable[[str], Awaitable[None]]


def check_places(source: str, target: str) -> None:
    """Raises:
    click.UsageError: one of them is something else, or both are the same.
    """
    for place in (source, target):
        scheme, is_url, _ = place.partition("://")
        if is_url and f"{scheme}://" != _POSTGRES:
            raise click.UsageError(
                f"{scheme}:// cannot be copied: name the data folder of the service, which may go on running,"
                f" or the {_POSTGRES} that is its catalog"
            )
    if source == target or (
        "://" not in source + target and Path(source).resolve() == Path(target).resolve()
    ):
        raise click.UsageError("SOURCE and TARGET are the same")


@asynccontextmanager
async def open_source(place: str) -> AsyncIterator[Sources]:
    """The collections at ``place``; those of a data folder are read beside its service.

    Raises:
        StoreError: there are none, or they cannot be read.
        SettingsError: it takes an extra.
    """
    if not place.startswith(_POSTGRES):
        async with open_folder(Path(place)) as folder:
            yield folder
        return
    async with _shared().open_shared_source(place) as catalog:
        yield catalog


@asynccontextmanager
async def open_target(place: str, vectors: str | None) -> AsyncIterator[Target]:
    """The catalog at ``place``, whose passages are brought to the Milvus at ``vectors`` as well, if any.

    Raises:
        StoreError: it cannot be used, or a service has the data folder.
        SettingsError: it takes an extra.
    """
    async with _opened_target(place) as (below, marks):
        if vectors is None:
            yield Target(below, marks, _settled_at_once)
            return
        module = importlib.import_module("index.milvus.catalog")
        async with module.open_milvus_catalog(below, vectors) as catalog:
            yield Target(catalog, marks, lambda name: _settled_in_milvus(catalog, name))


@asynccontextmanager
async def _opened_target(place: str) -> AsyncIterator[tuple[Collections, Marks]]:
    if place.startswith(_POSTGRES):
        async with _shared().open_shared_target(place) as (shared_catalog, marks):
            yield shared_catalog, marks
        return
    try:
        async with open_catalog(Path(place)) as catalog:
            yield catalog, FolderMarks(Path(place))
    except DataFolderInUse as error:
        raise click.ClickException(f"{error}: stop it, or copy into another folder") from error


def _shared() -> Any:
    shared()
    return importlib.import_module("api.shared.copying")


async def _settled_at_once(_name: str) -> None:
    """A catalog finds what it has."""


async def _settled_in_milvus(catalog: Any, name: str) -> None:
    await (await catalog.get(name)).mirror.caught_up()
