"""Files of files: which kind of document one is shows in the names of its parts, then its reader takes over.

What holds no document is refused, so nothing is ever unpacked from an archive that lies in another.
"""

from collections.abc import Callable
from typing import Final

import olefile

from api.services.extraction import UnreadableFile
from api.services.extraction.archive import Archive, open_archive
from api.services.extraction.epub import extract_epub
from api.services.extraction.extracted import Extracted
from api.services.extraction.opc import core_title
from api.services.extraction.open_document import extract_open_document, refuse_encrypted
from api.services.extraction.outlook import extract_outlook
from api.services.extraction.slides import extract_slides
from api.services.extraction.source import Source
from api.services.extraction.word import extract_word
from api.services.extraction.workbook import extract_workbook
from api.services.file_types import MEDIA_TYPES, SUPPORTED, Kind

_MIMETYPE = "mimetype"
_BY_MIMETYPE: Final[dict[str, Kind]] = {
    media_type: kind for kind, media_type in MEDIA_TYPES.items() if kind in {"odt", "odp", "ods", "epub"}
}
_BY_PART: Final[dict[str, Kind]] = {
    "META-INF/container.xml": "epub",
    "word/": "docx",
    "ppt/": "pptx",
    "xl/": "xlsx",
    "content.xml": "odt",
}
_OLD: Final = {
    "WordDocument": "is a document of Word 97 (.doc): save it as .docx",
    "PowerPoint Document": "is a presentation of PowerPoint 97 (.ppt): save it as .pptx",
}
_ENCRYPTED_PACKAGE = "EncryptedPackage"
_MESSAGE = "__properties_version1.0"


def extract_zip(source: Source, max_characters: int) -> tuple[Kind, Extracted]:
    """The document that the parts of ``source`` make, and which kind it is.

    Raises:
        UnreadableFile: no document, or one that cannot be read.
    """
    with source.open() as stream, open_archive(stream) as archive:
        kind = _kind(archive)
        if kind in {"xlsx", "ods"}:
            archive.admit_all()
            refuse_encrypted(archive)
            data, title = source.read(), core_title(archive) if kind == "xlsx" else None
            return kind, extract_workbook(data, title=title, max_characters=max_characters)
        return kind, _READERS[kind](archive, max_characters=max_characters)


_READERS: Final[dict[Kind, Callable[..., Extracted]]] = {
    "docx": extract_word,
    "pptx": extract_slides,
    "odt": extract_open_document,
    "odp": extract_open_document,
    "epub": extract_epub,
}


def _kind(archive: Archive) -> Kind:
    if _MIMETYPE in archive:
        media_type = archive.read(_MIMETYPE)[:100].decode("ascii", "replace").strip()
        kind = _BY_MIMETYPE.get(media_type.removesuffix("-template"))
        if kind is not None:
            return kind
    for part, kind in _BY_PART.items():
        if any(name.startswith(part) for name in archive.names):
            return kind
    raise UnreadableFile(
        "unsupported", f"is an archive, which is not opened: send the files in it as {SUPPORTED}"
    )


def extract_ole(source: Source, max_characters: int) -> tuple[Kind, Extracted]:
    """As ``extract_zip``, for the container of Office 97 and Outlook.

    Raises:
        UnreadableFile: no document, or one that cannot be read.
    """
    try:
        with source.open() as stream, olefile.OleFileIO(stream) as ole:
            _refuse_unreadable(ole)
            if ole.exists(_MESSAGE):
                return "msg", extract_outlook(ole, max_characters=max_characters)
    except (OSError, ValueError, IndexError, TypeError, AttributeError) as error:
        raise UnreadableFile("broken", f"is damaged: its parts cannot be found ({error})") from error
    return "xls", extract_workbook(source.read(), title=None, max_characters=max_characters)


def _refuse_unreadable(ole: olefile.OleFileIO) -> None:
    if ole.exists(_ENCRYPTED_PACKAGE):
        raise UnreadableFile("encrypted", "is encrypted: remove its password")
    for stream, reason in _OLD.items():
        if ole.exists(stream):
            raise UnreadableFile("unsupported", reason)
    if not any(ole.exists(stream) for stream in (_MESSAGE, "Workbook", "Book")):
        raise UnreadableFile("unsupported", f"is of an older program that cannot be read: send {SUPPORTED}")
