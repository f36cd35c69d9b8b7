"""GET /v1/chat: questions and answers over WebSocket."""

from typing import Final

from aiohttp import web

from api.http.authentication import SOCKET_PROTOCOL
from api.http.routing import Call
from api.http.websocket import Connection
from api.schemas import NoQuery

MOST_BYTES: Final = 4 * 2**20
"""Of one frame; a larger one ends the connection, as the protocol has it."""
_HEARTBEAT_S: Final = 20.0


async def connect(call: Call[None, NoQuery]) -> web.StreamResponse:
    """Chat over WebSocket: ask, stop and resume."""
    socket = web.WebSocketResponse(
        heartbeat=_HEARTBEAT_S, max_msg_size=MOST_BYTES, compress=False, protocols=(SOCKET_PROTOCOL,)
    )
    await socket.prepare(call.request)
    await Connection(socket, call.services, call.identity).run()
    return socket
