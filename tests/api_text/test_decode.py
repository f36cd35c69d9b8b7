"""Bytes to characters."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.services.decode import UndecodableText, decode_html, decode_text


@given(st.text(alphabet=st.characters(exclude_characters="\0\ufeff", exclude_categories=["Cs"])))
def test_utf_8_comes_back(text: str) -> None:
    assert decode_text(text.encode()) == text
    assert decode_text(codecs.BOM_UTF8 + text.encode()) == text


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_decides_and_is_dropped(encoding: str) -> None:
    assert decode_text("Größe \n".encode(encoding), charset="koi8-r") == "Größe \n"


def test_big_endian_marks_are_known_too() -> None:
    assert decode_text(codecs.BOM_UTF16_BE + "Größe".encode("utf-16-be")) == "Größe"
    assert decode_text(codecs.BOM_UTF32_BE + "Größe".encode("utf-32-be")) == "Größe"


def test_western_prose_that_is_not_utf_8_is_windows_1252() -> None:
    assert decode_text("L'été à la plage 3,50 €".encode("cp1252")) == "L'été à la plage 3,50 €"


@pytest.mark.parametrize(("text", "encoding"), [("Привет, мир", "koi8-r"), ("佐藤太郎", "shift_jis")])
def test_another_script_that_is_not_utf_8_is_refused(text: str, encoding: str) -> None:
    with pytest.raises(UndecodableText, match="save it as UTF-8 or name its charset"):
        decode_text(text.encode(encoding))
    assert decode_text(text.encode(encoding), encoding) == text


def test_bytes_that_windows_1252_does_not_have_are_refused() -> None:
    with pytest.raises(UndecodableText, match="is not UTF-8"):
        decode_text(b"mostly plain text \x81")


def test_bytes_with_nulls_are_binary() -> None:
    with pytest.raises(UndecodableText, match="is a binary file"):
        decode_text(b"MZ\0\0")


def test_a_label_stands_for_the_superset_that_browsers_read() -> None:
    assert decode_text("“3 €”".encode("cp1252"), "iso-8859-1") == "“3 €”"
    assert decode_text("髙".encode("cp932"), "shift_jis") == "髙"


def test_a_named_charset_must_be_true() -> None:
    with pytest.raises(UndecodableText, match="is not in the encoding it claims, utf-8"):
        decode_text(b"\xff", "utf-8")


@pytest.mark.parametrize("charset", ["no-such-thing", "unicode_escape", "hex"])
def test_an_unknown_charset_is_named(charset: str) -> None:
    with pytest.raises(UndecodableText, match=f"unknown charset '{charset}'"):
        decode_text(b"x", charset)


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ('<meta charset="koi8-r"><p>мир</p>'.encode("koi8-r"), "мир"),
        ('<meta http-equiv=x content="text/html; charset=shift_jis">佐藤'.encode("shift_jis"), "佐藤"),
        ('<meta charset="iso-8859-1">“quoted”'.encode("cp1252"), "“quoted”"),
        ('<meta charset="nonsense">Größe'.encode(), "Größe"),
        ("<p>Größe</p>".encode("cp1252"), "Größe"),
        (b'<meta charset="utf-8">a\xff\x81', "aÿ\ufffd"),
    ],
)
def test_a_page_names_its_charset_and_is_never_refused(page: bytes, expected: str) -> None:
    assert expected in decode_html(page)


def test_the_sender_of_a_page_knows_its_charset_better() -> None:
    assert decode_html('<meta charset="koi8-r">Größe'.encode(), "utf-8").endswith("Größe")
