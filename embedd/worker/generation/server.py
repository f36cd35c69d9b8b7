"""Calls and events of a generator's worker over its socket, one thread for all of it.

Between two steps it takes what has come and does not wait; when nothing is to be done it waits for the next
call. A ``generate`` is answered when its request has ended, others before it or after.

Invariant: all events of a request are sent before its reply.
"""

import select
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from embedd.frames import Message, receive_frame, send_frame
from embedd.worker.generation.engine import Engine, Report
from embedd.worker.generation.grammar import Grammars
from embedd.worker.generation.requests import Request


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that is ready, and what its hello says of it."""

    engine: Engine
    grammars: Grammars
    hello: Mapping[str, Any]


class Server:
    """Answers on ``sock``; ``load`` is called when the peer asks for it."""

    def __init__(self, sock: socket.socket, load: Callable[[], Loaded]) -> None:
        self._sock = sock
        self._load = load
        self._loaded: Loaded | None = None
        self._arrivals = 0

    @property
    def _ready(self) -> Loaded:
        if self._loaded is None:
            raise RuntimeError("nothing is loaded")
        return self._loaded

    @property
    def _busy(self) -> bool:
        return self._loaded is not None and self._loaded.engine.busy

    def run(self) -> None:
        """Serves until the peer closes the socket."""
        while (messages := self._receive()) is not None:
            for message in messages:
                self._answer(message)
            if self._busy:
                self._tell(self._ready.engine.step())

    def _receive(self) -> list[Message] | None:
        """What has come; waits for it if there is nothing else to do. None once the peer has left."""
        messages: list[Message] = []
        waits = not self._busy
        while (waits and not messages) or select.select([self._sock], [], [], 0)[0]:
            message = receive_frame(self._sock)
            if message is None:
                return None
            messages.append(message)
        return messages

    def _answer(self, message: Message) -> None:
        handlers = {"load": self._open, "generate": self._generate, "cancel": self._cancel}
        try:
            reply = handlers[message["op"]](message["id"], message["payload"])
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller is the one to know
            self._fail(message["id"], type(error).__name__, str(error))
            return
        if reply is not None:
            self._reply(message["id"], reply)

    def _open(self, _: int, __: Message) -> Mapping[str, Any]:
        self._loaded = self._load()
        return self._loaded.hello

    def _generate(self, id: int, payload: Message) -> None:
        ready = self._ready
        grammar = None if payload["grammar"] is None else ready.grammars.compile(payload["grammar"])
        self._arrivals += 1
        context = ready.engine.context
        ready.engine.add(Request.parse(id, self._arrivals, payload, context=context, grammar=grammar))

    def _cancel(self, _: int, payload: Message) -> Mapping[str, Any]:
        ended = self._ready.engine.cancel(payload["request"])
        if ended is not None:
            self._reply(ended.id, ended.result())
        return {}

    def _tell(self, report: Report) -> None:
        """The event of a step, and the replies to those that it has ended."""
        event = {
            "tokens": report.tokens,
            **self._ready.engine.figures(),
            "seconds": report.seconds,
            "decode_tokens": report.decode_tokens,
            "prefill_tokens": report.prefill_tokens,
        }
        send_frame(self._sock, {"event": event})
        for request in report.ended:
            if request.finish_reason == "error":
                self._fail(request.id, "NotFinite", "the model's answer is not a number")
            else:
                self._reply(request.id, request.result())

    def _reply(self, id: int, reply: Mapping[str, Any]) -> None:
        send_frame(self._sock, {"id": id, "reply": reply})

    def _fail(self, id: int, kind: str, message: str) -> None:
        send_frame(self._sock, {"id": id, "error": {"kind": kind, "message": message}})
