"""``embedd search`` from the outside."""

import json

import pytest
from cli_stub import Embedd, Stub, hit


@pytest.fixture(autouse=True)
def collection(stub: Stub) -> None:
    stub.collections.add("documents")


def test_a_hit_shows_its_score_its_place_and_its_words(embedd: Embedd, stub: Stub) -> None:
    stub.hits = [hit("Data is\n  kept in SQLite.", page=3), hit("Other", document_id="x.md", title="")]
    shown = embedd("search", "where is data")
    assert shown.exit_code == 0
    for words in ("0.750", "Operations", "ops.md, page 3", "Data is kept in SQLite.", "x.md"):
        assert words in shown.stdout


def test_the_query_goes_out_as_the_contract_says(embedd: Embedd, stub: Stub) -> None:
    embedd("search", "q", "--k", "7", "--mode", "dense", "--rerank", "late", "--filter", '{"lang": "en"}')
    [body] = stub.bodies
    assert body == {"query": "q", "k": 7, "mode": "dense", "rerank": "late", "filter": {"lang": "en"}}


def test_json_is_the_answer_as_it_came(embedd: Embedd, stub: Stub) -> None:
    stub.hits = [hit("Data")]
    shown = embedd("search", "q", "--json")
    assert json.loads(shown.stdout) == {"hits": stub.hits, "took_ms": 1.5, "plan": "exact"}


def test_nothing_found_is_said(embedd: Embedd) -> None:
    shown = embedd("search", "q")
    assert (shown.exit_code, shown.stdout) == (0, "Nothing found in collection 'documents'.\n")


def test_a_refusal_is_one_line(embedd: Embedd) -> None:
    shown = embedd("search", "q", "--collection", "none")
    assert (shown.exit_code, shown.stderr) == (1, "Error: no collection 'none'\n")


def test_a_filter_that_is_no_object_is_wrong_usage(embedd: Embedd, stub: Stub) -> None:
    assert embedd("search", "q", "--filter", "lang=en").exit_code == 2
    assert stub.requests == []


def test_a_name_is_encoded_in_the_path(embedd: Embedd, stub: Stub) -> None:
    embedd("search", "q", "--collection", "a/b c")
    assert stub.requests == [("POST", "/v1/collections/a%2Fb%20c/search")]


def test_a_long_passage_is_cut_around_the_words_of_the_query(embedd: Embedd, stub: Stub) -> None:
    stub.hits = [hit("first " + "filler " * 100 + "the checkpoints are here " + "filler " * 100 + "last")]
    shown = " ".join(embedd("search", "checkpoint").stdout.replace("│", " ").split())
    assert "checkpoints are here" in shown
    assert "first" not in shown
    assert "last" not in shown
    assert shown.count("…") == 2


def test_a_passage_cannot_steer_the_terminal(embedd: Embedd, stub: Stub) -> None:
    stub.hits = [hit("bad \x1b[2J [red]markup[/red]", title="\x1b]0;x\x07")]
    shown = embedd("search", "q").stdout
    assert "\x1b" not in shown
    assert "[red]markup[/red]" in shown


def test_another_service_on_the_port_is_told(embedd: Embedd, stub: Stub) -> None:
    stub.hits = [{"something": "else"}]
    shown = embedd("search", "q")
    assert shown.exit_code == 1
    assert "does not answer like an embedd service" in shown.stderr


def test_an_answer_that_is_no_error_envelope_is_told(embedd: Embedd, stub: Stub) -> None:
    shown = embedd("search", "q", "--url", f"{stub.url}/elsewhere")
    assert shown.exit_code == 1
    assert (
        "/elsewhere/v1/collections/documents/search answered 404 Not Found: is this an embedd" in shown.stderr
    )
