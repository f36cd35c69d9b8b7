"""``embedd models`` from the outside."""

from pathlib import Path
from typing import Any

from cli_stub import Embedd, Stub


def test_every_model_is_listed_with_its_state_and_why(embedd: Embedd, stub: Stub) -> None:
    stub.models = [
        {"name": "small", "kind": "embedding", "status": "ready", "reason": None, "device": "cpu"},
        {"name": "extractive", "kind": "generator", "status": "ready", "reason": None},
        {"name": "big", "kind": "generator", "status": "failed", "reason": "no weights\x1b[2J there"},
    ]
    shown = embedd("models")
    assert shown.exit_code == 0
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert lines[1] == ["small", "embedding", "ready", "cpu"]
    assert lines[2] == ["extractive", "generator", "ready", "default"]
    assert lines[3][:5] == ["big", "generator", "failed", "no", "weights\ufffd[2J"]


def test_a_model_that_is_added_is_watched_until_it_is_ready(embedd: Embedd, stub: Stub) -> None:
    stub.added = [model("team/e5", "downloading"), model("team/e5", "ready")]
    shown = embedd("models", "add", "s3://models/e5", "--name", "team/e5", "--allow-pickle")
    assert (shown.exit_code, shown.stdout) == (0, "team/e5 is ready\n")
    assert stub.bodies == [
        {"source": "s3://models/e5", "name": "team/e5", "kind": "embedding", "allow_pickle": True}
    ]


def test_a_model_that_fails_gives_the_reason_and_the_exit_status_1(embedd: Embedd, stub: Stub) -> None:
    stub.added = [model("e5", "downloading"), model("e5", "failed", reason="no weights\x1b[2J there")]
    shown = embedd("models", "add", "org/e5")
    assert (shown.exit_code, shown.stdout) == (1, "e5 is failed: no weights\ufffd[2J there\n")


def test_a_model_is_shown_disabled_enabled_and_removed(embedd: Embedd, stub: Stub) -> None:
    stub.added = [model("team/e5", "ready", sha256="ab" * 32)]
    assert f"sha256: {'ab' * 32}" in embedd("models", "show", "team/e5").stdout
    embedd("models", "disable", "team/e5")
    embedd("models", "enable", "team/e5")
    assert stub.bodies == [{"enabled": False}, {"enabled": True}]
    assert embedd("models", "remove", "team/e5", "--force").stdout == "team/e5 was removed.\n"
    assert stub.requests[-1] == ("DELETE", "/v1/models/team/e5?force=true")


def test_other_weights_are_watched_until_they_answer(embedd: Embedd, stub: Stub) -> None:
    stub.added = [model("e5", "ready", coming="loading"), model("e5", "ready")]
    shown = embedd("models", "exchange", "e5", "org/e5", "--revision", "r2", "--force")
    assert (shown.exit_code, shown.stdout) == (0, "e5 is ready\n")
    assert stub.bodies == [{"source": "org/e5", "revision": "r2"}]
    assert ("PUT", "/v1/models/e5?force=true") in stub.requests
    stub.added = [model("e5", "ready", coming="loading"), model("e5", "ready", reason="no weights there")]
    shown = embedd("models", "exchange", "e5")
    assert (shown.exit_code, shown.stdout) == (1, "e5 is ready: no weights there\n")


def test_only_a_place_in_a_bucket_is_pushed_to(embedd: Embedd, tmp_path: Path) -> None:
    refused = embedd("models", "push", tmp_path, "https://models/e5")
    assert (refused.exit_code, "is not s3://" in refused.stderr) == (2, True)
    empty = embedd("models", "push", tmp_path, "s3://models/e5")
    assert (empty.exit_code, "holds no weights" in empty.stderr) == (1, True)


def model(name: str, status: str, **others: Any) -> dict[str, Any]:
    card = {"id": name, "object": "model", "created": 1, "owned_by": "embedd", "kind": "embedding"}
    return {**card, "status": status, "progress": {"bytes": 1, "bytes_total": 2}, **others}
