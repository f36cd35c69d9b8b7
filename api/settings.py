"""Everything that can be configured, and the only place that reads the environment.

A value comes from the strongest source that names it: a command-line flag, then the variable
``EMBEDD_<NAME>``, then the YAML file named by ``--config`` or ``EMBEDD_CONFIG``, then the default below.
Names are flat, so one setting is ``--max-json-bytes``, ``EMBEDD_MAX_JSON_BYTES`` and ``max_json_bytes``.

Invariants: a ``Settings`` is complete, checked and frozen. A key in the file that is not known is an error;
a variable that is not known is ignored, because Kubernetes sets some of its own (``EMBEDD_SERVICE_HOST``)
beside a service of this name. An empty variable counts as not set. Relative paths start at the working
directory.

What it does not know: what a model name means (``embedd.specs`` does) and whether a port is free.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from api.setting_types import (
    AnyCase,
    Count,
    LocalPath,
    LogFormat,
    LogLevel,
    Names,
    Seconds,
    SecureUrl,
    Size,
    SizeOrNone,
)
from api.settings_file import SettingsError, read_file

__all__ = [
    "FILE_KEYS",
    "Settings",
    "SettingsError",
    "flag_of",
    "load_settings",
    "set_variables",
    "upstream_key",
]

_PREFIX = "EMBEDD_"


class Settings(BaseSettings):
    """The whole configuration of one service. Sizes may be written as ``33554432``, ``32MiB`` or ``32MB``."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_ignore_empty=True, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    config: Path | None = Field(None, description="YAML file with any of these settings")

    host: str = Field("127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(8080, ge=0, le=65535, description="port to listen on; 0 takes any free one")
    grpc_port: int = Field(50051, ge=0, le=65535, description="port for gRPC; 0 turns it off")
    data: LocalPath = Field(Path("embedd-data"), description="folder that holds everything the service keeps")
    catalog: str = Field(
        "sqlite",
        pattern=r"^(sqlite|postgresql://.+)$",
        description="where collections, jobs, keys and added models are: sqlite (in the data folder), or the "
        "URL of a PostgreSQL that several services share; then nothing in the data folder has to be kept",
    )
    catalog_replicas: Names = Field(
        (), description="URLs of read replicas of that PostgreSQL, for reads that may be a moment old"
    )
    vectors: str = Field(
        "catalog",
        pattern=r"^(catalog|https?://.+)$",
        description="what searches vectors: the catalog itself, or the URL of a Milvus",
    )
    vectors_prefix: str = Field(
        "embedd_",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$",
        description="what names in that Milvus begin with; each catalog that it has vectors of needs its own",
    )

    role: Literal["all", "models"] = Field(
        "all", description="all, or models alone: embedding, reranking and tokens for other services"
    )
    model: str = Field(
        "all-MiniLM-L6-v2",
        min_length=1,
        description="default embedding model: this one, a folder, a hub id, "
        "[<model>@]<address>[|<address>...] of servers, 'fake', 'none', perhaps with <name>= before it",
    )
    models: Names = Field((), description="further embedding models that collections may name")
    reranker: str = Field(
        "none",
        min_length=1,
        description="reranking model: a folder, a hub id, addresses of servers, 'fake-reranker', 'none'",
    )
    device: str = Field(
        "auto", min_length=1, description="where models run: auto, cpu, mps, cuda, or cuda:0,cuda:1"
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="numbers that models compute in; auto takes what is fast here and exact enough"
    )
    compile: bool = Field(False, description="let torch compile models: slower starts, faster batches")
    replicas: Count = Field(1, description="worker processes per model")
    generator: str = Field(
        "extractive",
        min_length=1,
        description="who writes chat answers: extractive, a folder, a hub id, openai:<model>@<url>, 'fake', "
        "each perhaps with <name>= before it",
    )
    generators: Names = Field((), description="further generators that requests may name")
    generator_replicas: Count = Field(1, description="worker processes per language model")
    generator_batch_tokens: Count | None = Field(
        None, description="tokens of one step of a language model; unless given, as many as suit the device"
    )
    generator_weights: Literal["model", "int8"] = Field(
        "model", description="what weights of language models are kept in: as they are, or int8"
    )
    kv_tokens: Count | None = Field(
        None, description="tokens that a language model's cache holds; unless given, by the memory there is"
    )
    speculate: bool = Field(True, description="let language models guess ahead what they quote")
    chat_template: LocalPath | None = Field(None, description="chat template of models that have none")
    upstream_timeout_s: Seconds = Field(60.0, description="silence after which an upstream is given up")
    remote_ca: LocalPath | None = Field(
        None, description="PEM file with the authorities that servers of models must have a certificate of"
    )
    remote_cert: LocalPath | None = Field(
        None, description="PEM file with the certificate that this service shows them"
    )
    remote_key: LocalPath | None = Field(None, description="PEM file with the key of that certificate")
    model_cache: LocalPath | None = Field(
        None, description="folder for models out of buckets; unless given, models in the data folder"
    )
    s3_endpoint: str | None = Field(
        None, pattern=r"^https?://.+$", description="address of the S3 service; unless given, Amazon's"
    )
    allow_pickle: bool = Field(
        False, description="load pickled weights of models named here, which may run code"
    )
    allowed_upstreams: Names = Field(
        (),
        description="addresses that models added at run time may be at, such as https://api.openai.com",
    )

    max_batch_tokens: Count | None = Field(
        None, description="tokens that one model batch may hold; unless given, as many as suit the device"
    )
    max_waiting_tokens: Count = Field(262_144, description="tokens that may wait for a model; more is a 429")
    cache_bytes: SizeOrNone = Field(
        64 * 2**20, description="memory for answers of models that may be asked again; 0: none"
    )
    cache_file: LocalPath | None = Field(None, description="SQLite file that keeps them over restarts")
    batch_timeout_s: Seconds = Field(
        60.0, description="a batch that takes longer has hung; its worker is replaced"
    )
    request_timeout_s: Seconds = Field(60.0, description="deadline of interactive work on one request")

    conversations: str = Field(
        "catalog",
        pattern=r"^(catalog|sqlite|(redis|rediss|unix)://.+)$",
        description="where conversations are kept: with the catalog, sqlite (in the data folder), or the URL "
        "of a Redis server",
    )
    conversation_tokens: Count = Field(
        3000, description="tokens of a conversation's earlier messages that go with a question"
    )
    conversation_ttl_s: Seconds | None = Field(
        None, description="time that a conversation is kept behind its last message; unless given, for ever"
    )
    resume_grace_s: Seconds = Field(
        30.0, description="time to resume an answer over WebSocket when its connection was lost"
    )
    allowed_origins: Names = Field(
        (), description="web pages elsewhere that may talk to this service, such as https://chat.example.org"
    )

    auth: Literal["auto", "keys"] = Field(
        "auto", description="who may ask: auto asks for keys as soon as there was ever one, keys always"
    )
    admin_key_file: LocalPath | None = Field(
        None, description="file with one more key, of 32 characters or more, that may do everything"
    )
    jwt_key_file: LocalPath | None = Field(
        None, description="file that JSON Web Tokens are verified with: PEM, a JWKS, or a shared secret"
    )
    jwt_jwks_url: SecureUrl | None = Field(
        None, description="address of the JWKS that JSON Web Tokens are verified with, instead of a file"
    )
    jwt_issuer: str | None = Field(None, min_length=1, description="the issuer (iss) that tokens must have")
    jwt_audience: str | None = Field(
        None, min_length=1, description="the audience (aud) that tokens must have"
    )
    quotas: str = Field(
        "catalog",
        pattern=r"^(catalog|memory|(redis|rediss|unix)://.+)$",
        description="who counts what keys use up: the catalog, for all services that share it; memory, each "
        "service for itself; or the URL of a Redis server",
    )
    insecure_without_keys: bool = Field(
        False, description="serve everybody who reaches this machine, without keys"
    )
    metrics_without_key: bool = Field(False, description="let everybody read /metrics")
    allowed_hosts: Names = Field(
        (), description="names that lead here, for a service without keys that listens on loopback"
    )
    tls_cert: LocalPath | None = Field(None, description="PEM file with the certificate of the service")
    tls_key: LocalPath | None = Field(None, description="PEM file with the key of that certificate")
    tls_client_ca: LocalPath | None = Field(
        None, description="PEM file with the authorities that clients must have a certificate of"
    )

    memory_bytes: Size | None = Field(
        None,
        description="memory for vectors and graphs; those not used for longest leave it; unless given, any",
    )

    max_json_bytes: Size = Field(32 * 2**20, description="largest JSON or msgpack body")
    max_file_bytes: Size = Field(256 * 2**20, description="largest uploaded file")
    max_texts_per_request: Count = Field(2048, description="inputs of one embeddings request")
    max_documents_per_request: Count = Field(1000, description="documents or files of one request")
    max_points_per_request: Count = Field(10_000, description="points of one request")
    body_timeout_s: Seconds = Field(300.0, description="time for a JSON or msgpack body to arrive")
    idle_timeout_s: Seconds = Field(
        75.0, description="time that a connection may take to begin a request, and to send its headers"
    )

    parse_timeout_s: Seconds = Field(60.0, description="time to extract the text of one file")
    parse_memory_bytes: Size = Field(2**30, description="address space of the parser process")
    parse_output_bytes: Size = Field(64 * 2**20, description="extracted text of one file, in characters")

    drain_timeout_s: Seconds = Field(20.0, description="time that running requests get at shutdown")
    log_level: Annotated[LogLevel, AnyCase] = Field("info", description="least severe event logged")
    log_format: Annotated[LogFormat, AnyCase] = Field(
        "auto", description="json lines, console text, or console on a terminal and json elsewhere"
    )
    otlp_endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^/]",
        description="OpenTelemetry collector (gRPC) that traces go to, such as http://127.0.0.1:4317; "
        "unless given, none are made",
    )
    otlp_sample_ratio: float = Field(
        0.1, ge=0, le=1, description="share of the requests that are traced, beside those whose callers ask"
    )
    debug_endpoints: bool = Field(
        False, description="answer /debug: tasks, queues and memory of this service, to this machine alone"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then the environment, then the file that one of these two names."""
        config = init_settings().get("config") or env_settings().get("config")
        file = read_file(Path(config), FILE_KEYS) if config else {}
        return init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=file)


FILE_KEYS = frozenset(Settings.model_fields) - {"config"}
"""What may stand in the file."""


def upstream_key(name: str, url: str) -> str:
    """The key for the model ``name`` at ``url``: EMBEDD_KEY_<NAME>, for OpenAI's own address
    also OPENAI_API_KEY; empty if there is none. Keys stand in no setting, so that none is ever shown.
    """
    variable = f"{_PREFIX}KEY_{re.sub('[^A-Z0-9]', '_', name.upper())}"
    own = os.environ.get(variable, "")
    at_openai = urlsplit(url).hostname == "api.openai.com"
    return own or (os.environ.get("OPENAI_API_KEY", "") if at_openai else "")


def load_settings(flags: Mapping[str, object]) -> Settings:
    """The settings that ``flags``, the environment, the file and the defaults add up to.

    ``flags`` are named like the fields; those that are None were not given.

    Raises:
        SettingsError: a value, a key or the file itself cannot be used; all bad values are listed at once.
    """
    given: dict[str, Any] = {name: value for name, value in flags.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(detail, given) for detail in error.errors())) from error


def _explain(detail: ErrorDetails, flags: Mapping[str, object]) -> str:
    name = str(detail["loc"][0])
    message = detail["msg"].removeprefix("Value error, ")
    return f"{_source_of(name, flags)}: {message[:1].lower()}{message[1:]}{_hint(name, flags)}"


def _source_of(name: str, flags: Mapping[str, object]) -> str:
    """How the person who wrote the value calls it."""
    if name in flags:
        return f"flag {flag_of(name)}"
    if _variable(name):
        return f"variable {_PREFIX}{name.upper()}"
    file = flags.get("config") or _variable("config")
    return f"key '{name}' of the settings file {file}"


def flag_of(name: str) -> str:
    """``--max-json-bytes`` for ``max_json_bytes``."""
    return f"--{name.replace('_', '-')}"


def _hint(name: str, flags: Mapping[str, object]) -> str:
    """Kubernetes sets EMBEDD_PORT=tcp://address:port in every pod beside a service named embedd."""
    if name == "port" and name not in flags and "://" in _variable(name):
        return " (set by Kubernetes for a service named 'embedd': use enableServiceLinks: false, or --port)"
    return ""


def set_variables() -> dict[str, str]:
    """The variables with our prefix by what follows it, in small letters, as pydantic-settings sees them: in
    any case of letters, empty ones left out.
    """
    ours = {key.lower(): value for key, value in os.environ.items() if key.upper().startswith(_PREFIX)}
    return {key.removeprefix(_PREFIX.lower()): value for key, value in ours.items() if value}


def _variable(name: str) -> str:
    return set_variables().get(name, "")
