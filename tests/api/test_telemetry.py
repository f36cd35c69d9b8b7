"""What a log line looks like, whoever wrote it."""

import json
import logging
import warnings
from collections.abc import Iterator
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Any

import pytest
import structlog

from api.telemetry import configure_logging

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)


def logged(capsys: Capture) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def test_an_event_is_one_json_object_with_its_level_and_the_time_in_utc(capsys: Capture) -> None:
    configure_logging("info", "json")
    structlog.get_logger().info("request_answered", path="/ä\nb", status=200)
    (line,) = logged(capsys)
    time = datetime.fromisoformat(line.pop("@timestamp"))
    assert time.utcoffset() == timedelta(0)
    assert line == {
        "log.level": "info",
        "message": "request_answered",
        "event.action": "request_answered",
        "url.path": "/ä\nb",
        "http.response.status_code": 200,
        "ecs.version": "8.17.0",
        "service.name": "embedd",
        "service.version": version("embedd"),
    }


def test_a_request_has_the_names_that_elastic_search_knows(capsys: Capture) -> None:
    configure_logging("info", "json")
    structlog.get_logger().info("request_answered", method="POST", ms=1.5, remote="::1", request_id="r1")
    (line,) = logged(capsys)
    assert line["http.request.method"] == "POST"
    assert line["event.duration"] == 1_500_000
    assert line["client.address"] == "::1"
    assert line["http.request.id"] == "r1"


def test_what_has_no_common_name_is_ours_and_a_dotted_name_is_left_alone(capsys: Capture) -> None:
    configure_logging("info", "json")
    with structlog.contextvars.bound_contextvars(**{"trace.id": "4bf9"}):
        structlog.get_logger().info("job_resumed", job="docs-1")
    (line,) = logged(capsys)
    assert (line["embedd.job"], line["trace.id"]) == ("docs-1", "4bf9")


def test_an_exception_is_three_fields_and_its_cause_is_in_the_stack_trace(capsys: Capture) -> None:
    configure_logging("info", "json")
    try:
        try:
            {}["inner"]
        except KeyError as cause:
            raise ValueError("outer") from cause
    except ValueError:
        structlog.get_logger().exception("request_failed")
    (line,) = logged(capsys)
    assert (line["error.type"], line["error.message"]) == ("ValueError", "outer")
    assert "KeyError: 'inner'" in line["error.stack_trace"]
    assert line["log.level"] == "error"


def test_elsewhere_than_on_a_terminal_auto_is_json(capsys: Capture) -> None:
    configure_logging("info", "auto")
    structlog.get_logger().info("started")
    assert logged(capsys)[0]["message"] == "started"


def test_values_without_a_json_form_are_written_as_text(capsys: Capture) -> None:
    configure_logging("info", "json")
    structlog.get_logger().info("started", loop=timedelta(seconds=1))
    assert logged(capsys)[0]["embedd.loop"] == "0:00:01"


def test_events_below_the_level_are_left_out(capsys: Capture) -> None:
    configure_logging("warning", "json")
    log = structlog.get_logger()
    log.info("request_answered")
    log.warning("worker_died")
    assert [line["message"] for line in logged(capsys)] == ["worker_died"]


def test_bound_values_are_on_every_line(capsys: Capture) -> None:
    configure_logging("info", "json")
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        structlog.get_logger().info("ours")
        logging.getLogger("aiohttp.server").error("theirs")
    assert [line["http.request.id"] for line in logged(capsys)] == ["r1", "r1"]


def test_a_library_that_uses_the_standard_library_writes_the_same_lines(capsys: Capture) -> None:
    configure_logging("info", "json")
    logging.getLogger("aiohttp.server").error("cannot %s", "serve")
    (line,) = logged(capsys)
    assert (line["message"], line["log.level"]) == ("cannot serve", "error")
    assert line["log.logger"] == "aiohttp.server"
    assert "event.action" not in line


@pytest.mark.parametrize(("level", "heard"), [("info", ["w"]), ("debug", ["d", "i", "w"])])
def test_libraries_are_heard_from_warning_on_unless_debugging(
    level: Any, heard: list[str], capsys: Capture
) -> None:
    configure_logging(level, "json")
    library = logging.getLogger("some.library")
    library.debug("d")
    library.info("i")
    library.warning("w")
    assert [line["message"] for line in logged(capsys)] == heard


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_does_not_show_the_values_of_variables(log_format: Any, capsys: Capture) -> None:
    configure_logging("info", log_format)
    text = "text-" + str(7 * 11)
    try:
        assert len(text) / 0
    except ZeroDivisionError:
        structlog.get_logger().exception("request_failed")
    shown = capsys.readouterr().err
    assert "ZeroDivisionError" in shown
    assert "assert len(text) / 0" in shown
    assert "text-77" not in shown


def test_console_lines_are_for_people(capsys: Capture) -> None:
    configure_logging("info", "console")
    structlog.get_logger().info("started", port=8080)
    shown = capsys.readouterr().err
    assert "started" in shown
    assert "port=8080" in shown
    assert "\x1b" not in shown


def test_python_warnings_become_lines(capsys: Capture) -> None:
    configure_logging("info", "json")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old", UserWarning, stacklevel=1)
    assert logged(capsys)[0]["log.logger"] == "py.warnings"


def test_setting_up_again_replaces_the_set_up_before(capsys: Capture) -> None:
    configure_logging("info", "json")
    configure_logging("info", "json")
    logging.getLogger("x").error("once")
    assert len(logged(capsys)) == 1
