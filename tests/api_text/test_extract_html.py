"""What a web page looks like as Markdown."""

import pytest

from api.services.extraction import UnreadableFile
from api.services.extraction.extracted import Extracted
from api.services.extraction.html import extract_html


def extract(page: str) -> Extracted:
    return extract_html(page.encode(), "utf-8", max_characters=1_000_000)


def text(page: str) -> str:
    return extract(page).text


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<p>One</p><p>two  <b>bold</b>\n<i>it</i>alic</p>", "One\n\ntwo bold italic"),
        ("a<br>b<br><br>c", "a\nb\nc"),
        ("<p>x &amp; y&nbsp;&lt;z&gt; &eacute;</p>", "x & y <z> é"),
        ("<h1>A<br>b</h1><h3>C</h3>text", "# A b\n\n### C\n\ntext"),
        ("<h2></h2><div>text</div>", "text"),
        ("<div>a<div>b</div>c</div>", "a\n\nb\n\nc"),
        ("<dl><dt>Term</dt><dd>Meaning</dd></dl>", "Term\n\nMeaning"),
    ],
)
def test_blocks_are_separated_and_inline_markup_is_not(page: str, expected: str) -> None:
    assert text(page) == expected


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<ul><li>a<li>b</ul>after", "- a\n- b\n\nafter"),
        ("<ol><li>a<ul><li>b</ul><li>c</ol>", "- a\n  - b\n- c"),
        ("<ul><li><p>a</p><p>more of a</p><li>b</ul>", "- a\n  more of a\n- b"),
        ("<ul><li><h3>Head</h3>body</ul>", "### Head\n\nbody"),
        ("<li>stray", "- stray"),
        ("x</ul>y", "xy"),
    ],
)
def test_list_items_begin_with_a_dash(page: str, expected: str) -> None:
    assert text(page) == expected


def test_tables_are_rows_with_a_line_below_the_first() -> None:
    page = "<table><caption>C</caption><tr><th>a<th>b|c<tr><td><p>1</p><p>2</p><td></table>end"
    assert text(page) == "C\n\n| a | b\\|c |\n| --- | --- |\n| 1 2 |  |\n\nend"


def test_lists_and_breaks_in_a_cell_stay_on_its_line() -> None:
    page = "<table><tr><td>a<br>b<ul><li>c<li>d</ul><td>e</table>"
    assert text(page) == "| a b c d | e |\n| --- | --- |"


def test_empty_rows_are_left_out() -> None:
    assert text("x<table><tr><td> <td></tr><tr><td>1</table>") == "x\n\n| 1 |\n| --- |"


def test_tables_that_lay_out_a_page_are_read_as_blocks() -> None:
    page = "<table><tr><td><h2>Head</h2><p>text</p><td>side<table><tr><td>1<td>2</table></table>"
    assert text(page) == "## Head\n\ntext\n\nside\n\n| 1 | 2 |\n| --- | --- |"


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<pre>a\n  <b>b</b><br>c\n</pre>", "```\na\n  b\nc\n```"),
        ("<pre>```\nx\n```</pre>", "````\n```\nx\n```\n````"),
        ("<pre> \n</pre>x", "x"),
    ],
)
def test_preformatted_text_becomes_a_fence(page: str, expected: str) -> None:
    assert text(page) == expected


def test_what_no_reader_reads_is_left_out() -> None:
    page = (
        "<head><style>p{}</style></head><nav>menu</nav><script>x</script><noscript>n</noscript>text"
        "<!-- comment --><template>t</template><button>press</button><svg><text>s</text></svg>"
        "<footer>f</footer>"
    )
    assert text(page) == "text"


def test_a_main_element_with_its_share_of_the_text_is_the_page() -> None:
    assert (
        text("<div>Skip to content</div><main><p>What the page is about</p></main>")
        == "What the page is about"
    )
    assert text(f"<main>tiny</main><p>{'word ' * 20}</p>").startswith("tiny\n\nword")
    assert text("<main>one</main><main>two</main>") == "one\n\ntwo"


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("<title> A \n page &amp; more</title><h1>Head</h1>x", "A page & more"),
        ("<title></title><h1>Head <i>line</i></h1>x", "Head line"),
        ("<p>x</p><svg><title>no</title></svg>", None),
    ],
)
def test_the_title_is_the_title_element_or_the_first_heading(page: str, title: str | None) -> None:
    assert extract(page).title == title


@pytest.mark.parametrize("page", ["", "<html></html>", "<script>x</script>", "<p> &nbsp; </p>"])
def test_a_page_without_text_is_refused(page: str) -> None:
    with pytest.raises(UnreadableFile, match="holds no text"):
        extract(page)


def test_a_page_with_too_much_text_is_refused() -> None:
    with pytest.raises(UnreadableFile, match="holds more than 10 characters"):
        extract_html(b"<p>far too much text</p>", None, max_characters=10)


@pytest.mark.parametrize("tag", ["div", "b", "ul><li", "table><tr><td", "blockquote", "pre", "h1"])
def test_deep_nesting_is_read(tag: str) -> None:
    assert "core" in text(f"<{tag}>" * 3000 + "core")


def test_many_siblings_are_read() -> None:
    page = "<table>" + "<tr><td>a<td>b" * 20_000 + "</table>"
    assert text(page).count("\n") == 20_000
