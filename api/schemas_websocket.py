"""The frames of a chat over WebSocket: JSON texts that say in `type` what they are."""

from typing import Annotated

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from api.schemas import ErrorDetail, Request
from api.schemas_chat import ChatRequest

AskId = Annotated[str, Meta(min_length=1, max_length=128)]


class AskFrame(ChatRequest, kw_only=True, tag_field="type", tag="ask"):
    id: AskId


class StopFrame(Request, tag_field="type", tag="stop"):
    id: AskId


class ResumeFrame(Request, tag_field="type", tag="resume"):
    """``after`` is the number of the last chunk that came; -1 if none did."""

    id: AskId
    after: Annotated[int, Meta(ge=-1)] = -1


ClientFrame = AskFrame | StopFrame | ResumeFrame


class FrameId(Struct):
    """What an error is about, of a frame that makes no sense otherwise."""

    id: str | None = None


class ChunkFrame(Struct, tag_field="type", tag="chunk"):
    id: str
    n: int
    data: Raw


class DoneFrame(Struct, tag_field="type", tag="done"):
    id: str
    stopped: bool | UnsetType = UNSET


class ErrorFrame(Struct, tag_field="type", tag="error"):
    error: ErrorDetail
    id: str | UnsetType = UNSET
