"""What the service tells of its own inside, to who looks for a fault."""

from api.schemas import Answer


class RunningTask(Answer):
    name: str
    coroutine: str
    at: list[str]


class RunningTasks(Answer):
    tasks: list[RunningTask]


class ModelQueue(Answer):
    model: str
    kind: str
    status: str
    waiting_tokens: dict[str, int]
    workers: list[int]


class ModelQueues(Answer):
    queues: list[ModelQueue]


class ProcessMemory(Answer):
    pid: int
    role: str
    resident_bytes: int


class CollectionMemory(Answer):
    name: str
    memory_bytes: int
    mapped_bytes: int


class Memory(Answer):
    processes: list[ProcessMemory]
    collections: list[CollectionMemory]
