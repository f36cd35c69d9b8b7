"""XML as a stream of what opens, closes and stands between; nothing is kept, so any depth costs the same.

Names are without their namespaces: the formats that are read here do not need them to tell elements apart,
and their writers do not agree on them. A document type declaration is refused, and with it every entity:
nothing is expanded, no file or address is ever looked up. (OPC and ODF forbid them anyway.)
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO
from xml.parsers import expat

from api.services.extraction import UnreadableFile

_BLOCK_BYTES = 1 << 16
_SEPARATOR = " "


@dataclass(frozen=True, slots=True)
class Start:
    """An element opens. Of two attributes that differ in their namespace alone, the one with it is kept."""

    name: str
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class End:
    """An element closes."""

    name: str


def read_events(stream: IO[bytes]) -> Iterator[Start | End | str]:
    """What ``stream`` holds, in order; text comes as strings.

    Raises:
        UnreadableFile: not well-formed, or with a document type declaration.
    """
    parser = _Parser()
    while block := stream.read(_BLOCK_BYTES):
        yield from parser.feed(block, last=False)
    yield from parser.feed(b"", last=True)


class _Parser:
    def __init__(self) -> None:
        self._events: list[Start | End | str] = []
        self._expat = expat.ParserCreate(namespace_separator=_SEPARATOR)
        self._expat.buffer_text = True
        self._expat.StartElementHandler = self._start
        self._expat.EndElementHandler = self._end
        self._expat.CharacterDataHandler = self._events.append
        self._expat.StartDoctypeDeclHandler = _refuse_doctype

    def feed(self, block: bytes, *, last: bool) -> list[Start | End | str]:
        try:
            self._expat.Parse(block, last)
        except expat.ExpatError as error:
            raise UnreadableFile("broken", f"is damaged: its XML is not well-formed ({error})") from error
        except (ValueError, LookupError) as error:
            raise UnreadableFile("broken", "is damaged: its XML is in an unknown encoding") from error
        events = self._events.copy()
        self._events.clear()
        return events

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        bare_first = sorted(attributes.items(), key=lambda pair: _SEPARATOR in pair[0])
        self._events.append(Start(_local(name), {_local(key): value for key, value in bare_first}))

    def _end(self, name: str) -> None:
        self._events.append(End(_local(name)))


def _local(name: str) -> str:
    return name.rpartition(_SEPARATOR)[2]


def _refuse_doctype(*_: object) -> None:
    raise UnreadableFile("broken", "declares a document type in its XML, which no document of its kind needs")
