"""What a PDF looks like as text."""

from pathlib import Path

import pytest
from pdf_files import pdf

from api.services.extraction import UnreadableFile
from api.services.extraction.extracted import Extracted
from api.services.extraction.pdf import extract_pdf


def extract(data: bytes, password: str | None = None, max_characters: int = 1_000_000) -> Extracted:
    return extract_pdf(data, password, max_characters=max_characters)


def test_pages_are_joined_by_a_blank_line_and_known_by_their_starts() -> None:
    extracted = extract(pdf("First line\nsecond line", "Next page"))
    assert extracted.text == "First line\nsecond line\n\nNext page"
    assert [extracted.text[start:][:5] for start in extracted.page_starts] == ["First", "Next "]


def test_empty_pages_share_their_start_with_the_next_text() -> None:
    assert extract(pdf("", "Some", "", "text", "")).page_starts == (0, 0, 6, 6, 10)


@pytest.mark.parametrize(("title", "expected"), [("A  report", "A report"), ("", None), ("Untitled", None)])
def test_the_title_comes_from_the_metadata(title: str, expected: str | None) -> None:
    assert extract(pdf("Text", title=title)).title == expected


def test_a_file_is_read_from_disk(tmp_path: Path) -> None:
    path = tmp_path / "a file.pdf"
    path.write_bytes(pdf("Text"))
    assert extract_pdf(path, None, max_characters=100).text == "Text"


def test_a_password_opens_an_encrypted_file() -> None:
    locked = pdf("Secret", password="sesame")
    assert extract(locked, "sesame").text == "Secret"
    with pytest.raises(UnreadableFile, match="is encrypted: give its password"):
        extract(locked)
    with pytest.raises(UnreadableFile, match="the password does not open it"):
        extract(locked, "wrong")


@pytest.mark.parametrize("shown", [0, 90, 180, 270])
@pytest.mark.parametrize(
    "matrix", ["1 0 0 1 72 720", "0 1 -1 0 99 99", "-1 0 0 -1 500 99", "0 -1 1 0 99 700"]
)
def test_lines_come_in_order_however_the_page_and_the_text_on_it_are_turned(shown: int, matrix: str) -> None:
    lines = "First line here\nsecond line\nthird line of it"
    turned = pdf(lines).replace(b"72 720 Td", f"{matrix} Tm".encode())
    turned = turned.replace(b"/MediaBox", b"/Rotate %d/MediaBox" % shown)
    assert extract(turned).text == lines


def side_by_side(left: str, right: str) -> str:
    """A line of the page that writes on both sides of it."""
    return f"{left}) Tj 300 0 Td ({right}) Tj -300 0 Td ("


def test_columns_that_were_written_line_by_line_are_read_one_after_the_other() -> None:
    left = [f"{n} of the left column, as long as a line" for n in range(8)]
    right = [f"{n} of the right column, as long as it is" for n in range(8)]
    head, foot = f"A head that goes {'very ' * 10}far across both of the columns", "foot " * 20
    rows = [side_by_side(*row) for row in zip(left, right, strict=True)]
    assert extract(pdf("\n".join([head, *rows, foot]))).text.split("\n") == [
        head,
        *left,
        *right,
        foot.strip(),
    ]


def test_the_rows_of_a_table_stay_together() -> None:
    rows = [side_by_side(f"fruit {n}", f"price {n}") for n in range(9)]
    text = extract(pdf("\n".join(rows))).text
    assert text.index("price 1") < text.index("fruit 2")


def test_columns_that_were_written_one_after_the_other_stay_so(real_documents: Path) -> None:
    text = extract((real_documents / "pypdf__multicolumn.pdf").read_bytes()).text
    assert text.index("This is a sample document") < text.index("Proin fermentum massa")


def test_a_damaged_page_is_named() -> None:
    broken = pdf("One", "Two").replace(b"/Kids[4 0 R 6 0 R]", b"/Kids[4 0 R 9 0 R]")
    with pytest.raises(UnreadableFile, match="is damaged: its page 2 cannot be read"):
        extract(broken)


def test_damaged_files_files_without_text_and_too_much_text_are_refused() -> None:
    with pytest.raises(UnreadableFile, match="is damaged or not a PDF file"):
        extract(b"%PDF-1.4")
    with pytest.raises(UnreadableFile, match="has no text layer"):
        extract(pdf(""))
    with pytest.raises(UnreadableFile, match="holds more than 5 characters"):
        extract(pdf("Too much"), max_characters=5)


def test_words_hyphenated_at_a_line_end_are_whole_again(real_documents: Path) -> None:
    text = extract((real_documents / "pypdf__multicolumn.pdf").read_bytes()).text
    assert "consectetuer adipiscing elit" in text
    assert "\x02" not in text
