"""What schemathesis does not know of the service: its other media types, and what there is in it.

Imported by schemathesis itself, in a process of its own (SCHEMATHESIS_HOOKS); the ids of what is there are in
the variable ``KNOWN``.
"""

import json
import os
import random
from typing import Any

import msgspec
import schemathesis

KNOWN = json.loads(os.environ["KNOWN"])
_SHARE_KNOWN = 0.8
"""Of the paths that lead to something that is there; the others are whatever is tried."""


@schemathesis.deserializer("application/msgpack")
def read_msgpack(_: Any, response: Any) -> Any:
    return msgspec.msgpack.decode(response.content)


@schemathesis.deserializer("text/event-stream")
def read_events(_: Any, response: Any) -> list[Any]:
    """What events bring: that is what is described, as OpenAI describes its own, and not their lines."""
    told = [line.removeprefix("data:").strip() for line in response.text.splitlines() if line[:5] == "data:"]
    return [msgspec.json.decode(one) for one in told if one != "[DONE]"]


@schemathesis.serializer("application/x-ndjson")
def write_lines(_: Any, value: Any) -> bytes:
    rows = value if isinstance(value, list) else [value]
    return "\n".join(json.dumps(row) for row in rows).encode()


@schemathesis.hook
def map_path_parameters(context: Any, parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    for name in parameters or {}:
        chosen = random.Random(f"{context.operation.path} {parameters}")
        kinds = [kind for kind in KNOWN if f"/{kind}/{{{name}" in context.operation.path]
        if kinds and chosen.random() < _SHARE_KNOWN:
            parameters[name] = chosen.choice(KNOWN[kinds[0]])
    return parameters
