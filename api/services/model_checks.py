"""What a model that is to be added must be, and in what it may differ from one that is there."""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from api.errors import InvalidRequest
from api.services.model_rows import ModelRow
from api.services.opening import Openers
from embedd.errors import ModelLoadError
from embedd.remote.specs import parse_remote
from embedd.specs import ELSEWHERE
from embedd.upstream.specs import SCHEME, parse_upstream

_NAME: Final = re.compile(r"(?!.*/events$)[A-Za-z0-9][\w.-]*(/[\w-][\w.-]*)*")
_LONGEST_NAME: Final = 200


def check_model(wanted: ModelRow, openers: Openers) -> None:
    """Refuses what could never be opened, before anything is kept or fetched.

    Raises:
        InvalidRequest: the name or the source means nothing, or must not be asked.
    """
    if len(wanted.name) > _LONGEST_NAME or not _NAME.fullmatch(wanted.name):
        raise InvalidRequest(
            f"{wanted.name[:80]!r} is no name for a model: letters, digits, . _ - and / between "
            f"them, at most {_LONGEST_NAME} characters, and /events is not its end",
            param="name",
        )
    try:
        _check_source(wanted, openers)
    except ModelLoadError as error:
        raise InvalidRequest(str(error), param="source") from error


def _check_source(wanted: ModelRow, openers: Openers) -> None:
    """Also that nobody makes this service speak to whom it should not, perhaps with a key."""
    for origin in _origins(wanted, openers):
        if origin not in openers.settings.allowed_upstreams:
            raise ModelLoadError(
                f"{origin} is not among the upstreams that may be added (allowed_upstreams in the settings)"
            )


def _origins(wanted: ModelRow, openers: Openers) -> Sequence[str]:
    """Who would be spoken to; raises ``ModelLoadError`` for a source that means nothing."""
    if wanted.kind != "generator":
        spec = openers.spec(wanted.source, name=wanted.name)
        return parse_remote(spec.place).origins if spec.scheme == ELSEWHERE else ()
    openers.generators.spec(wanted.name, wanted.source)
    if not wanted.source.startswith(SCHEME):
        return ()
    addresses = map(urlsplit, parse_upstream(wanted.source).base_urls)
    return [f"{address.scheme}://{address.netloc}" for address in addresses]


def differences(row: ModelRow, wanted: ModelRow) -> list[str]:
    """What was asked for otherwise; a pin that is not asked for is no difference."""
    pairs = {
        "kind": (row.kind, wanted.kind),
        "source": (row.source, wanted.source),
        "allow_pickle": (row.allow_pickle, wanted.allow_pickle),
        "revision": (row.revision, wanted.revision or row.revision),
        "sha256": (row.sha256, wanted.sha256 or row.sha256),
    }
    return [name for name, (kept, asked) in pairs.items() if kept != asked]
