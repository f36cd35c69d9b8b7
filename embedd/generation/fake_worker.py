"""The fake language model's process, for tests: ``python -m embedd.generation.fake_worker --fd N``.

It speaks a generation worker's frames and is as predictable as can be. The last turn of the user tells it
in a line what to do: ``say: TEXT`` (answers it), ``show:`` (answers what was asked of the worker, as JSON),
``prompt:`` (answers the prompt), ``forever:`` (goes on until it is stopped), ``die:`` (kills the process in
the middle of the answer), ``hang:`` (never says anything again). Anything else is repeated.

Its pages are counted as a real worker's are: a request waits until there are enough for its prompt and all it
may say, and whole pages of a prompt that were seen before count as cached.
"""

import argparse
import json
import os
import re
import select
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import tokenizers

from embedd.frames import Message, receive_frame, send_frame
from embedd.generation.fake_model import FAKE_CONTEXT, FAKE_VOCABULARY_SIZE, fake_tokenizer

PAGE_TOKENS = 16
MAX_RUNNING = 8

_ORDER = re.compile(r"^(say|show|prompt|forever|die|hang):", re.MULTILINE)
_HELLO = {
    "device": "cpu",
    "dtype": "float32",
    "threads": 1,
    "vocab": FAKE_VOCABULARY_SIZE,
    "context": FAKE_CONTEXT,
    "page_tokens": PAGE_TOKENS,
    "weights_bytes": 0,
    "max_running": MAX_RUNNING,
}


@dataclass
class Request:
    """One ``generate`` call; ``answer`` has the ids still to be said."""

    id: int
    payload: Mapping[str, Any]
    answer: Iterator[int]
    pages: int
    cached: int = 0
    said: int = 0
    order: str = ""
    stop_ids: frozenset[int] = field(default_factory=frozenset)


class FakeEngine:
    """All requests, and the socket that they came from."""

    def __init__(self, sock: socket.socket, pages: int, step_s: float) -> None:
        self._sock = sock
        self._pages = pages
        self._step_s = step_s
        self._tokenizer = tokenizers.Tokenizer.from_str(fake_tokenizer())
        self._running: list[Request] = []
        self._waiting: list[Request] = []
        self._seen: set[bytes] = set()
        self._hangs = False

    def serve(self) -> None:
        """Until the peer closes the socket."""
        while True:
            works = (self._running or self._waiting) and not self._hangs
            if select.select([self._sock], [], [], self._step_s if works else None)[0]:
                message = receive_frame(self._sock)
                if message is None:
                    return
                self._take(message)
            elif works:
                self._step()

    def _take(self, message: Message) -> None:
        if message["op"] == "load":
            self._reply(message["id"], {**_HELLO, "pages": self._pages})
        elif message["op"] == "cancel":
            self._cancel(message["payload"]["request"])
            self._reply(message["id"], {})
        elif error := self._refusal(message["payload"]):
            send_frame(self._sock, {"id": message["id"], "error": error})
        else:
            self._waiting.append(self._request(message["id"], message["payload"]))

    def _refusal(self, payload: Mapping[str, Any]) -> Mapping[str, str] | None:
        tokens = len(payload["prompt"])
        if tokens > FAKE_CONTEXT - 1:
            return _error("PromptTooLong", f"the prompt has {tokens} tokens, the context {FAKE_CONTEXT}")
        if _pages(payload) > self._pages:
            return _error("TooLarge", f"it needs {_pages(payload)} pages of {self._pages}")
        grammar = payload["grammar"]
        if grammar and grammar["kind"] == "json_schema":
            schema = json.loads(grammar["value"])
            if "type" not in schema and "$ref" not in schema and "anyOf" not in schema:
                return _error("InvalidGrammar", "the schema says no type")
        return None

    def _request(self, id: int, payload: Mapping[str, Any]) -> Request:
        text = self._tokenizer.decode(payload["prompt"].tolist(), skip_special_tokens=False)
        order, answer = self._answer(text, payload)
        ids = self._tokenizer.encode(answer, add_special_tokens=False).ids
        endless = order in ("forever", "die")
        return Request(
            id=id,
            payload=payload,
            answer=iter(ids * (1 + FAKE_CONTEXT // len(ids)) if endless else ids),
            pages=_pages(payload),
            cached=self._cached_tokens(payload["prompt"].tobytes(), len(payload["prompt"])),
            order=order,
            stop_ids=frozenset(payload["stop_ids"]),
        )

    def _answer(self, text: str, payload: Mapping[str, Any]) -> tuple[str, str]:
        turn = text.rpartition("<|im_start|>user\n")[2].partition("<|im_end|>")[0]
        found = next(reversed(list(_ORDER.finditer(turn))), None)
        order = found[1] if found else ""
        if order == "say" and found:
            return order, turn[found.end() :].strip()
        if order == "show":
            shown = {name: value for name, value in payload.items() if name != "prompt"}
            return order, json.dumps(shown)
        if order == "prompt":
            return order, text.replace("<|", "<!")  # as it stands it would end where its first turn does
        return order, "tide " if order in ("forever", "die", "hang") else f"You said: {turn.strip()}"

    def _cached_tokens(self, prompt: bytes, tokens: int) -> int:
        """Of whole pages, and never the last token, which has to be computed."""
        size = PAGE_TOKENS * len(prompt) // tokens
        prefixes = [prompt[: size * (page + 1)] for page in range((tokens - 1) // PAGE_TOKENS)]
        cached = sum(prefix in self._seen for prefix in prefixes)
        self._seen.update(prefixes)
        return cached * PAGE_TOKENS

    def _cancel(self, id: int) -> None:
        for request in (*self._running, *self._waiting):
            if request.id == id:
                self._end(request, "cancelled")

    def _step(self) -> None:
        self._admit()
        tokens: list[Any] = []
        for request in list(self._running):
            if request.order == "hang":
                self._hangs = True
                return
            if request.order == "die" and request.said == PAGE_TOKENS:
                os.kill(os.getpid(), signal.SIGKILL)
            token = next(request.answer, None)
            if token is None or token in request.stop_ids:
                self._end(request, "stop", tokens)
                continue
            request.said += 1
            tokens.append([request.id, [token], _logprobs(token, request.payload["logprobs"])])
            if request.said == min(
                request.payload["max_tokens"], FAKE_CONTEXT - len(request.payload["prompt"])
            ):
                self._end(request, "length", tokens)
        self._tell(tokens)

    def _admit(self) -> None:
        while self._waiting and len(self._running) < MAX_RUNNING:
            if self._waiting[0].pages > self._free_pages:
                return
            self._running.append(self._waiting.pop(0))

    @property
    def _free_pages(self) -> int:
        return self._pages - sum(request.pages for request in self._running)

    def _tell(self, tokens: list[Any]) -> None:
        event = {
            "tokens": list(tokens),
            "running": len(self._running),
            "waiting": len(self._waiting),
            "free_pages": self._free_pages,
            "cached_pages": len(self._seen),
            "preempted": 0,
            "seconds": self._step_s,
            "decode_tokens": len(tokens),
            "prefill_tokens": 0,
        }
        tokens.clear()
        send_frame(self._sock, {"event": event})

    def _end(self, request: Request, reason: str, tokens: list[Any] | None = None) -> None:
        (self._running if request in self._running else self._waiting).remove(request)
        if tokens:
            self._tell(tokens)  # what it said comes before its reply
        speculated = request.said // 4 if request.payload["speculate"] else 0
        counts = {"prompt_tokens": len(request.payload["prompt"]), "cached_tokens": request.cached}
        counts |= {"completion_tokens": request.said}
        counts |= {"accepted_tokens": speculated, "rejected_tokens": speculated // 2}
        self._reply(request.id, {"finish_reason": reason, **counts})

    def _reply(self, id: int, reply: Mapping[str, Any]) -> None:
        send_frame(self._sock, {"id": id, "reply": reply})


def _pages(payload: Mapping[str, Any]) -> int:
    tokens: int = min(len(payload["prompt"]) + payload["max_tokens"], FAKE_CONTEXT)
    return -(-tokens // PAGE_TOKENS)


def _logprobs(token: int, best: int | None) -> list[Any] | None:
    if best is None:
        return None
    others = [[(token + place) % FAKE_VOCABULARY_SIZE, -0.5 - place] for place in range(best)]
    return [[-0.5, others]]


def _error(kind: str, message: str) -> Mapping[str, str]:
    return {"kind": kind, "message": message}


def main() -> None:
    parser = argparse.ArgumentParser(prog="embedd.generation.fake_worker")
    parser.add_argument("--fd", type=int, required=True, help="the socket to serve, inherited")
    parser.add_argument("--pages", type=int, default=4 * FAKE_CONTEXT // PAGE_TOKENS)
    parser.add_argument("--step-s", type=float, default=0.0005, help="the time a step takes")
    parser.add_argument("--load-s", type=float, default=0.0, help="the time before it can be spoken to")
    arguments = parser.parse_args()
    sock = socket.socket(fileno=arguments.fd)
    sock.set_inheritable(False)
    time.sleep(arguments.load_s)
    FakeEngine(sock, arguments.pages, arguments.step_s).serve()


if __name__ == "__main__":
    main()
