"""The parts of an Office Open XML document and how they refer to each other (ECMA-376 part 2)."""

import posixpath
from dataclasses import dataclass

from api.services.extraction.archive import Archive
from api.services.extraction.xml_events import Start, read_events

_CORE_PROPERTIES = "docProps/core.xml"


@dataclass(frozen=True, slots=True)
class Relation:
    """``kind`` is the last word of the relationship's type; ``part`` is where it leads to inside the file."""

    kind: str
    part: str


def relations(archive: Archive, part: str) -> dict[str, Relation]:
    """What ``part`` refers to, by id; ``part`` is empty for the document itself. Nothing outside of the file.

    Raises:
        UnreadableFile: damaged.
    """
    folder, name = posixpath.split(part)
    listed_in = posixpath.join(folder, "_rels", f"{name}.rels")
    if listed_in not in archive:
        return {}
    with archive.open(listed_in) as stream:
        found = [event.attributes for event in read_events(stream) if isinstance(event, Start)]
    return {
        one["Id"]: Relation(one.get("Type", "").rpartition("/")[2], _absolute(folder, one["Target"]))
        for one in found
        if "Id" in one and "Target" in one and one.get("TargetMode") != "External"
    }


def main_part(archive: Archive, usual: str) -> str:
    """The part that holds the document; ``usual`` where the file does not say."""
    named = (one.part for one in relations(archive, "").values() if one.kind == "officeDocument")
    return next(named, usual)


def core_title(archive: Archive) -> str | None:
    """The title in the document's properties, None without one."""
    return text_of(archive, _CORE_PROPERTIES, "title") if _CORE_PROPERTIES in archive else None


def text_of(archive: Archive, part: str, element: str) -> str | None:
    """The text of the first ``element`` in ``part``, None if it is not there or blank."""
    words: list[str] = []
    inside = False
    with archive.open(part) as stream:
        for event in read_events(stream):
            if isinstance(event, str):
                words += [event] if inside else []
            elif event.name == element:
                inside = isinstance(event, Start)
                if not inside:
                    break
    return " ".join("".join(words).split()) or None


def _absolute(folder: str, target: str) -> str:
    return posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
