"""One WebSocket connection: several questions at once, each answered chunk by chunk.

Frames that make no sense get an error frame and disturb nothing else. The answers are those of `LiveAnswers`:
they go on for a while when the connection is lost, and whoever knows an id that cannot be guessed takes one
up again on another.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Final, cast

import msgspec
import structlog
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web
from msgspec import UNSET, Raw

from api.conversations.records import new_id
from api.errors import InvalidRequest, NotFound, refuse
from api.http.chat_question import read_question
from api.http.handlers.chat import chunks
from api.http.wire import decode_json, encode_json
from api.schemas import ErrorDetail
from api.schemas_chat import ChatRequest
from api.schemas_websocket import (
    AskFrame,
    ChunkFrame,
    ClientFrame,
    DoneFrame,
    ErrorFrame,
    FrameId,
    ResumeFrame,
    StopFrame,
)
from api.security.identity import ANONYMOUS, Identity
from api.services.container import Services
from api.services.live_answers import LiveAnswer
from embedd.errors import Overloaded
from embedd.ownership import beside, owned_tasks

log = structlog.get_logger()

MOST_ASKS: Final = 8
"""Answered at once on one connection."""
SHORTEST_RESUMED: Final = 16
"""Characters of an id by which another connection may take up an answer; a shorter one could be guessed."""


@dataclass(frozen=True, slots=True, eq=False)
class Following:
    """That this connection tells of an answer, under the id that its client gave it."""

    id: str
    answer: LiveAnswer


class Connection:
    """The questions and answers of ``socket``, which is prepared and was opened by ``identity``."""

    def __init__(self, socket: web.WebSocketResponse, services: Services, identity: Identity) -> None:
        self._socket = socket
        self._services = services
        self._identity = identity
        self._live = services.live_answers
        self._following: dict[str, Following] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._name = new_id()

    async def run(self) -> None:
        """Returns when the client has left, or when the service ends and everything is answered."""
        try:
            async with beside(self._close_when_told()), owned_tasks() as group:
                tasks: list[asyncio.Task[None]] = []
                async for message in self._socket:
                    if message.type is WSMsgType.ERROR:
                        break
                    tasks = [task for task in tasks if not task.done()]
                    if (begun := await self._take(message)) is not None:
                        tasks.append(group.create_task(self._follow(*begun)))
                for task in tasks:
                    task.cancel()
        finally:
            for following in self._following.values():  # those of which nothing was told yet
                self._live.leave(following.answer)

    async def _take(self, message: WSMessage) -> tuple[Following, int] | None:
        """What is to be followed after a frame, and from behind which number; an error is told before the
        next frame is read, so whoever does not listen is not listened to.
        """
        data = message.data if message.type is WSMsgType.BINARY else message.data.encode()
        try:
            frame = decode_json(data, cast("type[ClientFrame]", ClientFrame))
            if isinstance(frame, StopFrame):
                self._live.stop(self._followed(frame.id))
                return None
            self._services.gate.check_still_valid(self._identity)
            await self._services.gate.quotas.admit(self._identity)
            answer = self._begun(frame) if isinstance(frame, AskFrame) else self._taken_up(frame.id)
        except Exception as error:  # noqa: BLE001 - told to the client, and logged if nobody foresaw it
            await self._tell_error(error, _id_of(data))
            return None
        after = frame.after if isinstance(frame, ResumeFrame) else -1
        following = self._following[frame.id] = Following(frame.id, answer)
        self._idle.clear()
        return following, after

    def _begun(self, frame: AskFrame) -> LiveAnswer:
        if frame.id in self._following:
            raise InvalidRequest(f"the question {frame.id!r} is being answered", param="id", code="id_in_use")
        self._refuse_too_many()
        return self._live.begin(self._key(frame.id), _pieces(self._services, frame, self._identity))

    def _taken_up(self, id: str) -> LiveAnswer:
        if id in self._following:
            return self._following[id].answer
        self._refuse_too_many()
        return self._live.find(self._key(id))

    def _refuse_too_many(self) -> None:
        if len(self._following) >= MOST_ASKS:
            raise Overloaded(
                f"{MOST_ASKS} questions are being answered on this connection: wait, or stop one",
                retry_after_s=1.0,
            )

    def _followed(self, id: str) -> LiveAnswer:
        if id not in self._following:
            raise NotFound(f"no question {id!r} is being answered here", param="id", code="answer_not_found")
        return self._following[id].answer

    def _key(self, id: str) -> str:
        """Answers of other keys have other names, whatever their ids are."""
        owner = "" if self._identity is ANONYMOUS else f"{self._identity.name} "
        return f"{owner}{id}" if len(id) >= SHORTEST_RESUMED else f"{self._name} {id}"

    async def _follow(self, following: Following, after: int) -> None:
        id, answer = following.id, following.answer
        try:
            async with aclosing(answer.follow(after)) as pieces:
                async for number, piece in pieces:
                    await self._send(ChunkFrame(id, number, Raw(piece)))
            if self._following.get(id) is following and answer.ended:
                await self._tell_end(id, answer)
        finally:
            self._leave(following)

    def _leave(self, following: Following) -> None:
        self._live.leave(following.answer)
        if self._following.get(following.id) is following:
            del self._following[following.id]
        if not self._following:
            self._idle.set()

    async def _tell_end(self, id: str, answer: LiveAnswer) -> None:
        if answer.error is not None:
            await self._tell_error(answer.error, id)
        else:
            await self._send(DoneFrame(id, answer.stopped or UNSET))

    async def _tell_error(self, error: Exception, id: str | None) -> None:
        refusal = refuse(error, openai=True)
        if not refusal.expected:
            log.error("chat_failed", exc_info=error)
        detail = ErrorDetail(refusal.message, refusal.type, refusal.param, refusal.code)
        await self._send(ErrorFrame(detail, UNSET if id is None else id))

    async def _send(self, frame: ChunkFrame | DoneFrame | ErrorFrame) -> None:
        with suppress(ConnectionError):  # the reader hears of it too, and ends this
            await self._socket.send_str(encode_json(frame).decode())

    async def _close_when_told(self) -> None:
        await self._live.closing.wait()
        await self._idle.wait()
        await self._socket.close(code=WSCloseCode.GOING_AWAY, message=b"the service is shutting down")


async def _pieces(
    services: Services, request: ChatRequest, identity: Identity
) -> AsyncGenerator[bytes, None]:
    async with aclosing(chunks(services, await read_question(request, services, identity))) as source:
        async for chunk in source:
            yield encode_json(chunk)


def _id_of(data: bytes) -> str | None:
    """The id of a frame that was refused, as far as it has one."""
    try:
        return msgspec.json.decode(data, type=FrameId).id
    except msgspec.MsgspecError:
        return None
