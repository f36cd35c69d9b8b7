"""Outlook messages, and what else comes in the container that Office 97 had."""

import struct

import pytest
from ole_files import compound

from api.services.extraction import UnreadableFile
from api.services.extraction.containers import extract_ole
from api.services.extraction.extracted import Extracted
from api.services.extraction.source import Source

PROPERTIES = "__properties_version1.0"
HEADER = bytes(32)


def extract(streams: dict[str, bytes]) -> Extracted:
    kind, extracted = extract_ole(Source(compound(streams), 2**20), 1_000_000)
    assert kind == "msg"
    return extracted


def refusal(data: bytes) -> UnreadableFile:
    with pytest.raises(UnreadableFile) as refused:
        extract_ole(Source(data, 2**20), 1_000_000)
    return refused.value


def text(property_: str, value: str) -> dict[str, bytes]:
    return {f"__substg1.0_{property_}001F": value.encode("utf-16-le")}


def test_a_message_is_its_headers_its_body_and_the_names_of_what_was_attached() -> None:
    extracted = extract(
        {
            PROPERTIES: HEADER,
            **text("0037", "Grüße"),
            **text("0C1A", "Ann"),
            **text("0C1F", "a@x.org"),
            **text("0E04", "Bob"),
            **text("007D", "Received: x\r\nDate: Fri, 16 Dec 2022 17:04:16 -0500\r\nFrom: Ann"),
            **text("1000", "Hello.\r\n"),
            "__attach_version1.0_#00000000/__substg1.0_3707001F": "r.pdf".encode("utf-16-le"),
            "__attach_version1.0_#00000000/__substg1.0_37010102": b"%PDF-1.4",
        }
    )
    assert extracted.title == "Grüße"
    assert extracted.text == (
        "From: Ann <a@x.org>\nTo: Bob\nDate: Fri, 16 Dec 2022 17:04:16 -0500\nSubject: Grüße\n\n"
        "Hello.\n\nAttachments: r.pdf"
    )


def test_a_message_without_a_plain_body_has_that_of_its_page() -> None:
    page = {"__substg1.0_10130102": b"<h1>Head</h1><p>text</p>"}
    assert extract({PROPERTIES: HEADER, **text("0037", "s"), **page}).text == "Subject: s\n\n# Head\n\ntext"


def test_texts_of_older_messages_are_in_the_code_page_they_name() -> None:
    code_page = HEADER + struct.pack("<IIQ", 0x3FFD0003, 6, 1251)
    body = {"__substg1.0_1000001E": "Привет, мир\0".encode("cp1251")}
    assert extract({PROPERTIES: code_page, **text("0037", "s"), **body}).text == "Subject: s\n\nПривет, мир"


def test_a_message_without_subject_and_body_holds_no_text() -> None:
    assert refusal(compound({PROPERTIES: HEADER})).code == "no_text"


@pytest.mark.parametrize(
    ("stream", "code", "advice"),
    [
        ("EncryptedPackage", "encrypted", "remove its password"),
        ("WordDocument", "unsupported", "save it as .docx"),
        ("PowerPoint Document", "unsupported", "save it as .pptx"),
        ("Anything", "unsupported", "older program"),
        ("Workbook", "broken", "not a spreadsheet"),
    ],
)
def test_what_cannot_be_read_says_what_to_do(stream: str, code: str, advice: str) -> None:
    refused = refusal(compound({stream: b"x" * 5_000}))
    assert (refused.code, advice in str(refused)) == (code, True)


def test_a_chain_of_sectors_that_bites_its_tail_comes_to_an_end() -> None:
    data = bytearray(compound({PROPERTIES: HEADER, **text("0037", "s"), **text("1000", "x" * 2_000)}))
    for sector in range(1, 128):  # what follows any sector is the directory
        data[512 + 4 * sector : 516 + 4 * sector] = data[48:52]
    kind, extracted = extract_ole(Source(bytes(data), 2**20), 1_000_000)
    assert (kind, len(extracted.text) < 10_000) == ("msg", True)
