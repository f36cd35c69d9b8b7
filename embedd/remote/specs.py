"""A model elsewhere as it was asked for: ``e5@https://10.0.0.7:8080|https://10.0.0.8:8080#max_tokens=512``.

The addresses are of servers that have the same model. What stands behind ``#`` is said of it to this
service, and sent to nobody.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from embedd.errors import ModelLoadError

_OPENAI = "openai:"
_FIRST_ADDRESS = re.compile(r"(?:(?P<model>[^|#\s]+)@)?(?P<rest>(?:https?|grpcs?)://.+)")
_SCHEMES = ("http", "https", "grpc", "grpcs")
_SHAPE = (
    "a model elsewhere is [<model>@]<address>[|<address>...][#<note>=<value>&...], such as "
    "'e5@https://10.0.0.7:8080|https://10.0.0.8:8080' or 'grpcs://10.0.0.7:50051'"
)


@dataclass(frozen=True, slots=True)
class Notes:
    """What the servers may not tell: how many tokens the model reads, the folder (or the hub's id) of its
    ``tokenizer``, its ``revision``, and what goes in front of a ``query`` and a ``document``.
    """

    max_tokens: int | None = None
    tokenizer: str = ""
    revision: str = ""
    query: str = ""
    document: str = ""

    @property
    def prompts(self) -> Mapping[str, str]:
        """By their names, those that there are."""
        both = {"query": self.query, "document": self.document}
        return {name: prompt for name, prompt in both.items() if prompt}


@dataclass(frozen=True, slots=True)
class RemoteSpec:
    """The model called ``model`` (the only or default one for "") at each of ``urls``; ``openai`` says that
    they speak OpenAI's dialect, which is otherwise found out. ``text`` is all of it as it was written.
    """

    text: str
    model: str
    urls: tuple[str, ...]
    openai: bool = False
    notes: Notes = field(default_factory=Notes)

    @property
    def origins(self) -> list[str]:
        """Who is spoken to: schemes, hosts and ports."""
        parts = [urlsplit(url) for url in self.urls]
        return [f"{one.scheme}://{one.netloc}" for one in parts]

    @property
    def of_our_own(self) -> bool:
        """Whether the servers are services of this kind, spoken to over gRPC."""
        return self.urls[0].startswith("grpc")


@dataclass(frozen=True, slots=True)
class RemoteLimits:
    """``silence_s``: how long a server may take for a batch. One that is there is asked how it is every
    ``check_every_s`` and has ``check_s`` to say so; one that is not is asked again after ``pause_s``,
    doubling up to ``longest_pause_s``. One that takes nothing now and does not say for how long rests for
    ``rest_s``.
    """

    connect_s: float = 5.0
    silence_s: float = 60.0
    check_every_s: float = 2.0
    check_s: float = 4.0
    pause_s: float = 0.25
    longest_pause_s: float = 15.0
    rest_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files: the authorities that servers must have a certificate of (the machine's own unless given),
    and the certificate and key that this service shows.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


def is_remote(text: str) -> bool:
    """Whether ``text`` has the address of a server."""
    return _FIRST_ADDRESS.fullmatch(text.removeprefix(_OPENAI)) is not None


def parse_remote(text: str) -> RemoteSpec:
    """The model that ``text`` names.

    Raises:
        ModelLoadError: it has no usable address, or an unknown note.
    """
    bare, _, noted = text.removeprefix(_OPENAI).partition("#")
    found = _FIRST_ADDRESS.fullmatch(bare)
    if found is None:
        raise ModelLoadError(f"no address in {_without_credentials(bare)!r}: {_SHAPE}")
    urls = tuple(dict.fromkeys(one.strip().rstrip("/") for one in found["rest"].split("|") if one.strip()))
    for url in urls:
        _check_address(url)
    if len({url.startswith("grpc") for url in urls}) > 1:
        raise ModelLoadError(f"{' and '.join(urls)} speak different protocols: name servers of one kind")
    return RemoteSpec(text, found["model"] or "", urls, text.startswith(_OPENAI), _notes(noted))


def name_of(text: str) -> str:
    """What a model elsewhere is called that was given no name: as it is there, or by its first address."""
    spec = parse_remote(text)
    return spec.model or urlsplit(spec.urls[0]).netloc


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
        usable = usable and not (parts.username or parts.password or parts.query)
        usable = usable and (parts.scheme.startswith("http") or bool(parts.port and not parts.path))
    except ValueError:
        usable = False
    if not usable:
        raise ModelLoadError(
            f"{_without_credentials(url)!r} cannot be used: an address has no credentials (keys are "
            f"variables, EMBEDD_KEY_<NAME>) and no query, one of gRPC also a port and no path; {_SHAPE}"
        )


def _without_credentials(url: str) -> str:
    return re.sub(r"//[^/@|]*@", "//...@", url)


def _notes(text: str) -> Notes:
    known = {"max_tokens", "tokenizer", "revision", "query", "document"}
    given = dict(parse_qsl(text, keep_blank_values=True))
    if unknown := sorted(given.keys() - known) or ([text] if text and not given else []):
        raise ModelLoadError(
            f"nothing is known of {', '.join(map(repr, unknown))} behind '#': "
            f"what can be said there is {', '.join(sorted(known))}"
        )
    tokens = given.pop("max_tokens", "")
    if tokens and not (tokens.isdecimal() and int(tokens)):
        raise ModelLoadError(f"max_tokens={tokens} behind '#' is no number of tokens")
    return Notes(int(tokens) if tokens else None, **given)
