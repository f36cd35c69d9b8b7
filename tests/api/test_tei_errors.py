"""TEI's routes answer with TEI's flat errors, its kinds and its statuses."""

import inspect

import pytest

import embedd.errors as models
from api.errors import InvalidRequest, MalformedRequest, PayloadTooLarge, WrongShape
from api.errors_tei import KINDS, NothingGiven, NotThisModel, refuse_as_tei

RAISED = [
    kind
    for _, kind in inspect.getmembers(models, inspect.isclass)
    if issubclass(kind, models.EmbeddError) and kind is not models.EmbeddError
]


@pytest.mark.parametrize("kind", RAISED)
def test_every_error_of_a_model_has_one_of_teis_kinds(kind: type[Exception]) -> None:
    assert any(step in KINDS for step in kind.__mro__)


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (MalformedRequest("no JSON"), 400, "Validation"),
        (WrongShape("a wrong type"), 422, "Validation"),
        (InvalidRequest("too many dimensions"), 413, "Validation"),
        (NothingGiven("no inputs"), 400, "Empty"),
        (PayloadTooLarge("too many inputs"), 413, "Validation"),
        (NotThisModel("no embedding model"), 424, "Backend"),
        (models.InvalidInput("input 3 is empty"), 413, "Validation"),
        (models.NotFinite(3), 424, "Backend"),
        (models.WorkerDied("gone", 1.0), 424, "Backend"),
        (models.ModelUnavailable("loading", 1.0), 503, "Unhealthy"),
        (models.Overloaded("full", 1.0), 429, "Overloaded"),
        (KeyError("a bug"), 500, "Backend"),
    ],
)
def test_an_error_has_teis_status_and_kind(error: Exception, status: int, kind: str) -> None:
    refusal = refuse_as_tei(error)
    assert (refusal.status, refusal.type) == (status, kind)


def test_the_body_is_flat() -> None:
    body = refuse_as_tei(models.InvalidInput("input 3 is empty")).body()
    assert (body.error, body.error_type) == ("input 3 is empty", "Validation")


def test_an_overloaded_model_says_when_to_come_back() -> None:
    assert refuse_as_tei(models.Overloaded("full", 2.5)).retry_after_s == 2.5


def test_a_bug_tells_nothing_of_itself() -> None:
    assert "secret" not in refuse_as_tei(KeyError("secret")).message
