"""A key in a file, for services that are set up by machines: a mounted secret, no row that somebody makes."""

from pathlib import Path
from typing import Final

from api.security.identity import Scope
from api.security.keys import Key, digest_of

SHORTEST: Final = 32
"""Characters: what is shorter could be guessed."""


def read_key(path: Path, name: str) -> Key:
    """A key that may do everything, from the one line of a file; blanks around it do not count.

    Raises:
        OSError: the file cannot be read, or what it holds is no key.
    """
    try:
        secret = path.read_text("utf-8").strip()
    except UnicodeDecodeError as error:
        raise OSError(f"the key file {path} is not text in UTF-8") from error
    if len(secret) < SHORTEST or len(secret.split()) != 1:
        raise OSError(f"the key file {path} must hold one key of {SHORTEST} characters or more, in one line")
    return Key(id=name, name=name, digest=digest_of(secret), scope=Scope.ADMIN, created_at="")
