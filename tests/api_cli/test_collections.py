"""``embedd collections`` from the outside."""

import json

import pytest
from cli_stub import Embedd, Stub, collection


@pytest.fixture(autouse=True)
def notes(stub: Stub) -> None:
    stub.collections |= {"notes", "old"}


def test_every_collection_is_listed_with_its_sizes(embedd: Embedd) -> None:
    shown = embedd("collections", "list")
    assert shown.exit_code == 0
    for words in ("notes", "old", "all-MiniLM-L6-v2, 384", "12", "3,456", "7.8 MB"):
        assert words in shown.stdout


def test_that_there_are_none_is_said(embedd: Embedd, stub: Stub) -> None:
    stub.collections.clear()
    assert embedd("collections", "list").stdout == "There are no collections.\n"


def test_one_is_shown_with_its_settings(embedd: Embedd) -> None:
    shown = embedd("collections", "show", "notes")
    for words in ("About notes", "all-MiniLM-L6-v2, 384", "cosine", "porter", "3,456"):
        assert words in shown.stdout
    assert "token vectors" not in shown.stdout


@pytest.mark.parametrize("command", [["list"], ["show", "notes"], ["create", "notes"]])
def test_json_is_the_answer_as_it_came(embedd: Embedd, stub: Stub, command: list[str]) -> None:
    stub.collections = {"notes"}
    one = collection("notes")
    expected = {"collections": [one]} if command == ["list"] else one
    assert json.loads(embedd("collections", *command, "--json").stdout) == expected


def test_a_collection_is_made_with_the_settings_that_were_given(embedd: Embedd, stub: Stub) -> None:
    embedd("collections", "create", "plain")
    embedd("collections", "create", "mine", "--dim", "768", "--metric", "dot", "--description", "my own")
    embedd(
        "collections", "create", "late", "--model", "m", "--token-vectors", "2bit", "--tokenizer", "trigram"
    )
    embedd("collections", "create", "exact", "--dim", "768", "--quantization", "none")
    assert stub.bodies == [
        {"metric": "cosine", "tokenizer": "porter"},
        {"metric": "dot", "tokenizer": "porter", "dim": 768, "description": "my own"},
        {"metric": "cosine", "tokenizer": "trigram", "model": "m", "token_vectors": "2bit"},
        {"metric": "cosine", "tokenizer": "porter", "dim": 768, "quantization": "none"},
    ]
    assert stub.collections >= {"plain", "mine", "late", "exact"}


def test_deleting_asks_first(embedd: Embedd, stub: Stub) -> None:
    shown = embedd("collections", "delete", "notes", stdin="n\n")
    assert shown.exit_code == 1
    assert "Delete collection 'notes' with its 3,456 points?" in shown.stdout
    assert stub.collections == {"notes", "old"}
    assert "Deleted collection 'notes'." in embedd("collections", "delete", "notes", stdin="y\n").stdout
    assert stub.collections == {"old"}


def test_deleting_without_asking_is_the_same_twice(embedd: Embedd, stub: Stub) -> None:
    assert embedd("collections", "delete", "old", "--yes").stdout == "Deleted collection 'old'.\n"
    again = embedd("collections", "delete", "old", "--yes")
    assert (again.exit_code, again.stdout) == (0, "There was no collection 'old'.\n")


@pytest.mark.parametrize("command", [["show"], ["delete"]])
def test_a_collection_that_is_not_there_is_told_in_one_line(embedd: Embedd, command: list[str]) -> None:
    shown = embedd("collections", *command, "none")
    assert (shown.exit_code, shown.stderr) == (1, "Error: no collection 'none'\n")


def test_a_description_cannot_steer_the_terminal(
    embedd: Embedd, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = collection("notes") | {"description": "\x1b[2J [red]hm[/red]", "model": None}
    monkeypatch.setattr("cli_stub.collection", lambda _: hostile)
    shown = embedd("collections", "show", "notes").stdout
    assert "\x1b" not in shown
    assert "[red]hm[/red]" in shown
    assert "your own, 384" in shown
