from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KIND_UNSPECIFIED: _ClassVar[Kind]
    KIND_EMBEDDING: _ClassVar[Kind]
    KIND_RERANKING: _ClassVar[Kind]

class TokenVectors(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TOKEN_VECTORS_UNSPECIFIED: _ClassVar[TokenVectors]
    TOKEN_VECTORS_FLOAT32: _ClassVar[TokenVectors]
    TOKEN_VECTORS_INT8: _ClassVar[TokenVectors]
KIND_UNSPECIFIED: Kind
KIND_EMBEDDING: Kind
KIND_RERANKING: Kind
TOKEN_VECTORS_UNSPECIFIED: TokenVectors
TOKEN_VECTORS_FLOAT32: TokenVectors
TOKEN_VECTORS_INT8: TokenVectors

class DescribeRequest(_message.Message):
    __slots__ = ("model", "kind", "brief")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    BRIEF_FIELD_NUMBER: _ClassVar[int]
    model: str
    kind: Kind
    brief: bool
    def __init__(self, model: _Optional[str] = ..., kind: _Optional[_Union[Kind, str]] = ..., brief: _Optional[bool] = ...) -> None: ...

class DescribeResponse(_message.Message):
    __slots__ = ("model", "dim", "max_tokens", "normalized", "pooling", "prompts", "default_prompt_name", "activation", "revision", "sha256", "dtype", "device", "max_batch_tokens", "max_inputs", "tokenizer")
    class PromptsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    DIM_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    NORMALIZED_FIELD_NUMBER: _ClassVar[int]
    POOLING_FIELD_NUMBER: _ClassVar[int]
    PROMPTS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_PROMPT_NAME_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_INPUTS_FIELD_NUMBER: _ClassVar[int]
    TOKENIZER_FIELD_NUMBER: _ClassVar[int]
    model: str
    dim: int
    max_tokens: int
    normalized: bool
    pooling: str
    prompts: _containers.ScalarMap[str, str]
    default_prompt_name: str
    activation: str
    revision: str
    sha256: str
    dtype: str
    device: str
    max_batch_tokens: int
    max_inputs: int
    tokenizer: Tokenizer
    def __init__(self, model: _Optional[str] = ..., dim: _Optional[int] = ..., max_tokens: _Optional[int] = ..., normalized: _Optional[bool] = ..., pooling: _Optional[str] = ..., prompts: _Optional[_Mapping[str, str]] = ..., default_prompt_name: _Optional[str] = ..., activation: _Optional[str] = ..., revision: _Optional[str] = ..., sha256: _Optional[str] = ..., dtype: _Optional[str] = ..., device: _Optional[str] = ..., max_batch_tokens: _Optional[int] = ..., max_inputs: _Optional[int] = ..., tokenizer: _Optional[_Union[Tokenizer, _Mapping]] = ...) -> None: ...

class Tokenizer(_message.Message):
    __slots__ = ("description", "lowercase", "segments", "embedded")
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    LOWERCASE_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    EMBEDDED_FIELD_NUMBER: _ClassVar[int]
    description: str
    lowercase: bool
    segments: bool
    embedded: int
    def __init__(self, description: _Optional[str] = ..., lowercase: _Optional[bool] = ..., segments: _Optional[bool] = ..., embedded: _Optional[int] = ...) -> None: ...

class RunRequest(_message.Message):
    __slots__ = ("model", "kind", "ids", "lengths", "seconds", "bulk", "token_vectors")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    LENGTHS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    BULK_FIELD_NUMBER: _ClassVar[int]
    TOKEN_VECTORS_FIELD_NUMBER: _ClassVar[int]
    model: str
    kind: Kind
    ids: bytes
    lengths: _containers.RepeatedScalarFieldContainer[int]
    seconds: _containers.RepeatedScalarFieldContainer[int]
    bulk: bool
    token_vectors: TokenVectors
    def __init__(self, model: _Optional[str] = ..., kind: _Optional[_Union[Kind, str]] = ..., ids: _Optional[bytes] = ..., lengths: _Optional[_Iterable[int]] = ..., seconds: _Optional[_Iterable[int]] = ..., bulk: _Optional[bool] = ..., token_vectors: _Optional[_Union[TokenVectors, str]] = ...) -> None: ...

class RunResponse(_message.Message):
    __slots__ = ("rows", "dim", "token_rows", "token_dim", "waiting_tokens")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    DIM_FIELD_NUMBER: _ClassVar[int]
    TOKEN_ROWS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_DIM_FIELD_NUMBER: _ClassVar[int]
    WAITING_TOKENS_FIELD_NUMBER: _ClassVar[int]
    rows: bytes
    dim: int
    token_rows: bytes
    token_dim: int
    waiting_tokens: int
    def __init__(self, rows: _Optional[bytes] = ..., dim: _Optional[int] = ..., token_rows: _Optional[bytes] = ..., token_dim: _Optional[int] = ..., waiting_tokens: _Optional[int] = ...) -> None: ...
