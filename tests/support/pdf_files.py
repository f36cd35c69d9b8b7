"""Writes small PDF files by hand: one line of Helvetica a page, encrypted if there is a password.

ISO 32000-1: 7.5 (file structure), 7.6 (encryption; revision 2, RC4 of 40 bits, for its size).
"""

import hashlib

_FILE_ID = bytes(range(16))
_PADDING = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")
_ALL_ALLOWED = -4


def pdf(*pages: str, title: str = "", password: str = "") -> bytes:
    """A PDF whose pages show ``pages``; an empty one shows nothing."""
    first_page = 4
    kids = " ".join(f"{first_page + 2 * n} 0 R" for n in range(len(pages)))
    bodies = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Kids[{kids}]/Count {len(pages)}>>".encode(),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    key, encrypt = _encryption(password) if password else (b"", b"")
    for n, text in enumerate(pages):
        content = _page_content(text)
        if key:
            content = _rc4(_object_key(key, first_page + 2 * n + 1), content)
        bodies += [_page(first_page + 2 * n + 1), _stream(content)]
    trailer = b"/ID[<%s><%s>]" % ((_FILE_ID.hex().encode(),) * 2) + encrypt
    if title:
        bodies.append(f"<</Title({title})>>".encode())
        trailer += f"/Info {len(bodies)} 0 R".encode()
    return _file(bodies, trailer)


def _page_content(text: str) -> bytes:
    if not text:
        return b""
    lines = " ".join(f"({line}) Tj 0 -14 Td" for line in text.split("\n"))
    return f"BT /F1 12 Tf 72 720 Td {lines} ET".encode("latin-1")


def _page(content: int) -> bytes:
    resources = "/Resources<</Font<</F1 3 0 R>>>>/MediaBox[0 0 612 792]"
    return f"<</Type/Page/Parent 2 0 R{resources}/Contents {content} 0 R>>".encode()


def _stream(content: bytes) -> bytes:
    return b"<</Length %d>>\nstream\n%s\nendstream" % (len(content), content)


def _file(bodies: list[bytes], trailer: bytes) -> bytes:
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(bodies, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(bodies) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<</Size %d/Root 1 0 R%s>>\n" % (len(bodies) + 1, trailer)
    return bytes(out + b"startxref\n%d\n%%%%EOF\n" % table)


def _encryption(password: str) -> tuple[bytes, bytes]:
    """The file's key, and the trailer's entry about it (algorithms 2 to 4)."""
    padded = (password.encode() + _PADDING)[:32]
    owner = _rc4(hashlib.md5(padded).digest()[:5], padded)
    permissions = _ALL_ALLOWED.to_bytes(4, "little", signed=True)
    key = hashlib.md5(padded + owner + permissions + _FILE_ID).digest()[:5]
    strings = b"/O<%s>/U<%s>" % (owner.hex().encode(), _rc4(key, _PADDING).hex().encode())
    return key, b"/Encrypt<</Filter/Standard/V 1/R 2/P %d%s>>" % (_ALL_ALLOWED, strings)


def _object_key(key: bytes, number: int) -> bytes:
    return hashlib.md5(key + number.to_bytes(3, "little") + b"\0\0").digest()[:10]


def _rc4(key: bytes, data: bytes) -> bytes:
    state, j = list(range(256)), 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    out, i, j = bytearray(), 0, 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)
