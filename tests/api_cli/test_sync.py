"""``embedd ingest --sync``: a collection becomes equal to a folder, or the reason is said why not."""

from pathlib import Path

import pytest
from cli_stub import Embedd, Stub


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.md", "b.md", "sub/c.md", "sub/d.md"):
        (folder / name).write_text(name)
    return folder


def change(folder: Path) -> None:
    """One file is new, one other, one gone, and one has another name."""
    (folder / "new.md").write_text("new")
    (folder / "a.md").write_text("other")
    (folder / "b.md").unlink()
    (folder / "sub/c.md").rename(folder / "moved.md")


def test_what_is_new_changed_and_gone_in_a_folder_is_so_in_the_collection(
    embedd: Embedd, stub: Stub, folder: Path
) -> None:
    embedd("ingest", folder, "--sync")
    change(folder)
    shown = embedd("ingest", folder, "--sync")
    assert shown.exit_code == 0
    assert shown.stdout == (
        "4 documents (1 unchanged) with 8 passages in collection 'documents'; 2 documents deleted\n"
    )
    assert {id_: file.content.decode() for id_, file in stub.documents.items()} == {
        "a.md": "other",
        "moved.md": "sub/c.md",
        "new.md": "new",
        "sub/d.md": "sub/d.md",
    }


def test_without_sync_nothing_is_deleted(embedd: Embedd, stub: Stub, folder: Path) -> None:
    embedd("ingest", folder)
    (folder / "b.md").unlink()
    embedd("ingest", folder)
    assert "b.md" in stub.documents


def test_a_dry_run_says_what_would_be_done_and_does_nothing(embedd: Embedd, stub: Stub, folder: Path) -> None:
    embedd("ingest", folder, "--sync")
    before = dict(stub.documents)
    change(folder)
    shown = embedd("ingest", folder, "--sync", "--dry-run")
    assert shown.stdout == (
        "changed  a.md\n"
        "new      moved.md\n"
        "new      new.md\n"
        "deleted  b.md\n"
        "deleted  sub/c.md\n"
        "Dry run, nothing was written: 2 new, 1 changed, 2 to delete, 1 unchanged in collection 'documents'\n"
    )
    assert stub.documents == before


def test_a_dry_run_into_a_collection_that_is_not_there_does_not_make_it(
    embedd: Embedd, stub: Stub, folder: Path
) -> None:
    shown = embedd("ingest", folder, "--dry-run", "-c", "mine")
    assert "4 new, 0 changed, 0 to delete, 0 unchanged in collection 'mine'" in shown.stdout
    assert stub.collections == set()


def test_a_folder_without_a_file_empties_no_collection(embedd: Embedd, stub: Stub, folder: Path) -> None:
    embedd("ingest", folder, "--sync")
    for path in folder.rglob("*.md"):
        path.unlink()
    shown = embedd("ingest", folder, "--sync")
    assert shown.exit_code == 1
    assert "every document would be deleted: nothing was done" in shown.stderr
    assert len(stub.documents) == 4


@pytest.mark.parametrize("paths", [["a.md"], [".", "sub"], ["-"]])
def test_only_one_folder_can_be_what_a_collection_is_equal_to(
    embedd: Embedd, folder: Path, monkeypatch: pytest.MonkeyPatch, paths: list[str]
) -> None:
    monkeypatch.chdir(folder)
    shown = embedd("ingest", "--sync", *paths, stdin="x")
    assert shown.exit_code == 2
    assert "one folder" in shown.stderr


def test_a_file_that_fails_keeps_what_the_collection_has_of_it(
    embedd: Embedd, stub: Stub, folder: Path
) -> None:
    embedd("ingest", folder, "--sync")
    (folder / "a.md").write_text("broken")
    stub.failing["a.md"] = "is broken"
    shown = embedd("ingest", folder, "--sync")
    assert shown.exit_code == 1
    assert "a.md: is broken" in shown.stderr
    assert stub.documents["a.md"].content == b"a.md"


def test_a_file_that_is_too_large_fails_alone_before_it_is_read(
    embedd: Embedd, stub: Stub, folder: Path
) -> None:
    stub.limits = {"max_file_bytes": 256 * 2**20}
    with (folder / "huge.txt").open("wb") as file:
        file.truncate(2 * 2**30)
    shown = embedd("ingest", folder)
    assert shown.exit_code == 1
    assert "huge.txt: is too large: it has 2,147,483,648 bytes, and the service takes 268,435,456" in (
        shown.stderr
    )
    assert set(stub.documents) == {"a.md", "b.md", "sub/c.md", "sub/d.md"}


def test_a_document_is_not_deleted_because_the_service_knows_it_by_another_id(
    embedd: Embedd, stub: Stub, folder: Path
) -> None:
    (folder / 'q"x.md').write_text("quoted")
    for _ in range(2):
        assert embedd("ingest", folder, "--sync").exit_code == 0
    assert "q%22x.md" in stub.documents, "as it is written in a form; this service does not read it"
