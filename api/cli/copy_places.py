"""What ``embedd copy`` copies from and into: a data folder, or the PostgreSQL that services share."""

import importlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from api.services.belongings import Belongings
from api.services.folder_belongings import FolderBelongings
from api.storage import shared
from index.catalog import open_catalog
from index.catalogs import Collections
from index.copying.folder import open_folder
from index.copying.marks import FolderMarks, Marks
from index.copying.source import Sources
from index.errors import DataFolderInUse

_POSTGRES: Final = "postgresql://"


@dataclass(frozen=True, slots=True)
class Origin:
    """A catalog to copy from."""

    catalog: Sources
    belongings: Belongings


@dataclass(frozen=True, slots=True)
class Target:
    """A catalog to copy into; ``settled`` waits until searches find what was written to a collection."""

    catalog: Collections
    marks: Marks
    belongings: Belongings
    settled: Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Vectors:
    """The Milvus at ``url``, in which the names of a target begin with ``prefix``."""

    url: str
    prefix: str


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
async def open_source(place: str) -> AsyncIterator[Origin]:
    """The catalog at ``place``; a data folder is read beside its service.

    Raises:
        StoreError: there are none, or they cannot be read.
        SettingsError: it takes an extra.
    """
    if not place.startswith(_POSTGRES):
        async with open_folder(Path(place)) as folder:
            yield Origin(folder, FolderBelongings(Path(place)))
        return
    async with _shared().open_shared_source(place) as (catalog, belongings):
        yield Origin(catalog, belongings)


@asynccontextmanager
async def open_target(place: str, vectors: Vectors | None) -> AsyncIterator[Target]:
    """The catalog at ``place``, whose passages are brought to ``vectors`` as well, if any.

    Raises:
        StoreError: it cannot be used, or a service has the data folder.
        SettingsError: it takes an extra.
    """
    async with _opened_target(place) as target:
        if vectors is None:
            yield target
            return
        module = importlib.import_module("index.milvus.catalog")
        async with module.open_milvus_catalog(target.catalog, vectors.url, prefix=vectors.prefix) as catalog:
            yield replace(target, catalog=catalog, settled=partial(_settled_in_milvus, catalog))


@asynccontextmanager
async def _opened_target(place: str) -> AsyncIterator[Target]:
    if place.startswith(_POSTGRES):
        async with _shared().open_shared_target(place) as (shared_catalog, marks, belongings):
            yield Target(shared_catalog, marks, belongings, _settled_at_once)
        return
    data = Path(place)
    try:
        async with open_catalog(data) as catalog:
            yield Target(catalog, FolderMarks(data), FolderBelongings(data), _settled_at_once)
    except DataFolderInUse as error:
        raise click.ClickException(f"{error}: stop it, or copy into another folder") from error


def _shared() -> Any:
    shared()
    return importlib.import_module("api.shared.copying")


async def _settled_at_once(_name: str) -> None:
    """A catalog finds what it has."""


async def _settled_in_milvus(catalog: Any, name: str) -> None:
    await (await catalog.get(name)).mirror.caught_up()
