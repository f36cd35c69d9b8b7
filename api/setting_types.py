"""What values of settings may be, and how they may be written."""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, TypeAdapter
from pydantic_settings import NoDecode

from api.security.addresses import is_loopback


def _comma_separated(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _size_in_bytes(value: object) -> object:
    """``"32MiB"`` as a number of bytes; numbers pass."""
    return int(TypeAdapter(ByteSize).validate_python(value)) if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _check_secure(url: str) -> str:
    """Whoever can change an answer on its way could let themselves in."""
    address = urlsplit(url)
    is_secure = address.scheme == "https" or (
        address.scheme == "http" and is_loopback(address.hostname or "")
    )
    if not is_secure or not address.hostname:
        raise ValueError("must be an address that begins with https://, or with http:// on this machine")
    return url


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_separated)]
LocalPath = Annotated[Path, AfterValidator(Path.expanduser)]
Size = Annotated[int, BeforeValidator(_size_in_bytes), Field(gt=0)]
SizeOrNone = Annotated[int, BeforeValidator(_size_in_bytes), Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
SecureUrl = Annotated[str, AfterValidator(_check_secure)]

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "console", "json"]
AnyCase = BeforeValidator(_lower)
