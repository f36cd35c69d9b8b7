"""Messages become the checked requests that HTTP has: fields of the same name mean the same on both sides.

Only fields that are set are handed on, so what is left out has HTTP's default. Enums are their words
(``MODE_DENSE`` is ``dense``), a Struct is a JSON object, a Timestamp a moment in UTC. Knows no use case.
"""

import math
from collections.abc import Mapping
from datetime import UTC
from typing import Any, TypeVar

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from api.errors import InvalidRequest
from api.grpc.v1.index_pb2 import Viewer
from api.http import wire

T = TypeVar("T")

_LARGEST_EXACT = 2**53
"""Up to here every whole number is a double of its own."""


def read(message: Message, kind: type[T], **others: Any) -> T:
    """``message`` as a checked ``kind``; ``others`` are fields that it has beside, or in place, of its own.

    Raises:
        WrongShape: a field is missing, unknown, of the wrong type or out of range.
        InvalidRequest: a number is not finite, a moment or an enum is none.
    """
    return wire.checked(fields_of(message) | others, kind)


def fields_of(message: Message) -> dict[str, Any]:
    """The fields that are set, by their names; raises ``InvalidRequest`` as ``read`` does."""
    return {field.name: _field(field, value) for field, value in message.ListFields()}


def _field(field: FieldDescriptor, value: Any) -> Any:
    if field.is_repeated:
        return [_value(field, one) for one in value]
    return _value(field, value)


def _value(field: FieldDescriptor, value: Any) -> Any:
    if isinstance(value, Struct):
        return _object(value, field.name)
    if isinstance(value, Timestamp):
        return _moment(value, field.name)
    if isinstance(value, Viewer):
        return list(value.tags)
    if isinstance(value, Message):
        return fields_of(value)
    if field.enum_type is not None:
        return _word(field.enum_type, value, field.name)
    return _finite(value, field.name) if isinstance(value, float) else value


def _word(kind: EnumDescriptor, number: int, param: str) -> str:
    value = kind.values_by_number.get(number)
    if value is None:
        raise InvalidRequest(f"`{param}` is {number}, which no {kind.name} is", param=param)
    word: str = value.name.lower().removeprefix(f"{kind.name.lower()}_")
    return word


def _object(struct: Struct, param: str) -> Mapping[str, Any]:
    return {name: _json(value, param) for name, value in struct.fields.items()}


def _json(value: Value, param: str) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _object(value.struct_value, param)
    if kind == "list_value":
        return [_json(one, param) for one in _items(value.list_value)]
    if kind == "number_value":
        return _number(value.number_value, param)
    return getattr(value, kind) if kind in ("string_value", "bool_value") else None


def _items(values: ListValue) -> list[Value]:
    return list(values.values)


def _number(number: float, param: str) -> int | float:
    """Struct has doubles alone: what is whole was meant to be."""
    whole = _finite(number, param).is_integer() and abs(number) <= _LARGEST_EXACT
    return int(number) if whole else number


def _finite(number: float, param: str) -> float:
    if not math.isfinite(number):
        raise InvalidRequest(f"`{param}` has a number that is not finite", param=param)
    return number


def _moment(moment: Timestamp, param: str) -> Any:
    try:
        return moment.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(f"`{param}` is out of range", param=param) from error
