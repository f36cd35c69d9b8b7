"""One child process that answers calls: started by exec, spoken to in frames over a socketpair.

Knows nothing of what the child does; ``embedd.serving`` is the child's half. Used for model workers and
for whatever else must be able to die, hang or eat memory alone.

Invariants: the child inherits standard error and its own end of the socket, nothing else; every call
is settled, by its reply or by the child's death; a call that takes too long kills the child; events and
replies are told in the order they came; leaving ``open_child`` leaves no process behind.
"""

import asyncio
import contextlib
import itertools
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from embedd.errors import CallFailed, ChildDied, ChildTimedOut
from embedd.frames import LENGTH_BYTES, FrameError, Message, decode_body, encode_frame, read_length

OnEvent = Callable[[Mapping[str, Any]], None]
"""Told what the child says without being asked; must not raise."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call under way, which the child knows by its ``id``; ``reply`` raises as ``Child.call`` does."""

    id: int
    reply: "asyncio.Future[Message]"


class Child:
    """A live child; made by ``open_child``.

    ``closed`` is set once the process is gone and all its calls are settled.
    """

    def __init__(
        self,
        name: str,
        process: Process,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        grace_s: float,
        on_event: OnEvent | None = None,
    ) -> None:
        self.name = name
        self.closed = asyncio.Event()
        self._process = process
        self._reader, self._writer = streams
        self._grace_s = grace_s
        self._on_event = on_event
        self._pending: dict[int, asyncio.Future[Message]] = {}
        self._ids = itertools.count()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it lives; negative for the signal that killed it."""
        return self._process.returncode

    async def call(self, op: str, payload: Mapping[str, Any], timeout_s: float | None = None) -> Message:
        """The child's answer to ``payload``; calls are answered one at a time, in the order made.

        A cancelled call is still worked on by the child; its reply is dropped.

        Raises:
            CallFailed: the handler raised.
            ChildDied: the child was dead already or died before it answered.
            ChildTimedOut: no answer in ``timeout_s``, counted from now; the child is killed.
            FrameError: the payload is too long for a frame; nothing was sent.
        """
        call = self.begin(op, payload)
        try:
            return await self._wait(call, timeout_s)
        finally:
            self._pending.pop(call.id, None)

    def begin(self, op: str, payload: Mapping[str, Any]) -> Call:
        """Sends a call and waits for nothing; ``reply`` is settled in any case.

        Raises:
            ChildDied: the child was dead already.
            FrameError: the payload is too long for a frame; nothing was sent.
        """
        if self.closed.is_set():
            raise ChildDied(self.name, self.exit_code)
        call = Call(next(self._ids), asyncio.get_running_loop().create_future())
        frame = encode_frame({"id": call.id, "op": op, "payload": payload})
        self._pending[call.id] = call.reply
        self._writer.write(frame)
        return call

    def tell(self, op: str, payload: Mapping[str, Any]) -> None:
        """Sends a call whose reply nobody waits for; does nothing where the child is dead."""
        if not self.closed.is_set():
            self._writer.write(encode_frame({"id": next(self._ids), "op": op, "payload": payload}))

    async def _wait(self, call: Call, timeout_s: float | None) -> Message:
        limit = asyncio.timeout(timeout_s)
        try:
            async with limit:
                with contextlib.suppress(ConnectionError):  # the reply's future will tell
                    await self._writer.drain()
                return await call.reply
        except TimeoutError:
            assert timeout_s is not None
            self.kill()
            raise ChildTimedOut(self.name, timeout_s) from None

    def kill(self) -> None:
        """Ends the process at once (SIGKILL); what is pending fails as soon as it is gone."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def hang_up(self) -> None:
        """Closes the socket, which is the child's sign to leave."""
        self._writer.transport.abort()  # close() would first flush to a child that may not be reading

    async def run(self) -> None:
        """Hands out the replies until the socket closes, then buries the child. Owned by ``open_child``."""
        try:
            with contextlib.suppress(FrameError, ConnectionError):
                while (message := await read_frame(self._reader)) is not None:
                    self._settle(message)
            self.hang_up()
            await self._wait_for_exit()
        finally:
            self.kill()
            self._fail_pending()

    async def _wait_for_exit(self) -> None:
        try:
            async with asyncio.timeout(self._grace_s):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()

    def _settle(self, message: Message) -> None:
        if "id" not in message:
            if self._on_event is not None:
                self._on_event(message["event"])
            return
        reply = self._pending.pop(message["id"], None)
        if reply is None or reply.done():
            return  # its caller left
        if (error := message.get("error")) is not None:
            reply.set_exception(CallFailed(error["kind"], error["message"]))
        else:
            reply.set_result(message["reply"])

    def _fail_pending(self) -> None:
        for reply in self._pending.values():
            if not reply.done():
                reply.set_exception(ChildDied(self.name, self.exit_code))
        self._pending.clear()
        self.closed.set()


@contextlib.asynccontextmanager
async def open_child(
    module: str,
    args: Sequence[str] = (),
    *,
    name: str = "",
    grace_s: float = 1.0,
    on_event: OnEvent | None = None,
) -> AsyncIterator[Child]:
    """Runs ``python -m module *args --fd N``, a child that serves calls on its socket ``N``.

    ``name`` is what messages call it (``module`` if empty); ``on_event`` is told what it says unasked. When
    the socket closes it has ``grace_s`` to leave, then it is killed.

    Raises:
        OSError: the process could not be started.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        streams = await asyncio.open_connection(sock=ours)
        try:
            process = await _spawn(module, args, theirs.fileno())
        except BaseException:
            streams[1].transport.abort()
            raise
    child = Child(name or module, process, streams, grace_s, on_event)
    replies = asyncio.create_task(child.run(), name=f"replies of {child.name}")
    try:
        yield child
    finally:
        child.hang_up()
        await replies


async def read_frame(reader: asyncio.StreamReader) -> Message | None:
    """The next frame of a stream; None when the peer closed it between two frames."""
    try:
        head = await reader.readexactly(LENGTH_BYTES)
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise FrameError("the stream ends in the middle of a frame") from error
        return None
    try:
        body = await reader.readexactly(read_length(head))
    except asyncio.IncompleteReadError as error:
        raise FrameError("the stream ends in the middle of a frame") from error
    return decode_body(body)


async def _spawn(module: str, args: Sequence[str], fd: int) -> Process:
    """The process: in a session of its own, so that a terminal's Ctrl-C reaches the parent alone, and
    with ``-P``, so that the folder the service was started in is not on its import path.
    """
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", module, *args, "--fd", str(fd)),
        stdin=DEVNULL,
        stdout=DEVNULL,
        pass_fds=(fd,),
        start_new_session=True,
    )
