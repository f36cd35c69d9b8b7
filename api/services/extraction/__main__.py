"""The parser child: serves the calls ``read`` and ``ready`` on the socket it inherits, one file at a time.

A payload holds ``kind``, ``content`` (bytes) or ``path``, and ``charset`` and ``password``, if any.
A reply holds the ``kind`` it turned out to be, ``text``, ``title`` (None without one) and ``page_starts``, or
the ``refused`` file's code with the ``reason``. What a single file may cost is set by the process's own
resource limits: address space for good, processor time anew for each file.
"""

import argparse
import math
import resource
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from api.services.decode import UndecodableText
from api.services.extraction import UnreadableFile
from api.services.extraction.readers import extract
from api.services.extraction.source import Source
from embedd.serving import serve


@dataclass(frozen=True, slots=True)
class _Handlers:
    cpu_s: int
    max_bytes: int
    max_characters: int

    def ready(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """Answers when the readers are loaded."""
        return {}

    def read(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        self._allow_processor_time()
        content = payload["content"] if payload["path"] is None else Path(payload["path"])
        try:
            kind, extracted = extract(
                payload["kind"],
                Source(content, self.max_bytes),
                charset=payload["charset"],
                password=payload["password"],
                max_characters=self.max_characters,
            )
        except UnreadableFile as error:
            return {"refused": error.code, "reason": str(error)}
        except UndecodableText as error:
            return {"refused": "unsupported", "reason": str(error)}
        return asdict(extracted) | {"kind": kind, "refused": None}

    def _allow_processor_time(self) -> None:
        """Moves the limit ahead of what earlier files used; beyond it the kernel sends SIGXCPU."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        limit = math.ceil(usage.ru_utime + usage.ru_stime) + self.cpu_s
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))


def main() -> None:
    options = argparse.ArgumentParser(description="the document parser's child process")
    for name in ("--memory-bytes", "--cpu-s", "--max-bytes", "--max-characters", "--fd"):
        options.add_argument(name, type=int, required=True)
    args = options.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (args.memory_bytes, args.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    handlers = _Handlers(args.cpu_s, args.max_bytes, args.max_characters)
    serve(args.fd, {"ready": handlers.ready, "read": handlers.read})


if __name__ == "__main__":
    main()
