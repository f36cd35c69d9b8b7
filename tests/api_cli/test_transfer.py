"""``embedd export`` and ``embedd import`` from the outside."""

import json
from pathlib import Path

import pytest
from cli_stub import Embedd, Stub

HEAD = {
    "name": "documents",
    "dim": 4,
    "metric": "l2",
    "model": None,
    "description": "Mine",
    "tokenizer": "trigram",
}
LINES = [{"collection": HEAD}, *({"id": f"p{n}", "vector": "AAAA"} for n in range(9))]


@pytest.fixture(autouse=True)
def lines(stub: Stub) -> None:
    stub.collections.add("documents")
    stub.lines = [json.dumps(line).encode() for line in LINES]


def whole(stub: Stub) -> bytes:
    return b"".join(line + b"\n" for line in stub.lines)


def test_an_export_is_a_file_of_lines(embedd: Embedd, stub: Stub, tmp_path: Path) -> None:
    shown = embedd("export", tmp_path / "out.jsonl")
    assert (shown.exit_code, shown.stdout) == (0, f"Exported documents to {tmp_path / 'out.jsonl'}\n")
    assert (tmp_path / "out.jsonl").read_bytes() == whole(stub)
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_an_export_to_standard_output_is_nothing_else(embedd: Embedd, stub: Stub) -> None:
    assert embedd("export", "-").stdout_bytes == whole(stub)


@pytest.mark.parametrize("bytes_", [0, 10, 170, 175, 230, 300])
def test_an_export_that_broke_off_is_taken_up(
    embedd: Embedd, stub: Stub, tmp_path: Path, bytes_: int
) -> None:
    stub.breaks_after = bytes_
    broken = embedd("export", tmp_path / "out.jsonl")
    assert broken.exit_code == 1
    assert "lost the connection" in broken.stderr
    assert not (tmp_path / "out.jsonl").exists()
    assert embedd("export", tmp_path / "out.jsonl").exit_code == 0
    assert (tmp_path / "out.jsonl").read_bytes() == whole(stub)
    resumed = any("after=" in path for _, path in stub.requests)
    assert resumed == (bytes_ > len(stub.lines[0]) + len(stub.lines[1]))


@pytest.mark.parametrize(
    "content", [b'{"collection": {"name": "x"}}\n{"id": "a"}\n', b"some\ntext\n", b"1\n2\n"]
)
def test_a_part_of_something_else_is_left_alone(embedd: Embedd, tmp_path: Path, content: bytes) -> None:
    part = tmp_path / "out.jsonl.part"
    part.write_bytes(content)
    shown = embedd("export", tmp_path / "out.jsonl")
    assert shown.exit_code == 1
    assert "is not of the collection 'documents'" in shown.stderr
    assert part.read_bytes() == content


def test_a_file_is_not_replaced(embedd: Embedd, tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text("mine")
    assert embedd("export", tmp_path / "out.jsonl").exit_code == 1
    assert (tmp_path / "out.jsonl").read_text() == "mine"


def test_a_collection_that_is_not_there_cannot_be_exported(embedd: Embedd) -> None:
    shown = embedd("export", "-", "--collection", "none")
    assert (shown.exit_code, shown.stderr) == (1, "Error: no collection 'none'\n")


def test_an_import_makes_the_collection_and_says_what_came_of_it(
    embedd: Embedd, stub: Stub, tmp_path: Path
) -> None:
    (tmp_path / "in.jsonl").write_bytes(whole(stub))
    shown = embedd("import", tmp_path / "in.jsonl", "--collection", "new")
    assert shown.stdout == "Imported 9 documents into new; 0 were there\n"
    assert stub.bodies == [{"metric": "l2", "description": "Mine", "tokenizer": "trigram", "dim": 4}]
    assert stub.imported == stub.lines[1:]
    again = embedd("import", tmp_path / "in.jsonl", "--collection", "new")
    assert again.stdout == "Imported 0 documents into new; 9 were there\n"
    assert len(stub.bodies) == 1


def test_a_collection_of_a_model_is_made_with_that_model(embedd: Embedd, stub: Stub) -> None:
    head = {
        "collection": {"name": "x", "dim": 64, "metric": "cosine", "model": "fake", "token_vectors": "2bit"}
    }
    embedd("import", "-", "--collection", "new", stdin=json.dumps(head) + "\n")
    assert stub.bodies == [{"metric": "cosine", "model": "fake", "token_vectors": "2bit"}]


def test_a_large_file_goes_in_many_requests(
    embedd: Embedd, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.cli.import_._REQUEST_BYTES", 50)
    shown = embedd("import", "-", stdin=whole(stub))
    assert shown.stdout == "Imported 9 documents into documents; 0 were there\n"
    assert stub.imported == stub.lines[1:]
    assert sum(path.endswith("/import") for _, path in stub.requests) > 3


def test_a_busy_service_is_waited_for(embedd: Embedd, stub: Stub) -> None:
    stub.busy = [(429, "0"), (503, "0")]
    assert embedd("import", "-", stdin=whole(stub)).exit_code == 0
    assert stub.imported == stub.lines[1:]


def test_a_refusal_tells_where(embedd: Embedd, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.cli.import_._REQUEST_BYTES", 1)
    shown = embedd("import", "-", stdin=whole(stub) + b"wrong\n")
    assert shown.exit_code == 1
    assert shown.stderr.endswith("Error: behind line 10: line 1: that is wrong\n")
    assert embedd("import", "-", stdin=b"wrong\n").stderr.endswith("Error: line 1: that is wrong\n")


def test_lines_without_a_head_need_a_collection(embedd: Embedd) -> None:
    shown = embedd("import", "-", "--collection", "none", stdin=b'{"id": "a"}\n')
    assert (shown.exit_code, shown.stderr) == (1, "Error: no collection 'none'\n")


def test_an_empty_file_is_nothing_to_do(embedd: Embedd) -> None:
    assert embedd("import", "-", stdin=b"").stdout == "Imported 0 documents into documents; 0 were there\n"
