"""A side's own end: one JSON line in, one out. Standard library alone: peers run with other packages."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

Step = Callable[..., Mapping[str, Any]]


def begin() -> dict[str, Any]:
    """Keeps this process to its cores, before anything counts them, and gives its configuration."""
    configuration: dict[str, Any] = json.loads(sys.argv[1])
    os.sched_setaffinity(0, configuration["cores"])
    return configuration


def serve(steps: Mapping[str, Step]) -> None:
    """Answers until standard input ends. What libraries print goes to standard error, not between answers."""
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        for line in sys.stdin:
            arguments = json.loads(line)
            answer = steps[arguments.pop("step")](**arguments)
            print(json.dumps(answer), file=answers, flush=True)
