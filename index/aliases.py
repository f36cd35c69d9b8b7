"""Other names for collections, in ``aliases.json`` of the data folder.

The file is replaced as a whole, written beside and renamed, so after a crash either all of a change is there
or nothing of it. A name is a collection's or an alias, never both; that is for the caller to see to.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from index import files
from index.errors import NameTaken, StorageFailed

FILE_NAME: Final = "aliases.json"


class Aliases:
    """The aliases of a data folder, read once. Methods that write block, and are called one at a time."""

    def __init__(self, folder: Path) -> None:
        """Raises:
        StorageFailed: the file cannot be read.
        """
        self._path = folder / FILE_NAME
        self._targets = read(self._path)

    @property
    def targets(self) -> Mapping[str, str]:
        """The collection of every alias."""
        return self._targets

    def resolve(self, name: str) -> str:
        """The collection that ``name`` stands for; itself, if it is no alias."""
        return self._targets.get(name, name)

    def of(self, collection: str) -> list[str]:
        """The aliases of a collection, sorted."""
        return sorted(alias for alias, target in self._targets.items() if target == collection)

    def change(self, targets: Mapping[str, str | None]) -> None:
        """Give aliases these collections, all at once; those with None are aliases no more.

        Raises:
            StorageFull, StorageFailed: it could not be written; nothing was changed.
        """
        changed = {
            name: target for name, target in {**self._targets, **targets}.items() if target is not None
        }
        if changed != self._targets:
            _replace(self._path, changed)
            self._targets = changed

    def move(self, names: Iterable[str], old: str, new: str) -> None:
        """Give aliases of the collection ``old`` to ``new``, all at once; those that it has already stay.

        Raises:
            NameTaken: one of them is another's, or none; nothing was changed.
            StorageFull, StorageFailed: it could not be written; nothing was changed.
        """
        targets = dict.fromkeys(names, new)
        for name in targets:
            if self._targets.get(name) not in (old, new):
                raise NameTaken(name, f"is no alias of {old!r}")
        self.change(targets)


def read(path: Path) -> dict[str, str]:
    """The collection of every alias; none where there is no file.

    Raises:
        StorageFailed: it cannot be read, or holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StorageFailed(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(target, str) for target in found.values()):
        raise StorageFailed(f"{path} does not say which collection each alias stands for")
    return found


def _replace(path: Path, targets: Mapping[str, str]) -> None:
    draft = path.with_name(f"{path.name}.tmp")
    with files.disk_in_words("the aliases cannot be written"):
        draft.write_text(json.dumps(targets, indent=2, sort_keys=True), encoding="utf-8")
        files.sync(draft)
        draft.replace(path)
        files.sync(path.parent)
