"""``embedd export`` and ``embedd import`` of Parquet files from the outside."""

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cli_stub import Embedd, Stub

from api.schemas_transfer import DocumentLine

DIM = 2
HEAD = {"name": "documents", "dim": DIM, "metric": "l2", "model": None, "description": "Mine"}
TIMES = {"version": 3, "created_at": "2020-01-01T00:00:00.001Z", "updated_at": "0001-01-02T00:00:00.999Z"}
ODD = "AAAAgAEAAAA="  # -0.0 and the smallest float32 there is
POINT = {"id": "p", "title": "T", "text": "words", "metadata": {"n": 1.0, "big": 2**60, "l": [None, True]}}
POINT |= {"vector": ODD, "acl": ["team"], "expires_at": "2100-01-01T00:00:00.000Z", **TIMES}
PASSAGE = {"start": 0, "end": 2, "vector": ODD, "text": "a\u0000", "page": 1, "heading": "H", "tokens": 2}
DOCUMENT = {"id": "ü/x", "text": "a\u0000b", "content_hash": "AAE=", "media_type": "text/html", **TIMES}
DOCUMENT |= {"passages": [PASSAGE, {**PASSAGE, "page": None, "token_vectors": "AAAA"}]}
EMPTY = {"id": "none", "passages": [], **TIMES}
LINES = [POINT, DOCUMENT, EMPTY, *({"id": f"q{n}", "vector": ODD, **TIMES} for n in range(9))]


@pytest.fixture(autouse=True)
def lines(stub: Stub) -> None:
    stub.dim = DIM
    stub.collections |= {"documents", "copy"}
    stub.lines = [json.dumps(line).encode() for line in ({"collection": HEAD}, *LINES)]


def same(found: list[bytes], wanted: list[bytes]) -> bool:
    """Whether they say the same, in which 1, 1.0 and true differ."""
    decode = msgspec.json.Decoder(DocumentLine).decode
    return [repr(decode(line)) for line in found] == [repr(decode(line)) for line in wanted]


def written(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def vectors(*rows: list[float] | None, of: Any = None) -> pa.Array:
    return pa.array(list(rows), pa.list_(of or pa.float32()))


def test_an_export_comes_back_as_it_was(embedd: Embedd, stub: Stub, tmp_path: Path) -> None:
    shown = embedd("export", tmp_path / "out.parquet")
    assert (shown.exit_code, shown.stdout) == (0, f"Exported documents to {tmp_path / 'out.parquet'}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]
    shown = embedd("import", tmp_path / "out.parquet", "--collection", "copy")
    assert (shown.exit_code, shown.stdout) == (0, "Imported 12 documents into copy; 0 were there\n")
    assert same(stub.imported, stub.lines[1:])
    assert json.loads(stub.imported[1])["passages"][1]["token_vectors"] == "AAAA"
    again = embedd("import", tmp_path / "out.parquet", "--collection", "copy")
    assert again.stdout == "Imported 0 documents into copy; 12 were there\n"


def test_other_programs_read_what_is_exported(embedd: Embedd, tmp_path: Path) -> None:
    embedd("export", tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column("id").to_pylist()[:3] == ["p", "ü/x", "none"]
    assert table.column("vector").to_pylist()[1] is None
    assert np.float32(table.column("vector").to_pylist()[0][1]) == np.float32(1e-45)
    assert json.loads(table.column("metadata").to_pylist()[0]) == POINT["metadata"]
    assert table.column("created_at").type == pa.timestamp("ms", "UTC")
    assert json.loads(table.schema.metadata[b"embedd.collection"]) == HEAD


def test_the_format_can_be_said(embedd: Embedd, stub: Stub, tmp_path: Path) -> None:
    assert embedd("export", tmp_path / "a", "--format", "parquet").exit_code == 0
    assert embedd("import", tmp_path / "a", "--format", "parquet").exit_code == 0
    assert same(stub.imported, stub.lines[1:])
    assert embedd("export", tmp_path / "b.parquet", "--format", "jsonl").exit_code == 0
    assert (tmp_path / "b.parquet").read_bytes().startswith(stub.lines[0] + b"\n")


@pytest.mark.parametrize("bytes_", [0, 100, 700, 900, 1500, 1900])
def test_an_export_that_broke_off_is_taken_up(
    embedd: Embedd, stub: Stub, tmp_path: Path, bytes_: int
) -> None:
    stub.breaks_after = bytes_
    assert embedd("export", tmp_path / "out.parquet").exit_code == 1
    assert not (tmp_path / "out.parquet").exists()
    assert embedd("export", tmp_path / "out.parquet").exit_code == 0
    first = len(stub.lines[0]) + len(stub.lines[1]) + 2
    assert any("after=" in path for _, path in stub.requests) == (bytes_ >= first)
    embedd("import", tmp_path / "out.parquet")
    assert same(stub.imported, stub.lines[1:])


def test_an_export_that_was_cut_while_the_file_was_made_is_taken_up(
    embedd: Embedd, stub: Stub, tmp_path: Path
) -> None:
    (tmp_path / "out.parquet.part").write_bytes(b"".join(line + b"\n" for line in stub.lines))
    (tmp_path / "out.parquet.new").write_bytes(b"PAR1 and then nothing")
    assert embedd("export", tmp_path / "out.parquet").exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]
    embedd("import", tmp_path / "out.parquet")
    assert same(stub.imported, stub.lines[1:])


def test_an_empty_collection_is_a_file_without_rows(embedd: Embedd, stub: Stub, tmp_path: Path) -> None:
    del stub.lines[1:]
    embedd("export", tmp_path / "out.parquet")
    shown = embedd("import", tmp_path / "out.parquet", "--collection", "new")
    assert shown.stdout == "Imported 0 documents into new; 0 were there\n"
    assert stub.bodies == [{"metric": "l2", "description": "Mine", "dim": DIM}]


def test_many_rows_are_in_many_groups_and_go_in_many_requests(
    embedd: Embedd, stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.lines[1:] = [json.dumps({"id": f"p{n:04}", "vector": ODD}).encode() for n in range(2500)]
    monkeypatch.setattr("api.cli.parquet_write._GROUP_LINES", 700)
    monkeypatch.setattr("api.cli.import_._REQUEST_BYTES", 50_000)
    embedd("export", tmp_path / "out.parquet")
    assert pq.ParquetFile(tmp_path / "out.parquet").metadata.num_row_groups == 4
    shown = embedd("import", tmp_path / "out.parquet")
    assert shown.stdout == "Imported 2,500 documents into documents; 0 were there\n"
    assert shown.stderr.endswith("2,500 rows\n")
    assert sum(path.endswith("/import") for _, path in stub.requests) > 3
    assert same(stub.imported, stub.lines[1:])


def test_a_file_from_elsewhere_needs_ids_and_vectors(embedd: Embedd, stub: Stub, tmp_path: Path) -> None:
    columns = {
        "id": pa.array([7, 8]),
        "vector": vectors([0.5, 1], [2, 3], of=pa.float64()),
        "text": pa.array(["one", None]).dictionary_encode(),
        "year": pa.array([2020, None]),
        "score": pa.array([0.25, 1.0]),
        "seen": pa.array(np.array(["2020-01-01T00:00:00.000001", "NaT"], dtype="datetime64[us]")),
        "day": pa.array(np.array(["2020-01-01", "NaT"], dtype="datetime64[D]")),
        "tags": pa.array([["a", "b"], []]),
        "metadata": pa.array(['{"year": 1, "x": {"y": null}}', None]),
        "__index_level_0__": pa.array([0, 1]),
    }
    file = written(tmp_path / "theirs.parquet", columns)
    shown = embedd("import", file, "--collection", "new")
    assert shown.stdout == "Imported 2 documents into new; 0 were there\n"
    assert stub.bodies == [{"dim": 2}]
    first, second = map(json.loads, stub.imported)
    assert (first["id"], first["text"], first["vector"]) == ("7", "one", "AAAAPwAAgD8=")
    assert first["metadata"] == {
        "year": 1,
        "score": 0.25,
        "seen": "2020-01-01T00:00:00.000001Z",
        "day": "2020-01-01",
        "tags": ["a", "b"],
        "x": {"y": None},
    }
    assert second["metadata"] == {"score": 1.0, "tags": []}
    assert "text" not in second


def test_acl_and_expiry_of_a_file_from_elsewhere_are_kept(embedd: Embedd, stub: Stub, tmp_path: Path) -> None:
    moment = pa.array([4102444800], pa.timestamp("s", "Europe/Berlin"))
    columns = {"id": ["a"], "vector": vectors([1, 2]), "acl": [["team"]], "expires_at": moment}
    embedd("import", written(tmp_path / "theirs.parquet", columns))
    (line,) = map(json.loads, stub.imported)
    assert (line["acl"], line["expires_at"]) == (["team"], "2100-01-01T00:00:00.000Z")


IDS = pa.array(["a", "b"])
FINE = vectors([1, 2], [3, 4])
BAD: list[tuple[dict[str, Any], str]] = [
    ({"vector": FINE}, "0 columns have the name 'id', one is needed"),
    ({"id": IDS}, "0 columns have the name 'vector', one is needed"),
    ({"id": pa.array(["a", None]), "vector": FINE}, "row 2, column 'id': is null"),
    ({"id": pa.array([1.5, 2.5]), "vector": FINE}, "column 'id' has the type double, which is not text"),
    ({"id": IDS, "vector": vectors([1, 2], None)}, "row 2, column 'vector': is null"),
    ({"id": IDS, "vector": pa.nulls(2)}, "row 1, column 'vector': is null"),
    (
        {"id": IDS, "vector": vectors([1, 2], [3, None])},
        "row 2, column 'vector': the number 2 of the vector is null",
    ),
    (
        {"id": IDS, "vector": vectors([1, 2], [float("nan"), 1])},
        "row 2, column 'vector': the number 1 of the vector is nan",
    ),
    (
        {"id": IDS, "vector": vectors([1, 2], [3, 1e300], of=pa.float64())},
        "row 2, column 'vector': the number 2 of the vector is inf",
    ),
    (
        {"id": IDS, "vector": vectors([1, 2], [3])},
        "row 2, column 'vector': has 1 numbers, the collection's vectors have 2",
    ),
    (
        {"id": IDS, "vector": pa.array(["x", "y"])},
        "column 'vector' has the type string, which is not a vector",
    ),
    ({"id": IDS, "vector": pa.array([[1], [2]])}, "which is not a vector (a list of floats)"),
    ({"id": IDS, "vector": FINE, "text": pa.array([1, 2])}, "column 'text' has the type int64"),
    ({"id": IDS, "vector": FINE, "expires_at": IDS}, "which is not a moment (timestamp)"),
    ({"id": IDS, "vector": FINE, "metadata": pa.array(["{}", "[]"])}, "row 2, column 'metadata': is no JSON"),
    ({"id": IDS, "vector": FINE, "x": pa.array([0.5, float("inf")])}, "row 2, column 'x': is inf"),
    (
        {"id": IDS, "vector": FINE, "deep": pa.array([{"a": 1}, None])},
        "column 'deep' has the type struct<a: int64>, which is not what metadata can have",
    ),
    ({"id": IDS, "vector": FINE, "deep": pa.array([[[1]], [[2]]])}, "is not what metadata can have"),
    ({"id": IDS, "vector": FINE, "raw": pa.array([b"x", b"y"])}, "is not what metadata can have"),
]


@pytest.mark.parametrize(("columns", "said"), BAD)
def test_what_is_wrong_with_a_file_is_said_with_its_row_and_column(
    embedd: Embedd, stub: Stub, tmp_path: Path, columns: dict[str, Any], said: str
) -> None:
    file = written(tmp_path / "bad.parquet", columns)
    shown = embedd("import", file)
    assert shown.exit_code == 1
    assert shown.stderr.startswith(f"Error: {file}")
    assert said in shown.stderr
    assert stub.imported == []


def test_vectors_of_another_length_than_the_collections_are_named(
    embedd: Embedd, stub: Stub, tmp_path: Path
) -> None:
    embedd("export", tmp_path / "out.parquet")
    stub.dim = 3
    shown = embedd("import", tmp_path / "out.parquet")
    assert "row 2, column 'passages': has 2 numbers, the collection's vectors have 3" in shown.stderr
    assert stub.imported == []


def test_what_the_service_refuses_is_named_by_its_row(embedd: Embedd, stub: Stub, tmp_path: Path) -> None:
    file = written(tmp_path / "bad.parquet", {"id": ["wrong"], "vector": vectors([1, 2])})
    # The stub says "line 1" of whatever it refuses; the head is the line before the first row.
    assert embedd("import", file).stderr.endswith(f"Error: {file}: row 0: that is wrong\n")


def test_what_was_imported_before_a_bad_row_stays(
    embedd: Embedd, stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.cli.import_._REQUEST_BYTES", 1)
    rows: list[list[float] | None] = [[n, 1.0] for n in range(1500)]
    columns = {"id": [f"p{n}" for n in range(1500)], "vector": vectors(*rows[:1200], None, *rows[1201:])}
    shown = embedd("import", written(tmp_path / "bad.parquet", columns))
    assert "row 1,201, column 'vector': is null" in shown.stderr
    assert [json.loads(line)["id"] for line in stub.imported] == [f"p{n}" for n in range(1200)]


@pytest.mark.parametrize("content", [b"", b"text", b"PAR1" * 9, None])
def test_a_file_that_is_not_parquet_or_not_whole_is_refused(
    embedd: Embedd, stub: Stub, tmp_path: Path, content: bytes | None
) -> None:
    file = written(tmp_path / "bad.parquet", {"id": IDS, "vector": FINE})
    file.write_bytes(file.read_bytes()[:-20] if content is None else content)
    shown = embedd("import", file)
    assert shown.exit_code == 1
    assert shown.stderr.startswith(f"Error: {file} cannot be read as Parquet, or is not whole: ")
    assert stub.imported == []


def test_pages_that_are_torn_are_an_error(embedd: Embedd, stub: Stub, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    columns = {"id": [f"p{n}" for n in range(500)], "vector": vectors(*rng.normal(size=(500, 2)).tolist())}
    file = written(tmp_path / "bad.parquet", columns, compression="zstd")
    content = bytearray(file.read_bytes())
    content[1000:1400] = bytes(400)
    file.write_bytes(content)
    shown = embedd("import", file)
    assert shown.exit_code == 1
    assert "cannot be read as Parquet, or is not whole" in shown.stderr
    assert stub.imported == []


def test_an_exported_file_whose_columns_were_changed_is_refused(embedd: Embedd, tmp_path: Path) -> None:
    embedd("export", tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    number = table.schema.get_field_index("version")
    changed = table.set_column(number, "version", table.column("version").cast(pa.float64()))
    pq.write_table(changed, tmp_path / "changed.parquet")
    shown = embedd("import", tmp_path / "changed.parquet")
    assert "column 'version' has the type double, exports have int64" in shown.stderr
    pq.write_table(table.drop_columns(["acl"]), tmp_path / "less.parquet")
    assert "0 columns have the name 'acl'" in embedd("import", tmp_path / "less.parquet").stderr


@pytest.mark.parametrize("settings", [b"{", b"[]", b"{}", b'{"dim": "4"}'])
def test_a_file_that_does_not_say_what_it_is_of_is_refused(
    embedd: Embedd, tmp_path: Path, settings: bytes
) -> None:
    table = pa.table({"id": IDS, "vector": FINE}).replace_schema_metadata({b"embedd.collection": settings})
    pq.write_table(table, tmp_path / "odd.parquet")
    assert "its 'embedd.collection' cannot be read" in embedd("import", tmp_path / "odd.parquet").stderr


@pytest.mark.parametrize("command", ["export", "import"])
def test_parquet_is_no_stream(embedd: Embedd, command: str) -> None:
    shown = embedd(command, "-", "--format", "parquet")
    assert (shown.exit_code, "name a file" in shown.stderr) == (1, True)


@pytest.mark.parametrize("command", ["export", "import"])
def test_without_the_extra_it_is_named(
    embedd: Embedd, stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    file = tmp_path / "out.parquet"
    if command == "import":
        file.touch()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    shown = embedd(command, file)
    assert shown.exit_code == 1
    assert "pip install 'embedd[parquet]'" in shown.stderr
    assert stub.requests == []


def test_lines_need_no_extra(
    embedd: Embedd, stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert embedd("export", tmp_path / "out.jsonl").exit_code == 0
    assert embedd("import", tmp_path / "out.jsonl").exit_code == 0
    assert len(stub.imported) == len(LINES)
