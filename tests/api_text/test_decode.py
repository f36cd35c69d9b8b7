"""Bytes to characters."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.services.decode import UndecodableText, UnknownEncoding, decode_text
from api.services.extraction.guess import decode_any, decode_html


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


@pytest.mark.parametrize("data", ["L'été".encode("cp1252"), "мир".encode("koi8-r"), b"MZ\0\0"])
def test_what_is_not_utf_8_and_has_no_name_is_not_guessed_at_here(data: bytes) -> None:
    with pytest.raises(UnknownEncoding):
        decode_text(data)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("L'été à la plage 3,50 €", "cp1252"),
        ("Alle Menschen sind frei und gleich an Würde und Rechten geboren.", "cp1252"),
        ("Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw.", "iso8859-2"),
        ("Привет, мир", "koi8-r"),
        ("Все люди рождаются свободными и равными в своем достоинстве и правах.", "cp1251"),
        ("Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια.", "cp1253"),
        ("כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.", "cp1255"),
        ("يولد جميع الناس أحرارا متساوين في الكرامة والحقوق.", "cp1256"),
        ("すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。", "euc-jp"),
        ("名前,年齢,住所\n佐藤太郎,30,東京\n三木英子,25,大阪\n髙橋淳,35,名古屋\n", "cp932"),
        ("人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心。", "gb18030"),
        ("人人生而自由,在尊嚴和權利上一律平等。他們賦有理性和良心。", "big5"),
        ("모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.", "euc-kr"),
        ("Alle Menschen sind frei und gleich an Würde.", "utf-16-le"),
        ("Все люди рождаются свободными и равными.", "utf-16-be"),
    ],
)
def test_an_encoding_that_nobody_named_is_guessed(text: str, encoding: str) -> None:
    assert decode_any(text.encode(encoding)) == text


def test_xml_names_its_own_encoding() -> None:
    text = '<?xml version="1.0" encoding="ISO-8859-2"?><p>Zażółć gęślą jaźń</p>'
    assert decode_any(text.encode("iso8859-2")) == text


def test_a_few_broken_bytes_do_not_make_utf_8_another_encoding() -> None:
    text = "Größe und Maß für Öfen über Köln: häufig, später, möglich. "
    damaged = text.encode() + b"\xff" + text.encode()
    assert decode_any(damaged) == f"{text}\ufffd{text}"


@pytest.mark.parametrize(
    "data", [b"MZ\0\0\x90\x01\xff\xfe\0", bytes(range(256)) * 4, b"\x89PNG\r\n\x1a\n\0\0"]
)
def test_binary_files_are_no_text(data: bytes) -> None:
    with pytest.raises(UndecodableText):
        decode_any(data)


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
