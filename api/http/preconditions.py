"""ETag and If-Match (RFC 9110): a document's entity tag is its version in quotes."""

import re
from collections.abc import Container

from aiohttp import hdrs, web

from api.errors import MalformedRequest

_ANY = range(1, 2**63)
_TAG = re.compile(r'(?P<weak>W/)?"(?P<opaque>[\x21\x23-\x7e]*)"')


def entity_tag(version: int) -> str:
    """What GET sends and If-Match takes."""
    return f'"{version}"'


def versions_wanted(request: web.Request) -> Container[int] | None:
    """The versions that If-Match allows; None without the header.

    Weak tags and those of other services are well-formed and match nothing.

    Raises:
        MalformedRequest: the header is no list of entity tags.
    """
    lines = request.headers.getall(hdrs.IF_MATCH, [])
    if not lines:
        return None
    value = ", ".join(lines).strip()
    if value == "*":
        return _ANY
    tags = [_TAG.fullmatch(part.strip()) for part in value.split(",")]
    if not all(tags):
        raise MalformedRequest(f'If-Match is {value!r}: send "*" or tags as GET gives them, such as "3"')
    strong = [tag["opaque"] for tag in tags if tag is not None and tag["weak"] is None]
    return {int(opaque) for opaque in strong if opaque.isdecimal() and len(opaque) < len(str(_ANY.stop))}
