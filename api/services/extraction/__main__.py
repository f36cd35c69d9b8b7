"""The parser child: serves the calls ``html`` and ``pdf`` on the socket it inherits, one file at a time.

A payload holds ``data`` (bytes) or ``path``, and ``password`` (None without one). A reply holds ``text``,
``title`` (None without one) and ``page_starts``. What a single file may cost is set by the process's own
resource limits: address space for good, processor time anew for each file.
"""

import argparse
import math
import resource
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from api.services.extraction.html import extract_html
from api.services.extraction.pdf import extract_pdf
from embedd.serving import serve


@dataclass(frozen=True, slots=True)
class _Handlers:
    cpu_s: int
    max_characters: int

    def html(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        self._allow_processor_time()
        data = payload["data"] if payload["path"] is None else Path(payload["path"]).read_bytes()
        return asdict(extract_html(data, payload["charset"], max_characters=self.max_characters))

    def pdf(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        self._allow_processor_time()
        source = payload["data"] if payload["path"] is None else Path(payload["path"])
        return asdict(extract_pdf(source, payload["password"], max_characters=self.max_characters))

    def _allow_processor_time(self) -> None:
        """Moves the limit ahead of what earlier files used; beyond it the kernel sends SIGXCPU."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        limit = math.ceil(usage.ru_utime + usage.ru_stime) + self.cpu_s
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))


def main() -> None:
    options = argparse.ArgumentParser(description="the document parser's child process")
    for name in ("--memory-bytes", "--cpu-s", "--max-characters", "--fd"):
        options.add_argument(name, type=int, required=True)
    args = options.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (args.memory_bytes, args.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    handlers = _Handlers(args.cpu_s, args.max_characters)
    serve(args.fd, {"html": handlers.html, "pdf": handlers.pdf})


if __name__ == "__main__":
    main()
