"""``embedd copy``: the collections of one catalog into another, while services go on."""

import asyncio
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import click
import structlog

from api.cli.copy_places import Target, Vectors, check_places, open_source, open_target
from api.cli.copy_progress import Progress
from api.cli.data_folder import stores_in_words
from api.cli.terminal import standard_error
from api.services.belongings import Copied, copy_belongings
from api.settings import Settings, SettingsError
from index.copying.catalog import CatalogCopy, Wanted
from index.copying.comparison import Comparison, compare
from index.errors import StoreUnavailable

_LOOK_EVERY_S: Final = 0.5
_RETRY_S: Final = 2.0
_NAMED: Final = 5


@click.command()
@click.argument("source")
@click.argument("target")
@click.option("--collection", "-c", "names", multiple=True, help="Only this one; may be given again.")
@click.option("--as", "called", metavar="NAME", help="Call the one collection so in TARGET.")
@click.option(
    "--target-vectors", metavar="URL", help="The Milvus that finds the passages of TARGET; filled as well."
)
@click.option(
    "--target-vectors-prefix",
    metavar="TEXT",
    default=Settings.model_fields["vectors_prefix"].default,
    show_default=True,
    help="What its names begin with there, as with the setting vectors_prefix.",
)
@click.option("--follow", is_flag=True, help="Then bring over what is written to SOURCE, until interrupted.")
@click.pass_context
def copy(
    ctx: click.Context,
    *,
    source: str,
    target: str,
    names: tuple[str, ...],
    called: str | None,
    target_vectors: str | None,
    target_vectors_prefix: str,
    follow: bool,
) -> None:
    """Copy collections and their aliases from SOURCE into TARGET: data folders, or postgresql:// URLs. API
    keys, added models and conversations go along, unless collections are named.

    Services may go on writing to SOURCE; nobody else writes to the copies. Versions, times and every bit of
    the vectors are kept. At the end both sides are read and compared; the exit code is 1 if anything differs.
    A copy that was cut short goes on where it was when it is started again. Jobs that wait are not copied.
    """
    check_places(source, target)
    if called is not None and len(names) != 1:
        raise click.UsageError("--as names one collection: say which with --collection")
    wanted = Wanted(names, called)
    vectors = Vectors(target_vectors, target_vectors_prefix) if target_vectors else None
    with stores_in_words(), _log_to_standard_error():
        try:
            agrees = asyncio.run(_copy(source, target, vectors, wanted, follow=follow))
        except SettingsError as error:
            raise click.ClickException(str(error)) from error
    ctx.exit(0 if agrees else 1)


@contextmanager
def _log_to_standard_error() -> Iterator[None]:
    """Standard output is for what came of it; of what is logged on the way, warnings are of use."""
    before = structlog.get_config()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    try:
        yield
    finally:
        structlog.configure(**before)


async def _copy(source: str, target: str, vectors: Vectors | None, wanted: Wanted, *, follow: bool) -> bool:
    """Whether everything is the same."""
    progress = Progress(standard_error())
    async with open_source(source) as here, open_target(target, vectors) as there:
        copy = CatalogCopy(here.catalog, there.catalog, there.marks, wanted, progress.step)
        await copy.catch_up()
        if not copy.copies:
            raise click.ClickException("there are no collections in SOURCE")
        agrees = await _compare(copy, there)
        if follow:
            await _follow(copy, progress)
            agrees = _tell_followed(copy) and agrees
        if not wanted.names:
            click.echo(_told_beside(await copy_belongings(here.belongings, there.belongings)))
        return agrees


def _told_beside(copied: Copied) -> str:
    counted = (f"{copied.keys:,} API keys", f"{copied.models:,} added models")
    return f"{', '.join(counted)} and {copied.conversations:,} conversations are there as well"


async def _compare(copy: CatalogCopy, there: Target) -> bool:
    agrees = True
    for each in copy.copies:
        comparison = await compare(each)
        await there.settled(each.name)
        click.echo(f"{each.name}: {_told(comparison)}")
        agrees = agrees and comparison.agrees
    return agrees


def _told(comparison: Comparison) -> str:
    meanwhile = f", {comparison.changed:,} changed meanwhile" if comparison.changed else ""
    if comparison.agrees:
        source = comparison.source
        return f"{source.documents:,} documents, checksum {source.checksum} on both sides{meanwhile}"
    sides = [f"{side.documents:,} ({side.checksum})" for side in (comparison.source, comparison.target)]
    return f"{_differing(comparison.differing)}; source {sides[0]}, target {sides[1]}{meanwhile}"


def _differing(ids: tuple[str, ...]) -> str:
    listed = ", ".join(ids[:_NAMED]) + (", ..." if len(ids) > _NAMED else "")
    return f"{len(ids):,} documents differ: {listed}"


async def _follow(copy: CatalogCopy, progress: Progress) -> None:
    """Until SIGINT or SIGTERM, and until all is there that had happened by then."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    progress.say("following; interrupt (Ctrl-C) to end")
    while not stop.is_set():
        try:
            await copy.catch_up()
            pause_s = _LOOK_EVERY_S
        except StoreUnavailable as error:
            progress.say(str(error))
            pause_s = _RETRY_S
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await stop.wait()
    await copy.catch_up()


def _tell_followed(copy: CatalogCopy) -> bool:
    differing = [(each.name, tuple(sorted(each.differing))) for each in copy.copies if each.differing]
    for name, ids in differing:
        click.echo(f"{name}: {_differing(ids)}")
    if not differing:
        click.echo("Behind by nothing; every change was read back as it was written")
    return not differing
