"""The id of a request: the client's own, or one that is made here. It is in the log and on the answer."""

import random
import re

HEADER_REQUEST_ID = "x-request-id"

_SAFE_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


def request_id(given: str) -> str:
    """``given`` if it can be an id, else a new one."""
    # Nothing is protected by it, and asking the system for randomness costs more than the rest of this.
    return given if _SAFE_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"
