"""Which files a command line names, and the ids they get."""

from collections import Counter
from pathlib import Path

import click
import pytest

from api.cli.selection import Selection, select


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in [
        "b.md",
        "a.txt",
        "deep/er/c.PDF",
        ".hidden.md",
        ".git/config.md",
        "deep/picture.png",
        "LICENSE",
    ]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def ids(selection: Selection) -> list[str]:
    return [upload.id for upload in selection.uploads]


def test_a_folder_gives_relative_paths_in_a_stable_order(tree: Path) -> None:
    assert ids(select([str(tree)])) == ["a.txt", "b.md", "deep/er/c.PDF"]


def test_what_is_left_out_of_a_folder_is_counted_by_reason(tree: Path) -> None:
    assert select([str(tree)]).skipped == Counter({"hidden": 2, "type .png": 1, "no file type": 1})


def test_a_file_gets_its_name(tree: Path) -> None:
    assert ids(select([str(tree / "deep/er/c.PDF")])) == ["c.PDF"]


def test_a_file_that_was_named_itself_is_never_left_out(tree: Path) -> None:
    assert ids(select([str(tree / ".hidden.md"), str(tree / "deep/picture.png")])) == [
        ".hidden.md",
        "picture.png",
    ]


def test_a_pattern_gives_paths_below_its_fixed_part(tree: Path) -> None:
    assert ids(select([f"{tree}/deep/**/*.[pP]*"])) == ["er/c.PDF"]


def test_a_pattern_leaves_out_what_a_folder_does(tree: Path) -> None:
    selection = select([f"{tree}/**/*.md"])
    assert ids(selection) == ["b.md"]
    assert selection.skipped == Counter({"hidden": 2})


def test_a_pattern_may_be_relative(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    assert ids(select(["*.md", "deep/*/*"])) == ["b.md", "er/c.PDF"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "notes [old].md").write_text("x")
    assert ids(select([f"{tmp_path}/notes [old].md"])) == ["notes [old].md"]


def test_a_file_that_is_named_twice_is_sent_once(tree: Path) -> None:
    assert ids(select([str(tree / "b.md"), f"{tree}/b.*"])) == ["b.md"]


def test_two_files_that_would_become_one_document_are_refused(tree: Path) -> None:
    (tree / "deep/b.md").write_text("another")
    with pytest.raises(
        click.UsageError, match=r"b\.md and .*deep/b\.md would both become the document 'b\.md'"
    ):
        select([str(tree / "b.md"), str(tree / "deep/b.md")])


def test_a_linked_folder_is_not_followed(tree: Path) -> None:
    (tree / "deep/round").symlink_to(tree)
    assert ids(select([str(tree)])) == ["a.txt", "b.md", "deep/er/c.PDF"]


@pytest.mark.parametrize(
    ("name", "complaint"), [("none.md", "no such file or folder"), ("*.doc", "no file matches")]
)
def test_a_name_that_leads_nowhere_is_refused(name: str, complaint: str, tree: Path) -> None:
    with pytest.raises(click.UsageError, match=complaint):
        select([f"{tree}/{name}"])


def test_links_that_lead_round_in_circles_are_left_out_and_counted(tree: Path) -> None:
    (tree / "deep/up").symlink_to(tree)
    (tree / "self.txt").symlink_to("self.txt")
    selection = select([str(tree)])
    assert ids(selection) == ["a.txt", "b.md", "self.txt", "deep/er/c.PDF"]
    assert selection.skipped["linked folder"] == 1
