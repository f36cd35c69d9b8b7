"""A generator elsewhere as it was asked for: ``openai:<model>@<base url>[|<base url>...]``."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from embedd.errors import ModelLoadError

SCHEME = "openai:"


@dataclass(frozen=True, slots=True)
class UpstreamSpec:
    """The model called ``model`` at ``base_url`` (such as http://10.0.0.7:8000/v1), by its own name there.
    The same one may be at ``others``, which know the same key.

    ``key`` is sent to that address and stands nowhere else; empty for none.
    """

    name: str
    model: str
    base_url: str
    key: str = field(default="", repr=False)
    others: tuple[str, ...] = ()

    @property
    def base_urls(self) -> tuple[str, ...]:
        """All of them."""
        return (self.base_url, *self.others)


@dataclass(frozen=True, slots=True)
class UpstreamLimits:
    """``silence_s``: how long it may say nothing, before and within an answer. What fails before the first
    byte is tried ``attempts`` times, with pauses of ``pause_s``, doubling, or what it asks for up to
    ``longest_pause_s``.
    """

    connect_s: float = 10.0
    silence_s: float = 60.0
    attempts: int = 3
    pause_s: float = 0.5
    longest_pause_s: float = 10.0


def parse_upstream(text: str, *, name: str | None = None, key: str = "") -> UpstreamSpec:
    """The upstream that ``text`` names; called like its model unless it has a ``name``.

    Raises:
        ModelLoadError: it has no model or no usable address.
    """
    model, at, address = text.removeprefix(SCHEME).partition("@http")
    urls = [url.strip().rstrip("/") for url in f"http{address}".split("|")]
    if not (at and model and all(map(_is_usable, urls))):
        raise ModelLoadError(
            f"{SCHEME}... names a model and an address without credentials, or several with | between them, "
            f"such as '{SCHEME}gpt-4o-mini@https://api.openai.com/v1'"
        )
    url, *others = dict.fromkeys(urls)
    return UpstreamSpec(name or model, model, url, key, tuple(others))


def _is_usable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return usable and not (parts.username or parts.password or parts.query or parts.fragment)
