"""``embedd models`` from the outside."""

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
