"""Mails, tables, notebooks, rich text: what they look like as text."""

import json

import pytest

from api.services.extraction import UnreadableFile
from api.services.extraction.delimited import extract_delimited
from api.services.extraction.extracted import Extracted
from api.services.extraction.mail import extract_mail
from api.services.extraction.notebook import extract_notebook
from api.services.extraction.rich_text import extract_rich_text

MOST = 1_000_000


def mail(text: str) -> Extracted:
    return extract_mail(text.encode(), max_characters=MOST)


def delimited(text: str, encoding: str = "utf-8") -> str:
    return extract_delimited(text.encode(encoding), None, max_characters=MOST).text


def notebook(**content: object) -> Extracted:
    return extract_notebook(json.dumps(content).encode(), None, max_characters=MOST)


def rich_text(text: str) -> str:
    return extract_rich_text(text.encode("latin-1"), max_characters=MOST).text


def test_a_mail_is_its_headers_its_body_and_the_names_of_what_was_attached() -> None:
    extracted = mail(
        "From: Ann <a@x.org>\nTo: b@x.org\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\nX-Other: no\n"
        'Content-Type: multipart/mixed; boundary="b"\n\n--b\n\nHello.\n'
        '--b\nContent-Type: application/pdf\nContent-Disposition: attachment; filename="r.pdf"\n\nx\n--b--\n'
    )
    assert (
        extracted.text == "From: Ann <a@x.org>\nTo: b@x.org\nSubject: Grüße\n\nHello.\n\nAttachments: r.pdf"
    )
    assert extracted.title == "Grüße"


def test_the_plain_body_comes_before_the_html_one_unless_it_is_empty() -> None:
    both = 'Subject: s\nContent-Type: multipart/alternative; boundary="b"\n\n--b\n\n{}\n'
    both += "--b\nContent-Type: text/html\n\n<h1>Head</h1><script>x</script>\n--b--\n"
    assert mail(both.format("Plain.")).text == "Subject: s\n\nPlain."
    assert mail(both.format("")).text == "Subject: s\n\n# Head"


def test_a_body_that_is_not_in_the_charset_it_claims_is_read_all_the_same() -> None:
    assert mail("Subject: s\nContent-Type: text/plain; charset=no-such\n\nCafé").text == "Subject: s\n\nCafé"


@pytest.mark.parametrize(("text", "code"), [("no headers here", "broken"), ("To: a@x.org\n\n \n", "no_text")])
def test_what_is_no_mail_or_an_empty_one_says_so(text: str, code: str) -> None:
    with pytest.raises(UnreadableFile) as refused:
        mail(text)
    assert refused.value.code == code


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_first_line_tells_what_separates_the_columns(delimiter: str) -> None:
    rows = [["name", "price"], ["pear", "1"], ["", ""], ["fig", "2"]]
    text = "\n".join(delimiter.join(row) for row in rows)
    assert delimited(text) == "| name | price |\n| --- | --- |\n| pear | 1 |\n| fig | 2 |"


def test_quoted_fields_keep_their_separators_and_lose_their_line_breaks() -> None:
    assert delimited('a,b\n"1, or\n2","x|y"\n') == "| a | b |\n| --- | --- |\n| 1, or 2 | x\\|y |"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "cp932"])
def test_tables_are_read_in_any_encoding(encoding: str) -> None:
    text = "名前,年齢,住所\n佐藤太郎,30,東京\n三木英子,25,大阪\n髙橋淳,35,名古屋\n"
    assert "| 佐藤太郎 | 30 | 東京 |" in delimited(text, encoding)


def test_a_table_without_a_value_says_so() -> None:
    with pytest.raises(UnreadableFile, match="holds no text"):
        delimited(" , \n,\n")


def test_a_notebook_is_its_text_and_its_code_in_fences_with_what_it_printed() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Head\n", "text"]},
        {"cell_type": "code", "source": "print('```')", "outputs": [{"text": ["one\n", "two\n"]}]},
        {"cell_type": "code", "source": [], "outputs": [{"data": {"text/plain": "3", "image/png": "iVBO"}}]},
    ]
    extracted = notebook(cells=cells, metadata={"language_info": {"name": "python"}})
    assert extracted.text == (
        "# Head\ntext\n\n````python\nprint('```')\n````\n\n```\none\ntwo\n```\n\n```\n3\n```"
    )


def test_a_notebook_of_an_older_format_is_read() -> None:
    cells = [{"cell_type": "code", "input": "x = 1", "outputs": []}]
    assert notebook(worksheets=[{"cells": cells}]).text == "```\nx = 1\n```"


@pytest.mark.parametrize("content", ["[]", "{}", "{", '{"cells": [1]}', "[" * 100_000, '{"cells": null}'])
def test_what_is_no_notebook_says_so(content: str) -> None:
    with pytest.raises(UnreadableFile, match="is damaged or not a notebook"):
        extract_notebook(content.encode(), None, max_characters=MOST)


def test_rich_text_loses_its_commands_and_keeps_its_characters() -> None:
    text = r"{\rtf1\ansi{\fonttbl{\f0 Arial;}}\f0 Caf\'e9 \b bold\b0\par \u8364? \u-10179?\u-8704?}"
    assert rich_text(text) == "Café bold\n€ 😀"


@pytest.mark.parametrize("text", [r"{\rtf1}", r"{\rtf1{\*\generator x;}}"])
def test_rich_text_without_text_says_so(text: str) -> None:
    with pytest.raises(UnreadableFile, match="holds no text"):
        rich_text(text)
