"""Where a model's files come from, and whether they are what they should be."""

import hashlib
import shutil
from pathlib import Path

import pytest

from embedd import sources
from embedd.errors import ModelLoadError
from embedd.specs import Weights, parse_spec


def test_one_weight_file_is_identified_by_its_own_sum(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    expected = hashlib.sha256(b"weights").hexdigest()
    resolved = sources.resolve(parse_spec(str(tmp_path)))
    assert resolved == Weights(tmp_path, "local", expected)
    sources.check_weights(tmp_path, expected)


def test_many_weight_files_are_identified_together(tmp_path: Path) -> None:
    (tmp_path / "2_Dense").mkdir()
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "2_Dense" / "model.safetensors").write_bytes(b"dense")
    first = sources.weights_sha256(tmp_path)
    (tmp_path / "2_Dense" / "model.safetensors").write_bytes(b"other")
    assert sources.weights_sha256(tmp_path) != first


def test_changed_weights_are_found(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    with pytest.raises(ModelLoadError, match="are not the expected ones"):
        sources.check_weights(tmp_path, "0" * 64)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="holds no weights"):
        sources.resolve(parse_spec(str(tmp_path)))


def test_weights_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(ModelLoadError, match="cannot be read"):
        sources.weights_sha256(tmp_path)


def test_a_hub_model_is_fetched_and_named_by_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "0123abcd"
    snapshot.mkdir()
    (snapshot / "model.safetensors").write_bytes(b"weights")
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(snapshot))
    resolved = sources.resolve(parse_spec("org/name"))
    assert (resolved.folder, resolved.revision) == (snapshot, "0123abcd")


def test_a_hub_that_cannot_be_reached_is_a_load_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise ConnectionError("no route")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(ModelLoadError, match="'org/name' could not be fetched: no route"):
        sources.resolve(parse_spec("org/name"))


def test_a_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "BUNDLED_PACKAGE", "no-such-package")
    with pytest.raises(ModelLoadError, match="no-such-package is not installed: run make setup"):
        sources.resolve(parse_spec("all-MiniLM-L6-v2"))


@pytest.fixture
def torn_copy(tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    shutil.copytree(sources.resolve(parse_spec("all-MiniLM-L6-v2")).folder, folder)
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"torn")
    return folder


def test_torn_weights_do_not_have_the_pinned_sum(torn_copy: Path) -> None:
    with pytest.raises(ModelLoadError, match="not the expected ones"):
        sources.check_weights(torn_copy, sources.BUNDLED_SHA256)


def test_weights_with_another_sum_than_the_pinned_one_are_told_with_both(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    found = hashlib.sha256(b"weights").hexdigest()
    with pytest.raises(ModelLoadError, match=f"sha256 {found}, pinned {'0' * 64}"):
        sources.resolve(parse_spec(str(tmp_path), sha256="0" * 64))


def test_pickled_weights_are_read_only_where_they_are_allowed(tmp_path: Path) -> None:
    (tmp_path / "2_Dense").mkdir()
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "2_Dense" / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ModelLoadError, match="is a pickle"):
        sources.resolve(parse_spec(str(tmp_path)))
    sources.resolve(parse_spec(str(tmp_path), allow_pickle=True))


def test_a_pickle_beside_safetensors_is_not_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    assert sources.resolve(parse_spec(str(tmp_path))).folder == tmp_path
