"""What a model elsewhere is to this service: its card, and what makes tokens or texts for it."""

import hashlib
from dataclasses import replace

from embedd.errors import ModelLoadError
from embedd.fake import FakeTokenizer
from embedd.model_files import ModelFiles
from embedd.remote.peers import Facts
from embedd.remote.specs import Notes, RemoteSpec
from embedd.sources import settings_of
from embedd.specs import ModelCard, ModelSpec, parse_spec
from embedd.tokenizer import TextTokenizer, Tokenizer, read_tokenizer

_SHORTEST_INPUT = 16
"""Tokens; what takes fewer has nothing to say about texts."""

_UNIT = 1e-3


def card_of(spec: ModelSpec, remote: RemoteSpec, facts: Facts) -> ModelCard:
    """The card of ``spec``, whose servers say ``facts``.

    Raises:
        ModelLoadError: it is not known how much it reads, or its weights are not those that ``spec`` wants.
    """
    notes = remote.notes
    card = ModelCard(
        name=spec.name,
        source=f"{' '.join(remote.urls)} ({facts.model})",
        dim=facts.dim,
        max_tokens=_max_tokens(spec, notes, facts),
        normalized=facts.normalized or _has_unit_length(facts),
        pooling=facts.pooling,
        revision=notes.revision or facts.revision,
        sha256=facts.sha256,
        prompts=notes.prompts or facts.prompts,
        default_prompt_name=facts.default_prompt_name,
        kind=facts.kind,
        activation=facts.activation,
        gives_tokens=facts.tokenizer is not None,
    )
    card = replace(card, sha256=card.sha256 or _stand_in(card, facts))
    if spec.sha256 is not None and spec.sha256 != card.sha256:
        raise ModelLoadError(
            f"the servers of {spec.name!r} have another model than before: "
            f"sha256 {card.sha256}, pinned {spec.sha256}"
        )
    return card


def tokenizer_of(facts: Facts) -> TextTokenizer | None:
    """The tokenizer that the servers handed out, for a model that reads token ids."""
    if facts.tokenizer is None or facts.tokenizer == "fake":
        return None if facts.tokenizer is None else FakeTokenizer()
    file = facts.tokenizer
    try:
        return Tokenizer(
            file.description, lowercase=file.lowercase, segments=file.segments, embedded=file.embedded
        )
    except Exception as error:  # the library raises plain Exception for what it cannot read
        raise ModelLoadError(f"the tokenizer that the servers hand out cannot be used: {error}") from error


def named_tokenizer(notes: Notes) -> Tokenizer | None:
    """The tokenizer that the settings name. Blocks, and may download.

    Raises:
        ModelLoadError: it cannot be had.
    """
    if not notes.tokenizer:
        return None
    folder = settings_of(parse_spec(notes.tokenizer))
    if not (folder / "config.json").exists():
        return read_tokenizer(folder)
    files = ModelFiles.read(folder)
    return read_tokenizer(files.tokenizer_folder, lowercase=files.lowercase, segments=files.segments)


def _max_tokens(spec: ModelSpec, notes: Notes, facts: Facts) -> int:
    told = [one for one in (notes.max_tokens, facts.max_tokens) if one is not None]
    if not told:
        raise ModelLoadError(
            f"the servers of {spec.name!r} do not say how many tokens it reads: say #max_tokens=... behind "
            "the address, as its makers do"
        )
    if min(told) < _SHORTEST_INPUT:
        raise ModelLoadError(f"model {spec.name!r} would read {min(told)} tokens: it takes {_SHORTEST_INPUT}")
    return min(told)


def _has_unit_length(facts: Facts) -> bool:
    if facts.kind != "embedding" or facts.probe is None:
        return False
    return abs(float(facts.probe @ facts.probe) - 1) < _UNIT


def _stand_in(card: ModelCard, facts: Facts) -> str:
    """For the sum of weights that nobody here has seen: of all that names the model, and tells it from
    another.
    """
    named = ("elsewhere", card.kind, facts.model, card.revision, card.dim, card.pooling)
    return hashlib.sha256(repr(named).encode()).hexdigest()
