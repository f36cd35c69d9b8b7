"""How models elsewhere are named, and what is said of names that cannot be used."""

import pytest
from prometheus_client import CollectorRegistry

from api.services.models import open_models
from api.settings import load_settings
from embedd.errors import ModelLoadError
from embedd.remote.specs import Notes, is_remote, parse_remote
from embedd.specs import parse_spec, split_name


@pytest.mark.parametrize(
    ("text", "name", "model", "urls"),
    [
        ("http://a:80", "a:80", "", ("http://a:80",)),
        ("e5@https://a:80/", "e5", "e5", ("https://a:80",)),
        ("far=org/e5@http://a|http://b:1/v1", "far", "org/e5", ("http://a", "http://b:1/v1")),
        ("far=grpcs://a:1|grpcs://a:1|grpcs://b:2", "far", "", ("grpcs://a:1", "grpcs://b:2")),
        ("openai:text-3@https://api.openai.com/v1", "text-3", "text-3", ("https://api.openai.com/v1",)),
        ("http://[::1]:80", "[::1]:80", "", ("http://[::1]:80",)),
    ],
)
def test_a_model_elsewhere_has_addresses_and_perhaps_names(
    text: str, name: str, model: str, urls: tuple[str, ...]
) -> None:
    called, what = split_name(text)
    spec = parse_remote(what)
    assert (called, spec.model, spec.urls) == (name, model, urls)
    assert spec.openai == text.startswith("openai:")
    assert parse_spec(what, name=called).place == what


def test_notes_are_said_of_it_and_sent_to_nobody() -> None:
    spec = parse_remote("http://a#max_tokens=512&tokenizer=/models/e5&query=query%3A%20&revision=2")
    assert spec.urls == ("http://a",)
    assert spec.notes == Notes(512, "/models/e5", "2", "query: ", "")
    assert spec.notes.prompts == {"query": "query: "}


@pytest.mark.parametrize(
    "text", ["all-MiniLM-L6-v2", "org/e5", "/models/e5", "s3://bucket/e5", "fake", "none"]
)
def test_other_models_are_not_elsewhere(text: str) -> None:
    assert not is_remote(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http://user:s3cret@a", "'http://...@a' cannot be used: an address has no credentials"),
        ("http://a?key=s", "no query"),
        ("http://a:0", "cannot be used"),
        ("http://a:99999", "cannot be used"),
        ("grpc://a", "one of gRPC also a port"),
        ("grpc://a:1/path", "no path"),
        ("http://a|grpc://b:1", "speak different protocols"),
        ("http://a|b:1", "'b:1' cannot be used"),
        ("http://a#max_tokens=many", "max_tokens=many behind '#' is no number"),
        ("http://a#max_tokens=0", "no number of tokens"),
        ("http://a#tokens=5", "nothing is known of 'tokens' behind '#'"),
        ("http://a#512", "nothing is known of '512' behind '#'"),
    ],
)
def test_what_cannot_be_used_is_said_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(ModelLoadError, match=message.replace("...", r"\.\.\.")) as refusal:
        parse_remote(text)
    assert "s3cret" not in str(refusal.value)


async def test_a_name_that_cannot_be_used_keeps_no_other_model_from_starting() -> None:
    settings = load_settings({"model": "fake", "models": "http://a:0", "reranker": "none"})
    async with open_models(settings, CollectorRegistry()) as models:
        await models.embedder().wait_ready()
        assert "http://a:0" in models.embedders.names
        with pytest.raises(ModelLoadError, match="cannot be used"):
            models.embedder("http://a:0")
