"""``embedd jobs``: what is shown of jobs, and what is asked for."""

from cli_stub import Embedd, Stub, job


def test_jobs_are_listed_with_how_far_they_are(embedd: Embedd, stub: Stub) -> None:
    stub.jobs = [job("docs.2", "running", 3, 10), job("mails.1", "finished", 7, 7)]
    shown = embedd("jobs", "list").stdout
    assert "docs.2" in shown
    assert "3 of 10" in shown
    assert "finished" in shown
    assert "docs.2" not in embedd("jobs", "list", "-c", "mails").stdout
    stub.jobs = []
    assert embedd("jobs", "list").stdout == "There are no jobs.\n"


def test_a_job_is_shown_with_its_progress_and_its_failures(embedd: Embedd, stub: Stub) -> None:
    failed = {"id": "a.pdf", "status": "failed", "passages": 0, "tokens": 0, "error": "is encrypted"}
    stub.jobs = [job("docs.1", "finished", 10, 10, failed=1, documents=[failed])]
    shown = embedd("jobs", "show", "docs.1")
    assert shown.stdout == (
        "docs.1: finished, 10 of 10 documents, 30 passages, 10.0 kB of 10.0 kB, 2.5 documents/s\n"
    )
    assert shown.stderr == "  a.pdf: is encrypted\n"


def test_a_running_job_is_shown_with_the_time_left(embedd: Embedd, stub: Stub) -> None:
    stub.jobs = [job("docs.1", "running", 2, 92)]
    assert embedd("jobs", "show", "docs.1").stdout.endswith("2.5 documents/s, 0:01:30 left\n")


def test_a_job_is_followed_to_its_end(embedd: Embedd, stub: Stub) -> None:
    stub.jobs = [job("docs.1", "running", 1, 2), job("docs.1", "finished", 2, 2)]
    shown = embedd("jobs", "follow", "docs.1")
    assert shown.exit_code == 0
    assert shown.stdout.startswith("docs.1: finished, 2 of 2 documents")


def test_the_status_tells_when_what_was_followed_did_not_end_well(embedd: Embedd, stub: Stub) -> None:
    for ending in (job("docs.1", "cancelled", 1, 2), job("docs.1", "finished", 2, 2, failed=1)):
        stub.jobs = [ending]
        assert embedd("jobs", "follow", "docs.1").exit_code == 1


def test_a_job_is_cancelled(embedd: Embedd, stub: Stub) -> None:
    stub.jobs = [job("docs.1", "running", 1, 2)]
    assert embedd("jobs", "cancel", "docs.1").stdout.startswith("docs.1: cancelled, 1 of 2 documents")
    assert ("DELETE", "/v1/jobs/docs.1") in stub.requests


def test_a_job_that_is_not_there_is_an_error(embedd: Embedd) -> None:
    shown = embedd("jobs", "show", "docs.none")
    assert (shown.exit_code, shown.stderr) == (1, "Error: there is no such job\n")
