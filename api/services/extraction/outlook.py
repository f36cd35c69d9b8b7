"""Outlook messages (.msg) as text, like mails.

MS-OXMSG: https://learn.microsoft.com/openspecs/exchange_server_protocols/ms-oxmsg; the numbers of the
properties are those of MS-OXPROPS.
"""

import re
import struct

import olefile

from api.services.decode import UndecodableText
from api.services.extraction import UnreadableFile
from api.services.extraction.extracted import Extracted
from api.services.extraction.guess import decode_any
from api.services.extraction.html import read_page
from api.services.extraction.mail import compose_mail

_UNICODE, _ANSI, _BINARY = "001F", "001E", "0102"
_SUBJECT, _BODY, _HTML, _HEADERS = "0037", "1000", "1013", "007D"
_SENDER_NAME, _SENDER_ADDRESS, _TO, _CC, _FILENAME, _SHORT_NAME = (
    "0C1A",
    "0C1F",
    "0E04",
    "0E03",
    "3707",
    "3704",
)
_CODE_PAGE = 0x3FFD0003
_PROPERTIES = "__properties_version1.0"
_PROPERTIES_HEADER_BYTES = 32
_PROPERTY = struct.Struct("<II8s")
_DATE = re.compile(r"^Date:[ \t]*(.+)$", re.MULTILINE | re.IGNORECASE)
_MOST_ATTACHMENTS = 1_000


def extract_outlook(ole: olefile.OleFileIO, *, max_characters: int) -> Extracted:
    """The text of a message; its title is its subject.

    Raises:
        UnreadableFile: damaged, without text, or too long.
    """
    message = _Message(ole)
    sent = _DATE.search(message.text(_HEADERS))
    name, address = message.text(_SENDER_NAME), message.text(_SENDER_ADDRESS)
    headers = {
        "From": f"{name} <{address}>" if name and address and name != address else name or address,
        "To": message.text(_TO),
        "Cc": message.text(_CC),
        "Date": sent[1].strip() if sent else "",
        "Subject": message.text(_SUBJECT),
    }
    body = message.text(_BODY)
    if not body.strip() and (page := message.binary(_HTML)):
        body = read_page(page, message.code_page, max_characters=max_characters).text
    return compose_mail(headers, body, message.attachments(), max_characters)


class _Message:
    """The properties of a message."""

    def __init__(self, ole: olefile.OleFileIO) -> None:
        self._ole = ole
        self.code_page = self._code_page()

    def text(self, property_: str, folder: str = "") -> str:
        """A property that is text; empty if the message does not have it."""
        if data := self._read(f"{folder}__substg1.0_{property_}{_UNICODE}"):
            return data.decode("utf-16-le", "replace").rstrip("\0")
        data = self._read(f"{folder}__substg1.0_{property_}{_ANSI}")
        try:
            return decode_any(data.rstrip(b"\0"), self.code_page)
        except UndecodableText:
            return data.decode("cp1252", "replace")

    def binary(self, property_: str) -> bytes:
        return self._read(f"__substg1.0_{property_}{_BINARY}") or self.text(property_).encode()

    def attachments(self) -> list[str]:
        folders = {entry[0] for entry in self._ole.listdir() if entry[0].startswith("__attach_version1.0_#")}
        names = [
            self.text(_FILENAME, f"{folder}/") or self.text(_SHORT_NAME, f"{folder}/")
            for folder in sorted(folders)[:_MOST_ATTACHMENTS]
        ]
        return [name for name in names if name]

    def _code_page(self) -> str | None:
        """That of the message's older texts, None where it is not said."""
        properties = self._read(_PROPERTIES)[_PROPERTIES_HEADER_BYTES:]
        whole = len(properties) - len(properties) % _PROPERTY.size
        for tag, _, value in _PROPERTY.iter_unpack(properties[:whole]):
            if tag == _CODE_PAGE:
                number = int.from_bytes(value[:4], "little")
                return {65001: "utf-8", 20127: "ascii"}.get(number, f"cp{number}")
        return None

    def _read(self, stream: str) -> bytes:
        if not self._ole.exists(stream):
            return b""
        try:
            data: bytes = self._ole.openstream(stream).read()
        except (OSError, ValueError, IndexError) as error:
            raise UnreadableFile("broken", f"is damaged: it cannot be read ({error})") from error
        return data
