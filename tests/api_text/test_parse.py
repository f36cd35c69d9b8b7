"""The parser as its callers see it: real files, a real child process, and what ends it."""

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest
from pdf_files import pdf

from api.services.parse import Parsed, ParseFailed, Parser, ParserLimits, open_parser
from embedd.child import Child

PAGE = "<title>A page</title><h1>Head</h1><p>First.</p><p>Second.</p>"
SLOW_PAGE = b"<div>" * 400_000  # the HTML parser itself takes minutes for such nesting


async def reason(parser: Parser, source: str | bytes | Path, **options: str) -> str:
    with pytest.raises(ParseFailed) as failure:
        await parser.parse(source, **options)
    return str(failure.value)


async def code(parser: Parser, source: str | bytes | Path, **options: str) -> str:
    with pytest.raises(ParseFailed) as failure:
        await parser.parse(source, **options)
    return failure.value.code


async def in_flight(child: Child) -> None:
    while not child._pending:  # noqa: ASYNC110 - nothing else tells that a call was made
        await asyncio.sleep(0)


async def test_plain_text_is_kept_as_written_and_starts_no_process(parser: Parser) -> None:
    assert await parser.parse("One.\r\n\tTwo. ") == Parsed("One.\r\n\tTwo. ", "text/plain")
    assert parser._child is None


async def test_characters_are_never_taken_for_another_format(parser: Parser) -> None:
    for text in ("<html><body>x</body></html>", "%PDF-1.4", "PK\x03\x04"):
        assert await parser.parse(text) == Parsed(text, "text/plain")


async def test_markdown_is_kept_as_written_and_has_its_first_heading_as_title(parser: Parser) -> None:
    text = "[badge](x)\n\n```\n# no\n```\n## Also no\n\n# The `Guide` #\n\ntext"
    assert await parser.parse(text.encode(), filename="x.md") == Parsed(text, "text/markdown", "The Guide")


async def test_markdown_without_a_heading_of_the_first_level_has_no_title(parser: Parser) -> None:
    assert (await parser.parse("## Two\n\ntext", media_type="markdown")).title is None


async def test_a_web_page_becomes_markdown(parser: Parser) -> None:
    parsed = await parser.parse(PAGE, media_type="text/html")
    assert parsed == Parsed("# Head\n\nFirst.\n\nSecond.", "text/html", "A page")


async def test_characters_of_a_page_are_not_decoded_again(parser: Parser) -> None:
    page = '<meta charset="iso-8859-1"><p>café</p>'
    assert (await parser.parse(page, media_type="text/html")).text == "café"


async def test_a_pdf_keeps_its_pages(parser: Parser) -> None:
    parsed = await parser.parse(pdf("One page.", "", "Third page.", title="Report"))
    assert parsed == Parsed("One page.\n\nThird page.", "application/pdf", "Report", (0, 11, 11))
    assert parsed.text[parsed.page_starts[2] :] == "Third page."


async def test_files_are_read_from_disk(parser: Parser, tmp_path: Path) -> None:
    for name, content, expected in (
        ("a.txt", b"Some text.", "Some text."),
        ("a.html", PAGE.encode(), "# Head\n\nFirst.\n\nSecond."),
        ("a.pdf", pdf("One page."), "One page."),
    ):
        (tmp_path / name).write_bytes(content)
        assert (await parser.parse(tmp_path / name, filename=name)).text == expected


async def test_an_encrypted_pdf_asks_for_its_password(parser: Parser) -> None:
    locked = pdf("Secret text.", password="open sesame")
    assert await reason(parser, locked) == "is encrypted: give its password"
    assert await reason(parser, locked, password="wrong") == "the password does not open it"
    assert (await parser.parse(locked, password="open sesame")).text == "Secret text."


async def test_a_pdf_of_images_alone_says_so(parser: Parser) -> None:
    assert await reason(parser, pdf("", "")) == "has no text layer, only images: run OCR over it first"


@pytest.mark.parametrize("broken", [b"%PDF-1.7 and nothing else", pdf("cut off")[:150]])
async def test_a_damaged_pdf_says_so(parser: Parser, broken: bytes) -> None:
    assert await reason(parser, broken) == "is damaged or not a PDF file"


@pytest.mark.parametrize(
    ("empty", "name"), [(b"", "a.txt"), (b" \n", "a.md"), (b"\xef\xbb\xbf", "a.txt"), ("", "")]
)
async def test_an_empty_text_says_so(parser: Parser, empty: bytes | str, name: str) -> None:
    assert await reason(parser, empty, filename=name) == "is empty"


async def test_a_page_without_text_says_so(parser: Parser) -> None:
    assert await reason(parser, b"<html><script>x</script></html>") == "holds no text"


async def test_a_type_without_a_reader_is_named_with_those_that_have_one(parser: Parser) -> None:
    message = await reason(parser, b"x", filename="a.doc")
    assert message.startswith(".doc files cannot be read: send plain text, Markdown, HTML, PDF, docx")


async def test_text_in_an_encoding_that_nobody_named_is_read(parser: Parser) -> None:
    parsed = await parser.parse("# Привет, мир".encode("koi8-r"), filename="a.md")
    assert parsed == Parsed("# Привет, мир", "text/markdown", "Привет, мир")


async def test_a_charset_in_the_media_type_is_used(parser: Parser) -> None:
    text = "Привет, мир"
    parsed = await parser.parse(text.encode("koi8-r"), media_type="text/plain; charset=koi8-r")
    assert parsed.text == text


async def test_a_file_that_is_not_there_says_so(parser: Parser, tmp_path: Path) -> None:
    assert await reason(parser, tmp_path / "gone.txt") == "cannot be read: No such file or directory"


async def test_a_file_that_is_too_large_is_not_read() -> None:
    async with open_parser(ParserLimits(input_bytes=10)) as parser:
        assert await reason(parser, b"x" * 11) == "has 11 bytes, limit 10"


@pytest.mark.parametrize(
    ("source", "media_type"),
    [
        ("word " * 100, "text/plain"),
        (f"<p>{'word ' * 100}</p>", "text/html"),
        (pdf(*["some words"] * 20), "application/pdf"),
    ],
)
async def test_more_text_than_a_document_may_hold_is_refused(source: str | bytes, media_type: str) -> None:
    async with open_parser(ParserLimits(output_characters=100)) as parser:
        message = await reason(parser, source, media_type=media_type)
    assert message == "holds more than 100 characters of text: split it"


async def test_a_file_that_takes_too_long_fails_alone() -> None:
    async with open_parser(ParserLimits(timeout_s=1.0)) as parser:
        assert await reason(parser, SLOW_PAGE, media_type="text/html") == "took longer than 1 s to read"
        assert (await parser.parse(PAGE, media_type="text/html")).title == "A page"


async def test_a_file_that_computes_too_long_fails_alone() -> None:
    async with open_parser(ParserLimits(cpu_s=1)) as parser:
        message = await reason(parser, SLOW_PAGE, media_type="text/html")
        assert message == "took more than 1 s of processor time to read"
        assert (await parser.parse(PAGE, media_type="text/html")).title == "A page"


async def test_a_file_that_needs_too_much_memory_fails_alone() -> None:
    async with open_parser(ParserLimits(memory_bytes=512 * 2**20)) as parser:
        message = await reason(parser, "<p>" + "word <b>x</b> " * 3_000_000, media_type="text/html")
        assert "too large" in message or "memory" in message
        assert (await parser.parse(PAGE, media_type="text/html")).title == "A page"


async def test_a_file_that_does_not_fit_into_memory_says_how_much_there_is(tmp_path: Path) -> None:
    (tmp_path / "a.html").touch()
    os.truncate(tmp_path / "a.html", 250 * 2**20)
    async with open_parser(ParserLimits(memory_bytes=320 * 2**20)) as parser:
        message = await reason(parser, tmp_path / "a.html", filename="a.html")
    assert message == "needs more than 320 MiB of memory to read"


async def test_a_crash_fails_one_file_and_the_next_gets_a_new_process(parser: Parser) -> None:
    await parser.parse(PAGE, media_type="text/html")
    child = parser._child
    assert child is not None
    os.kill(child.pid, signal.SIGSTOP)
    async with asyncio.TaskGroup() as group:
        failing = group.create_task(reason(parser, PAGE, media_type="text/html"))
        waiting = group.create_task(parser.parse(pdf("One page.")))
        await in_flight(child)
        os.kill(child.pid, signal.SIGKILL)
    assert failing.result().startswith("crashed its parser, which was killed by SIGKILL: it is damaged")
    assert waiting.result().text == "One page."
    assert parser._child is not child


async def test_a_caller_who_leaves_takes_his_file_along(parser: Parser) -> None:
    await parser.parse(PAGE, media_type="text/html")
    child = parser._child
    assert child is not None
    leaving = asyncio.create_task(parser.parse(SLOW_PAGE, media_type="text/html"))
    await in_flight(child)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert (await parser.parse(PAGE, media_type="text/html")).title == "A page"
    assert child.closed.is_set()


async def test_closing_the_parser_leaves_no_process() -> None:
    async with open_parser() as parser:
        await parser.parse(PAGE, media_type="text/html")
        child = parser._child
    assert child is not None
    assert child.closed.is_set()


async def test_an_unexpected_failure_in_the_child_is_told_by_its_name(parser: Parser, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(PAGE)
    gone = {"kind": "html", "path": str(tmp_path / "gone.html"), "charset": None, "password": None}
    call = parser._call("read", gone)
    with pytest.raises(ParseFailed, match=r"could not be read \(FileNotFoundError: "):
        await call


async def test_real_documents_hold_what_their_manifest_says(parser: Parser, real_documents: Path) -> None:
    manifest = [json.loads(line) for line in (real_documents / "manifest.jsonl").read_text().splitlines()]
    for entry in manifest:
        source = real_documents / entry["file"]
        if entry["expect"] == "text":
            text = " ".join((await parser.parse(source, filename=source.name)).text.split())
            assert " ".join(entry.get("contains", "").split()) in text, source.name
        else:
            assert await code(parser, source, filename=source.name) == entry["expect"].replace("-", "_")
        if password := entry.get("password"):
            assert (await parser.parse(source, password=password)).text


async def test_real_spreadsheets_as_text_are_decoded(parser: Parser, real_documents: Path) -> None:
    utf_16 = real_documents / "unst__stanley-cups-utf-16.csv"
    assert "Maple Leafs" in (await parser.parse(utf_16, filename=utf_16.name)).text
    shift_jis = real_documents / "mkd__test_mskanji.csv"
    for media_type in (None, "text/csv; charset=shift_jis"):
        parsed = await parser.parse(shift_jis, filename=shift_jis.name, media_type=media_type)
        assert "| 佐藤太郎 | 30 | 東京 |" in parsed.text
