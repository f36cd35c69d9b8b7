"""Files that were made to hurt: what they cost is bounded, and what is said of them is true."""

import asyncio
import contextlib
import io
import os
import struct
import zipfile
import zlib
from pathlib import Path
from random import Random

import pytest
from office_files import W, docx, epub, open_document, paragraph, pptx, shape, xlsx, zipped
from ole_files import compound
from pdf_files import pdf

from api.services.extraction import UnreadableFile
from api.services.extraction.archive import open_archive
from api.services.extraction.containers import extract_zip
from api.services.extraction.source import Source
from api.services.parse import ParseFailed, Parser, ParserLimits, open_parser
from harness.mutations import mutate

LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)
)
DOCUMENT = f"<w:document {W}>{paragraph('x')}</w:document>"
OUTSIDE = '<!DOCTYPE x [<!ENTITY secret SYSTEM "file:///etc/passwd">'


def refusal(data: bytes) -> UnreadableFile:
    with pytest.raises(UnreadableFile) as refused:
        extract_zip(Source(data, 2**30), 1_000_000)
    return refused.value


async def failure(parser: Parser, source: str | bytes | Path, **options: str) -> ParseFailed:
    with pytest.raises(ParseFailed) as failed:
        await parser.parse(source, **options)
    return failed.value


@pytest.mark.parametrize("name", ["word/document.xml", "docProps/core.xml", "word/styles.xml"])
def test_a_part_that_unpacks_to_far_more_than_it_is_is_not_unpacked(name: str) -> None:
    bomb = b"<w:p>" + bytes(16 * 2**20)
    parts = {
        "word/document.xml": f"<w:document {W}>{paragraph('x')}</w:document>",
        "docProps/core.xml": "<c/>",
    }
    styled = '<r><Relationship Id="1" Type="t/styles" Target="styles.xml"/></r>'
    refused = refusal(zipped({**parts, "word/_rels/document.xml.rels": styled, name: bomb}))
    assert (refused.code, "unpacks to more than is safe" in str(refused)) == ("too_large", True)


def test_parts_that_are_not_read_may_be_as_large_as_they_like() -> None:
    with_picture = zipped(
        {
            "word/document.xml": f"<w:document {W}>{paragraph('x')}</w:document>",
            "word/a.bmp": bytes(9 * 2**20),
        }
    )
    assert extract_zip(Source(with_picture, 2**30), 1_000)[1].text == "x"


def test_a_workbook_is_not_opened_with_a_bomb_in_any_of_its_parts() -> None:
    data = io.BytesIO(xlsx(A=[["x"]]))
    with zipfile.ZipFile(data, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/sharedStrings.xml", bytes(16 * 2**20))
    assert refusal(data.getvalue()).code == "too_large"


def test_parts_that_are_small_alone_and_too_large_together_are_refused() -> None:
    part = os.urandom(1 << 16) * 64  # packed, a tenth: repeated too far apart for deflate to see it all
    with open_archive(io.BytesIO(zipped({str(n): part for n in range(3)}))) as archive:
        archive._unpacked = 512 * 2**20 - 2 * len(part)
        assert archive.read("0") == archive.read("1") == part
        with pytest.raises(UnreadableFile, match="unpacks to more than is safe"):
            archive.read("2")


def test_a_part_gives_no_more_than_it_claims() -> None:
    """The directory says one byte; what is packed would be many."""
    data = bytearray(zipped({"a": b"x" * 1_000}))
    at = data.rindex(b"PK\x01\x02") + 24
    data[at : at + 4] = struct.pack("<I", 1)
    with open_archive(io.BytesIO(bytes(data))) as archive, pytest.raises(UnreadableFile, match="is damaged"):
        archive.read("a")


def test_an_archive_that_holds_itself_is_never_opened_twice() -> None:
    """As a quine does: whatever lies in an archive stays packed."""
    inner = zipped({"word/document.xml": "<x/>"})
    for _ in range(10):
        inner = zipped({"inner.zip": inner})
    assert (refusal(inner).code, "is an archive" in str(refusal(inner))) == ("unsupported", True)


def test_an_archive_of_countless_parts_is_refused() -> None:
    assert refusal(zipped({f"word/{n}": b"" for n in range(20_001)})).code == "too_large"


@pytest.mark.parametrize("definitions", [LAUGHS, OUTSIDE])
@pytest.mark.parametrize(
    "part", ["word/document.xml", "ppt/presentation.xml", "content.xml", "META-INF/container.xml"]
)
def test_entities_are_never_expanded_or_looked_up(part: str, definitions: str) -> None:
    refused = refusal(zipped({part: f"<?xml version='1.0'?>{definitions}]><x>&j;&secret;</x>"}))
    assert (refused.code, "declares a document type" in str(refused)) == ("broken", True)


def test_xml_nested_without_end_is_read_in_little_memory() -> None:
    deep = "<w:sdt>" * 50_000 + paragraph("core") + "</w:sdt>" * 50_000
    assert extract_zip(Source(docx(deep), 2**30), 1_000)[1].text == "core"


def test_tables_repeated_a_million_times_are_cut_short() -> None:
    cell = '<table:table-cell table:number-columns-repeated="1000000"><text:p>a</text:p></table:table-cell>'
    wide = f"<table:table><table:table-row>{cell}</table:table-row></table:table>"
    assert len(extract_zip(Source(open_document(wide), 2**30), 10_000)[1].text) < 1_000


async def test_a_sheet_that_claims_to_be_endless_is_refused(parser: Parser) -> None:
    """Two cells at opposite corners: the rectangle around them would not fit into any memory."""
    sheet = xlsx(A=[["first"], ["last"]])
    with zipfile.ZipFile(io.BytesIO(sheet)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = "xl/worksheets/sheet1.xml"
    parts[name] = parts[name].replace(b'r="A2"', b'r="XFD1048576"').replace(b'r="2"', b'r="1048576"')
    failed = await failure(parser, zipped(parts))
    assert failed.code == "too_much_memory"
    assert (await parser.parse(xlsx(A=[["after"]]))).page_starts == (0,)


async def test_a_book_that_lists_one_chapter_for_ever_has_it_once(parser: Parser) -> None:
    book = epub({"a.xhtml": "<p>Once.</p>"})
    with zipfile.ZipFile(io.BytesIO(book)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    package = parts["OEBPS/book.opf"]
    parts["OEBPS/book.opf"] = package.replace(b'<itemref idref="c0"/>', b'<itemref idref="c0"/>' * 10_000)
    assert (await parser.parse(zipped(parts))).text == "Once."


async def test_a_page_packed_into_a_page_of_a_pdf_stays_within_the_limits() -> None:
    """A stream of a PDF that inflates to 160 MiB, in a parser that may have 320 in all."""
    packed = zlib.compress(bytes(160 * 2**20), 1)
    stream = b"<</Length %d/Filter/FlateDecode>>\nstream\n%s\nendstream" % (len(packed), packed)
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R>>",
        stream,
    ]
    bodies = b"".join(b"%d 0 obj\n%s\nendobj\n" % (n, body) for n, body in enumerate(objects, 1))
    data = b"%PDF-1.4\n" + bodies + b"trailer\n<</Size 5/Root 1 0 R>>\n%%EOF\n"
    async with open_parser(ParserLimits(memory_bytes=320 * 2**20)) as parser:
        failed = await failure(parser, data)
        assert failed.code == "too_much_memory"
        assert (await parser.parse(docx(paragraph("after")))).text == "after"


async def test_a_file_of_two_gigabytes_is_not_read(parser: Parser, tmp_path: Path) -> None:
    huge = tmp_path / "huge.docx"
    huge.touch()
    os.truncate(huge, 2 * 2**30)
    failed = await failure(parser, huge, filename=huge.name)
    assert (failed.code, str(failed)) == ("too_large", "has 2,147,483,648 bytes, limit 268,435,456")


@pytest.mark.parametrize("name", ["a.txt", "a.csv"])
async def test_a_file_that_changes_while_it_is_read_is_refused(
    parser: Parser, tmp_path: Path, name: str
) -> None:
    file = tmp_path / name
    file.write_text("one,two\n")
    read = parser._read

    async def read_and_append(*args: object) -> object:
        parsed = await read(*args)  # type: ignore[arg-type]
        await asyncio.to_thread(file.write_text, "one,two\nthree,four\n")
        return parsed

    parser._read = read_and_append  # type: ignore[method-assign, assignment]
    failed = await failure(parser, file, filename=name)
    assert (failed.code, str(failed)) == ("broken", "was changed while it was read: send it again")


async def test_a_file_that_grows_past_the_limit_after_it_was_looked_at_is_not_read(tmp_path: Path) -> None:
    grown = tmp_path / "a.csv"
    grown.write_bytes(b"x" * 11)
    with pytest.raises(UnreadableFile) as refused:
        Source(grown, 10).read()
    assert refused.value.code == "too_large"


async def test_a_name_with_line_breaks_is_read_like_any_other(parser: Parser, tmp_path: Path) -> None:
    file = tmp_path / "two\nlines.csv"
    file.write_text("a,b\n1,2\n")
    assert (await parser.parse(file, filename=file.name)).media_type == "text/csv"


async def test_spoiled_copies_of_every_kind_end_ready_or_failed(parser: Parser) -> None:
    random = Random(9)
    whole = {
        "a.docx": docx(paragraph("Some text.") + f"<w:tbl>{paragraph('cell')}</w:tbl>"),
        "a.pptx": pptx(shape("title", "Head") + shape("body", "point"), notes=shape("body", "note")),
        "a.xlsx": xlsx(A=[["one", "two"], ["three"]]),
        "a.odt": open_document("<text:h>Head</text:h><text:p>Text.</text:p>"),
        "a.epub": epub({"1.xhtml": "<h1>Head</h1>", "2.xhtml": "<p>Text.</p>"}),
        "a.pdf": pdf("Some text", "on two pages", title="Report"),
        "a.msg": compound({"__properties_version1.0": bytes(32), "__substg1.0_0037001F": b"s\0"}),
        "a.eml": b"From: a@x.org\nSubject: s\nContent-Type: text/html\n\n<p>Text.</p>",
        "a.rtf": rb"{\rtf1\ansi Some {\b bold} text\par \u8364?}",
        "a.ipynb": b'{"cells": [{"cell_type": "code", "source": ["x"], "outputs": []}]}',
        "a.csv": b'name,price\n"a, b",1\n',
    }
    for name, content in whole.items():
        assert (await parser.parse(content, filename=name)).text
        for _ in range(8):
            with contextlib.suppress(ParseFailed):
                await parser.parse(mutate(content, random), filename=name)
    assert (await parser.parse(docx(paragraph("after")))).text == "after"
