"""The child's half of a call: read a frame, run its handler, write the reply, until the socket closes.

Knows neither what the handlers do nor who calls them. One call at a time, in the order they came; the
next one waits in the socket. ``embedd.child`` is the other half.

Invariant: the process ends when the other side closes the socket, even in the middle of a handler, so
a dead parent leaves no orphan.
"""

import contextlib
import os
import select
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any

from embedd.frames import Message, encode_frame, receive_frame

Handler = Callable[[Message], Mapping[str, Any]]


def serve(fd: int, handlers: Mapping[str, Handler]) -> None:
    """Answers calls on the inherited socket ``fd`` until the peer closes it.

    What a handler raises goes back as the reply and ends nothing: ``kind`` is the exception's class,
    ``message`` its text. The process ends at once, without clean-up, when the peer goes away.
    """
    sock = socket.socket(fileno=fd)
    sock.set_inheritable(False)
    watch_peer(sock)
    with contextlib.suppress(ConnectionError):  # the peer left before it had its answer
        while (request := receive_frame(sock)) is not None:
            sock.sendall(_answer(request, handlers))


def watch_peer(sock: socket.socket) -> None:
    """Ends the process as soon as the peer of ``sock`` goes away, whatever it is doing then."""
    threading.Thread(target=_exit_with_peer, args=(sock,), name="peer-watch", daemon=True).start()


def _answer(request: Message, handlers: Mapping[str, Handler]) -> bytes:
    try:
        reply = handlers[request["op"]](request["payload"])
        return encode_frame({"id": request["id"], "reply": reply})
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller is the one to know
        failure = {"kind": type(error).__name__, "message": str(error)}
        return encode_frame({"id": request["id"], "error": failure})


def _exit_with_peer(sock: socket.socket) -> None:
    """Blocks until the peer hangs up; costs the calls nothing, unlike a reader thread in their way.

    Holds the socket, so that on every other way out it closes with the process and not before: the peer
    would hang up in answer, and the exit code would be the one from here.
    """
    hang_up = select.poll()
    hang_up.register(sock, 0)  # POLLHUP is always reported
    hang_up.poll()
    os._exit(0)
