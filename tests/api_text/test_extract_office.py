"""What documents, slides, sheets and books look like as Markdown."""

import pytest
from office_files import (
    docx,
    epub,
    open_document,
    paragraph,
    pptx,
    relations,
    shape,
    style,
    xlsx,
    zipped,
)

from api.services.extraction import UnreadableFile
from api.services.extraction.containers import extract_zip
from api.services.extraction.extracted import Extracted
from api.services.extraction.source import Source


def extract(data: bytes, max_characters: int = 1_000_000) -> Extracted:
    return extract_zip(Source(data, 2**30), max_characters)[1]


def kind(data: bytes) -> str:
    return extract_zip(Source(data, 2**30), 1_000_000)[0]


def code(data: bytes, max_characters: int = 1_000_000) -> str:
    with pytest.raises(UnreadableFile) as refusal:
        extract(data, max_characters)
    return refusal.value.code


def row(*cells: str) -> str:
    return f"<w:tr>{''.join(f'<w:tc>{cell}</w:tc>' for cell in cells)}</w:tr>"


def item(level: int, text: str) -> str:
    return paragraph(text, f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="3"/></w:numPr>')


def test_a_word_document_has_headings_by_the_names_of_its_styles() -> None:
    styles = style("berschrift1", "heading 1") + style("Mine", "My own", "berschrift1") + style("T", "Title")
    marked = [("Guide", "T"), ("Setup", "berschrift1"), ("Use", "Mine"), ("Text.", "Normal")]
    body = "".join(paragraph(text, f'<w:pStyle w:val="{id_}"/>') for text, id_ in marked)
    assert extract(docx(body, styles=styles)).text == "# Guide\n\n# Setup\n\n# Use\n\nText."


def test_styles_based_on_each_other_come_to_an_end() -> None:
    styles = style("A", "a", "B") + style("B", "b", "A")
    assert extract(docx(paragraph("Text.", '<w:pStyle w:val="A"/>'), styles=styles)).text == "Text."


def test_lists_of_a_word_document_are_nested_and_end_where_they_end() -> None:
    body = item(0, "one") + item(1, "inner") + item(0, "two") + paragraph("After.")
    assert extract(docx(body)).text == "- one\n  - inner\n- two\n\nAfter."


def test_a_table_of_a_word_document_keeps_its_columns() -> None:
    wide = '<w:tcPr><w:gridSpan w:val="2"/></w:tcPr>' + paragraph("wide")
    inner = f"<w:tbl>{row(paragraph('in'), paragraph('ner'))}</w:tbl>"
    body = f"<w:tbl>{row(wide)}{row(paragraph('a'), inner + paragraph('b|c'))}</w:tbl>"
    assert extract(docx(body)).text == "| wide |  |\n| --- | --- |\n| a | in ner b\\|c |"


def test_deleted_text_is_gone_and_inserted_text_and_links_are_there() -> None:
    run = "<w:r><w:t>{}</w:t></w:r>"
    parts = (
        ("<w:del>{}</w:del>", "deleted"),
        ("<w:ins>{}</w:ins>", "new "),
        ("<w:hyperlink>{}</w:hyperlink>", "link"),
    )
    inner = "".join(outer.format(run.format(text)) for outer, text in parts)
    assert extract(docx(f"<w:p>{inner}</w:p>")).text == "new link"


def test_a_text_box_is_read_once() -> None:
    box = f"<w:txbxContent>{paragraph('Boxed.')}</w:txbxContent>"
    twice = f"<mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback>"
    run = f"<w:r><mc:AlternateContent>{twice}</mc:AlternateContent></w:r>"
    assert extract(docx(f"<w:p>{run}</w:p>{paragraph('After.')}")).text == "Boxed.\n\nAfter."


def test_footnotes_stand_at_the_end_and_breaks_are_lines() -> None:
    notes = (
        f'<w:footnotes xmlns:w="urn:w"><w:footnote w:type="separator">{paragraph("---")}</w:footnote>'
        f"<w:footnote>{paragraph('A note.')}</w:footnote></w:footnotes>"
    )
    body = "<w:p><w:r><w:t>One</w:t><w:br/><w:t>two</w:t><w:tab/><w:t>three</w:t></w:r></w:p>"
    assert extract(docx(body, footnotes=notes)).text == "One\ntwo three\n\nA note."


def test_the_title_of_an_office_document_is_that_of_its_properties() -> None:
    assert extract(docx(paragraph("Text."), title="A  report")).title == "A report"
    assert extract(docx(paragraph("Text."))).title is None


def test_slides_are_pages_in_the_order_they_are_shown() -> None:
    extracted = extract(
        pptx(
            shape("ctrTitle", "A talk") + shape("subTitle", "by us") + shape("sldNum", "1"),
            shape("title", "Points") + shape("body", "first", "second") + shape("", "A text box."),
        )
    )
    assert extracted.text == "# A talk\n\nby us\n\n## Points\n\n- first\n- second\n\nA text box."
    assert [extracted.text[start:][:4] for start in extracted.page_starts] == ["# A ", "## P"]


def test_tables_and_notes_of_slides_are_read() -> None:
    cells = "".join(f"<a:tc><a:p><a:r><a:t>{one}</a:t></a:r></a:p></a:tc>" for one in "ab")
    table = f"<p:graphicFrame><a:tbl><a:tr>{cells}</a:tr></a:tbl></p:graphicFrame>"
    notes = shape("sldImg") + shape("body", "Say hello.", "Smile.")
    extracted = extract(pptx(table, notes=notes))
    assert extracted.text == "| a | b |\n| --- | --- |\n\nNotes:\nSay hello.\nSmile."


def test_a_chart_is_a_table_of_its_numbers() -> None:
    def points(*values: str) -> str:
        return "".join(f'<c:pt idx="{n}"><c:v>{value}</c:v></c:pt>' for n, value in enumerate(values))

    chart = (
        '<c:chart xmlns:c="urn:c" xmlns:a="urn:a"><c:title><a:t>Sales</a:t></c:title><c:ser>'
        f"<c:tx>{points('Apples')}</c:tx><c:cat>{points('May', 'June')}</c:cat>"
        f"<c:val>{points('3', '4')}</c:val></c:ser></c:chart>"
    )
    shown = '<p:x xmlns:p="urn:p" xmlns:r="urn:r"><p:sldId id="1" r:id="slide_1"/></p:x>'
    slide = f'<p:sld xmlns:p="urn:p" xmlns:a="urn:a">{shape("title", "Figures")}</p:sld>'
    data = zipped(
        {
            "ppt/presentation.xml": shown,
            "ppt/_rels/presentation.xml.rels": relations(slide_1="slide.xml"),
            "ppt/slide.xml": slide,
            "ppt/_rels/slide.xml.rels": relations(chart_1="chart.xml"),
            "ppt/chart.xml": chart,
        }
    )
    assert extract(data).text == (
        "## Figures\n\nSales\n\n|  | Apples |\n| --- | --- |\n| May | 3 |\n| June | 4 |"
    )


def test_sheets_are_pages_with_their_names_above_them() -> None:
    extracted = extract(xlsx(Prices=[["fruit", "price"], [], ["apple", "3|4"]], Empty=[], Notes=[["one"]]))
    assert extracted.text == (
        "## Prices\n\n| fruit | price |\n| --- | --- |\n| apple | 3\\|4 |\n\n## Notes\n\n| one |\n| --- |"
    )
    assert [extracted.text[start:][:5] for start in extracted.page_starts] == ["## Pr", "## No", "## No"]


def test_sheets_of_an_open_document_are_pages_and_repeated_cells_are_filled_in() -> None:
    cell = '<table:table-cell office:value-type="string"{}><text:p>{}</text:p></table:table-cell>'
    rows = cell.format(' table:number-columns-repeated="2"', "a") + cell.format("", "b")
    sheet = f'<table:table table:name="Prices"><table:table-row>{rows}</table:table-row></table:table>'
    manifest = '<m:manifest xmlns:m="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>'
    extracted = extract(open_document(sheet, kind="spreadsheet", manifest=manifest))
    assert (extracted.text, extracted.page_starts) == (
        "## Prices\n\n| a | a | b |\n| --- | --- | --- |",
        (0,),
    )


def test_an_open_document_has_headings_lists_tables_and_notes() -> None:
    body = (
        '<text:h text:outline-level="2">Head</text:h>'
        '<text:p>One<text:s text:c="2"/>two<text:line-break/>three'
        "<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>a note</text:p>"
        "</text:note-body></text:note>.</text:p>"
        "<text:tracked-changes><text:p>deleted</text:p></text:tracked-changes>"
        "<text:list><text:list-item><text:p>item</text:p><text:list><text:list-item><text:p>inner</text:p>"
        "</text:list-item></text:list></text:list-item></text:list>"
        "<table:table><table:table-row><table:table-cell><text:p>a</text:p></table:table-cell>"
        '<table:table-cell table:number-columns-repeated="2"/></table:table-row></table:table>'
    )
    extracted = extract(open_document(body, title="Report"))
    assert extracted.text == (
        "## Head\n\nOne two\nthree (a note).\n\n- item\n  - inner\n\n| a |  |  |\n| --- | --- | --- |"
    )
    assert (extracted.title, extracted.page_starts) == ("Report", ())


def test_slides_of_an_open_presentation_are_pages() -> None:
    title = '<draw:frame presentation:class="title"><text:p>{}</text:p></draw:frame>'
    page = f"<draw:page>{title}<text:p>{{}}</text:p></draw:page>"
    extracted = extract(open_document(page.format("A", "b") + page.format("C", "d"), kind="presentation"))
    assert (extracted.text, extracted.page_starts) == ("## A\n\nb\n\n## C\n\nd", (0, 9))


def test_an_encrypted_open_document_says_so() -> None:
    locked = "<m:manifest xmlns:m='urn:m'><m:file-entry><m:encryption-data/></m:file-entry></m:manifest>"
    assert code(open_document("<text:p>x</text:p>", manifest=locked)) == "encrypted"


def test_chapters_of_a_book_come_in_reading_order() -> None:
    pages = {"z.xhtml": "<title/><h1>One</h1>", "a.xhtml": "<h1>Two</h1><nav>no</nav><p>The end.</p>"}
    extracted = extract(epub(pages))
    assert (extracted.title, extracted.text) == ("A book", "# One\n\n# Two\n\nThe end.")


def test_a_book_that_only_its_shop_can_open_says_so() -> None:
    listed = '<e><CipherReference URI="OEBPS/1.xhtml"/></e>'
    assert code(epub({"1.xhtml": "<p>x</p>"}, encryption=listed)) == "encrypted"
    fonts = '<e><CipherReference URI="OEBPS/font.otf"/></e>'
    assert extract(epub({"1.xhtml": "<p>x</p>"}, encryption=fonts)).text == "x"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (docx(paragraph("x")), "docx"),
        (pptx(shape("", "x")), "pptx"),
        (xlsx(A=[["x"]]), "xlsx"),
        (open_document("<text:p>x</text:p>"), "odt"),
        (open_document("<draw:page><text:p>x</text:p></draw:page>", kind="presentation"), "odp"),
        (epub({"1.xhtml": "<p>x</p>"}), "epub"),
    ],
)
def test_a_document_is_known_by_its_parts(data: bytes, expected: str) -> None:
    assert kind(data) == expected


@pytest.mark.parametrize(
    "data",
    [
        docx(""),
        pptx(shape("sldNum", "1")),
        xlsx(A=[], B=[["", ""]]),
        open_document("<text:p/>"),
        epub({"1.xhtml": "<img/>"}),
    ],
)
def test_a_document_without_text_says_so(data: bytes) -> None:
    assert code(data) == "no_text"


@pytest.mark.parametrize(
    "data",
    [
        docx(paragraph("word " * 50)),
        pptx(shape("", "word " * 50)),
        xlsx(A=[["word " * 50]]),
        open_document(f"<text:p>{'word ' * 50}</text:p>"),
        epub({"1.xhtml": "word " * 50}),
    ],
)
def test_more_text_than_a_document_may_hold_is_refused(data: bytes) -> None:
    assert code(data, max_characters=100) == "too_large"
