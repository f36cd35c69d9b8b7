"""All collections of a catalog, or some of them, copied into another catalog, with their aliases.

Everything that could stand against it is looked for first, so that what is refused has changed nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from index.catalogs import Collections
from index.collection_settings import check_name, differences
from index.copying.beginning import begin, find_mark
from index.copying.collection import CollectionCopy, Tell
from index.copying.marks import Mark, Marks
from index.copying.source import Source, Sources
from index.errors import CopyRefused
from index.rows import CollectionSettings
from index.store import Store


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which collections: those of these names or aliases, all without any; one of them may go by another
    name, ``called``, and leaves its aliases.
    """

    names: Sequence[str] = ()
    called: str | None = None


@dataclass(frozen=True, slots=True)
class _Plan:
    """One collection to copy: where it goes, and how far it has come."""

    source: Source
    target: Store | None
    name: str
    mark: Mark | None


class CatalogCopy:
    """Of what is ``wanted`` of ``sources`` into ``targets``, whose marks are ``marks``."""

    def __init__(
        self, sources: Sources, targets: Collections, marks: Marks, wanted: Wanted, tell: Tell
    ) -> None:
        self._sources = sources
        self._targets = targets
        self._marks = marks
        self._wanted = wanted
        self._tell = tell
        self._copies: dict[str, CollectionCopy] = {}

    @property
    def copies(self) -> Sequence[CollectionCopy]:
        """Of each collection, in the order of their names."""
        return [self._copies[name] for name in sorted(self._copies)]

    async def catch_up(self) -> int:
        """Until all is there that had happened when this was called: new collections and aliases too. Gives
        how many changes that were, but for those that collections were filled with.

        Raises:
            CollectionNotFound: one that was asked for is not in the source.
            CopyRefused: something of the target stands against it; nothing was changed.
        """
        await self._sources.refresh()
        await self._targets.refresh()
        plans = [await self._plan(name) for name in await self._names()]
        aliases = self._aliases({plan.source.settings.name for plan in plans})
        self._check_aliases(aliases, {plan.name for plan in plans})
        for plan in plans:
            await self._carry_out(plan)
        # What was dropped since stays as it was copied.
        self._copies = {plan.name: self._copies[plan.name] for plan in plans}
        changes = sum([len(await copy.catch_up()) for copy in self.copies])
        for alias, name in aliases.items():
            if self._targets.aliases.get(alias) != name:
                await self._targets.assign(alias, name)
        return changes

    async def _names(self) -> list[str]:
        if not self._wanted.names:
            return list(self._sources.names())
        return [await self._sources.resolve(name) for name in self._wanted.names]

    async def _plan(self, source_name: str) -> _Plan:
        source = await self._sources.get(source_name)
        name = self._wanted.called or source_name
        check_name(name)
        if name in self._copies:
            return _Plan(source, self._copies[name].target, name, None)
        if (meaning := self._targets.aliases.get(name)) is not None:
            raise CopyRefused(
                f"{name!r} is an alias of {meaning!r} there: drop the alias, or copy as another one"
            )
        target = await self._targets.get(name) if name in self._targets.names() else None
        if target is not None:
            _check_settings(target.settings, source.settings)
        return _Plan(source, target, name, await find_mark(source, target, name, self._marks))

    async def _carry_out(self, plan: _Plan) -> None:
        settings = replace(plan.source.settings, name=plan.name)
        target = plan.target or (await self._targets.create(settings))[0]
        if target.settings.description != settings.description:
            await target.describe(settings.description)
        if (known := self._copies.get(plan.name)) is not None:
            known.source = plan.source
            return
        mark = plan.mark or await begin(plan.source, target, self._marks)
        self._copies[plan.name] = CollectionCopy(plan.source, target, self._marks, mark, self._tell)

    def _aliases(self, names: set[str]) -> Mapping[str, str]:
        """Those to be made, and of which collection."""
        if self._wanted.called is not None:
            return {}
        return {alias: name for alias, name in self._sources.aliases.items() if name in names}

    def _check_aliases(self, aliases: Mapping[str, str], ours: set[str]) -> None:
        """Raises:
        CopyRefused: one of them stands for something else there, and it is not a copy's.
        """
        for alias in aliases:
            if alias in self._targets.names():
                raise CopyRefused(f"{alias!r} is an alias here, and a collection there: rename one of them")
            meaning = self._targets.aliases.get(alias)
            if meaning is not None and meaning not in ours:
                raise CopyRefused(
                    f"the alias {alias!r} stands for {meaning!r} there, which is not copied: drop it there"
                )


def _check_settings(target: CollectionSettings, source: CollectionSettings) -> None:
    asked = replace(source, name=target.name, description=target.description)
    if different := differences(target, asked):
        listed = ", ".join(f"{key} is {old!r} there, not {new!r}" for key, (old, new) in different.items())
        raise CopyRefused(
            f"{target.name!r} is there with other settings: {listed}; drop it there, or copy as another one"
        )
