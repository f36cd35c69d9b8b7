"""``embedd ingest`` from the outside: what is sent, printed and returned."""

import json
from pathlib import Path

import pytest
from cli_stub import Embedd, Stub


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.md").write_text("# A")
    (tmp_path / 'sub/b ü "x".txt').write_text("B")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    return tmp_path


def test_a_folder_is_sent_and_summed_up(embedd: Embedd, stub: Stub, docs: Path) -> None:
    shown = embedd("ingest", docs)
    assert shown.exit_code == 0
    assert shown.stdout == "2 documents with 4 passages in collection 'documents'; left out: 1 type .png\n"
    assert stub.documents["a.md"].content == b"# A"
    assert stub.documents["a.md"].media_type == "text/markdown"
    assert [path for method, path in stub.requests if method == "POST"] == [
        "/v1/collections/documents/documents?wait=true"
    ]


def test_names_with_spaces_and_umlauts_arrive(embedd: Embedd, stub: Stub, tmp_path: Path) -> None:
    (tmp_path / "b ü; c.txt").write_text("B")
    embedd("ingest", tmp_path)
    assert list(stub.documents) == ["b ü; c.txt"]


def test_the_collection_is_created_if_it_is_absent(embedd: Embedd, stub: Stub, docs: Path) -> None:
    embedd("ingest", docs, "--collection", "mine")
    assert stub.requests[:2] == [("GET", "/v1/collections/mine"), ("PUT", "/v1/collections/mine")]
    assert stub.bodies == [{"token_vectors": "2bit"}]
    assert stub.documents["a.md"].collection == "mine"


def test_a_collection_that_is_there_is_left_alone(embedd: Embedd, stub: Stub, docs: Path) -> None:
    stub.collections.add("documents")
    embedd("ingest", docs)
    assert [method for method, _ in stub.requests] == ["GET", "POST"]


def test_unchanged_documents_are_counted(embedd: Embedd, docs: Path) -> None:
    embedd("ingest", docs)
    assert "2 documents (2 unchanged) with 4 passages" in embedd("ingest", docs).stdout


def test_what_is_said_of_the_documents_goes_with_every_file(embedd: Embedd, stub: Stub, docs: Path) -> None:
    said = ["--metadata", '{"lang": "en"}', "--password", "sesame", "--expires-at", "2030-01-01T00:00:00Z"]
    embedd("ingest", docs, *said, "--acl", "me", "--acl", "you")
    assert len(stub.documents) == 2
    for file in stub.documents.values():
        assert json.loads(file.fields["metadata"]) == {"lang": "en"}
        assert json.loads(file.fields["acl"]) == ["me", "you"]
        assert file.fields["password"] == "sesame"
        assert file.fields["expires_at"] == "2030-01-01T00:00:00Z"


def test_nothing_is_said_of_documents_unasked(embedd: Embedd, stub: Stub, docs: Path) -> None:
    embedd("ingest", docs)
    assert [file.fields for file in stub.documents.values()] == [{}, {}]


@pytest.mark.parametrize(
    ("arguments", "content", "arrives_as"),
    [
        ([], b"hello", ("stdin", "text/plain")),
        (["--id", "page.html"], b"<p>", ("page.html", "text/html")),
        (["--id", "paper"], b"%PDF-1.7", ("paper", "application/pdf")),
    ],
)
def test_standard_input_becomes_a_document(
    arguments: list[str], content: bytes, arrives_as: tuple[str, str], embedd: Embedd, stub: Stub
) -> None:
    assert embedd("ingest", "-", *arguments, stdin=content).exit_code == 0
    assert [(id_, file.media_type) for id_, file in stub.documents.items()] == [arrives_as]
    assert stub.documents[arrives_as[0]].content == content


def test_an_id_without_standard_input_is_wrong_usage(embedd: Embedd, docs: Path) -> None:
    assert embedd("ingest", docs, "--id", "x").exit_code == 2


@pytest.mark.parametrize("metadata", ["{", "[1]"])
def test_metadata_that_is_no_object_is_wrong_usage(metadata: str, embedd: Embedd, docs: Path) -> None:
    shown = embedd("ingest", docs, "--metadata", metadata)
    assert shown.exit_code == 2
    assert "--metadata" in shown.stderr


def test_a_folder_without_a_readable_file_is_an_error(embedd: Embedd, stub: Stub, tmp_path: Path) -> None:
    (tmp_path / "x.exe").touch()
    shown = embedd("ingest", tmp_path)
    assert shown.exit_code == 1
    assert shown.stderr == "Error: nothing to ingest; left out: 1 type .exe\n"
    assert stub.requests == []


def test_failed_files_are_listed_with_their_reasons(embedd: Embedd, stub: Stub, docs: Path) -> None:
    stub.failing["a.md"] = "the PDF is encrypted: send its password"
    shown = embedd("ingest", docs)
    assert shown.exit_code == 1
    assert shown.stdout.startswith("1 document with 2 passages in collection 'documents'")
    assert shown.stderr.endswith("1 document failed:\n  a.md: the PDF is encrypted: send its password\n")


def test_a_file_that_the_service_refuses_does_not_hold_back_the_others(
    embedd: Embedd, stub: Stub, docs: Path
) -> None:
    (docs / "c.md").write_text("C")
    stub.refused["c.md"] = (413, "'c.md' is larger than 1 bytes")
    shown = embedd("ingest", docs)
    assert shown.exit_code == 1
    assert "a.md" in stub.documents
    assert shown.stderr.endswith("  c.md: 'c.md' is larger than 1 bytes\n")


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_is_waited_for(status: int, embedd: Embedd, stub: Stub, docs: Path) -> None:
    stub.busy = [(status, "0"), (status, "0")]
    assert embedd("ingest", docs).exit_code == 0
    assert "a.md" in stub.documents


def test_a_busy_service_that_names_no_time_is_an_error(embedd: Embedd, stub: Stub, docs: Path) -> None:
    stub.busy = [(503, "soon")]
    shown = embedd("ingest", docs)
    assert shown.exit_code == 1
    assert shown.stderr.endswith("Error: busy\n")


def test_a_connection_that_breaks_once_does_no_harm(embedd: Embedd, stub: Stub, docs: Path) -> None:
    stub.drops = 1
    assert embedd("ingest", docs).exit_code == 0
    assert "a.md" in stub.documents


def test_what_a_document_is_called_cannot_steer_the_terminal(embedd: Embedd, stub: Stub, docs: Path) -> None:
    stub.failing["a.md"] = "bad \x1b[2J\rthing\n[bold]"
    assert "  a.md: bad \ufffd[2J\ufffdthing [bold]\n" in embedd("ingest", docs).stderr


def test_progress_is_lines_where_nobody_looks(embedd: Embedd, docs: Path) -> None:
    assert "2 of 2 documents, 4 passages, " in embedd("ingest", docs).stderr
