"""A child for tests: it answers, fails, hangs, dies and lists its descriptors when told to."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedd.frames import encode_frame
from embedd.serving import serve


def echo(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    return payload


def fail(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    raise ValueError(payload["message"])


def hang(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    Path(payload["marker"]).touch()
    while True:
        time.sleep(60)


def die(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    os.kill(os.getpid(), signal.Signals(payload["signal"]))
    return {}


def leave(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    sys.exit(payload["code"])


def describe(_: Mapping[str, Any]) -> Mapping[str, Any]:
    listed = {path.name: path for path in Path("/proc/self/fd").iterdir()}
    return {
        "fds": {fd: str(path.readlink()) for fd, path in listed.items() if path.is_symlink()},
        "session": os.getsid(0),
        "path": sys.path,
    }


def speak(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    for number in range(payload["times"]):
        os.write(ARGUMENTS.fd, encode_frame({"event": {"number": number}}))
    return {}


def garble(_: Mapping[str, Any]) -> Mapping[str, Any]:
    os.write(ARGUMENTS.fd, b"\x01\x00\x00\x00\xc1")
    return {}


def unsendable(_: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"object": object()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    ARGUMENTS = parser.parse_args()
    handlers = (echo, fail, hang, die, leave, describe, speak, garble, unsendable)
    serve(ARGUMENTS.fd, {handler.__name__: handler for handler in handlers})
