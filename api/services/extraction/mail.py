"""Mails (.eml) as text: who wrote to whom, when and about what, the body, and the names of what was attached.

The plain body is taken, or the HTML one where there is none. Attachments are not opened.
"""

import email
from collections.abc import Iterable, Mapping
from email.message import EmailMessage
from email.policy import default

from api.services.decode import UndecodableText
from api.services.extraction import UnreadableFile
from api.services.extraction.extracted import Extracted, refuse_beyond
from api.services.extraction.guess import decode_any
from api.services.extraction.html import read_page

_HEADERS = ("From", "To", "Cc", "Date", "Subject")


def extract_mail(data: bytes, *, max_characters: int) -> Extracted:
    """The text of a mail; its title is its subject.

    Raises:
        UnreadableFile: no mail, without text, or too long.
    """
    message = email.message_from_bytes(data, policy=default)
    assert isinstance(message, EmailMessage)
    if not message.keys():
        raise UnreadableFile("broken", "is damaged or no mail: it has no headers")
    try:
        headers = {name: " ".join(str(message.get(name, "")).split()) for name in _HEADERS}
        attached = [part.get_filename() or part.get_content_type() for part in message.iter_attachments()]
        return compose_mail(headers, _body(message, max_characters), attached, max_characters)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        # The parser takes anything; what it made of a damaged header shows only when that is asked for.
        raise UnreadableFile("broken", f"is damaged: its parts cannot be read ({error})") from error


def compose_mail(
    headers: Mapping[str, str], body: str, attached: Iterable[str], max_characters: int
) -> Extracted:
    """A mail as text: the ``headers`` that are not empty, the body and what is attached.

    Raises:
        UnreadableFile: without subject and body, or too long.
    """
    subject = headers.get("Subject", "")
    if not body.strip() and not subject:
        raise UnreadableFile("no_text", "holds no text")
    head = "\n".join(f"{name}: {value}" for name, value in headers.items() if value)
    names = ", ".join(attached)
    text = "\n\n".join(part for part in (head, body.strip(), names and f"Attachments: {names}") if part)
    refuse_beyond(len(text), max_characters)
    return Extracted(text, subject or None)


def _body(message: EmailMessage, max_characters: int) -> str:
    for preference in ("plain", "html"):
        part = message.get_body((preference,))
        if isinstance(part, EmailMessage) and (text := _text(part, max_characters)).strip():
            return text
    return ""


def _text(part: EmailMessage, max_characters: int) -> str:
    payload = part.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else b""
    if part.get_content_subtype() == "html":
        return read_page(data, part.get_content_charset(), max_characters=max_characters).text
    try:
        return decode_any(data, part.get_content_charset())
    except UndecodableText:  # what the sender claimed is not so
        return data.decode("utf-8", "replace")
