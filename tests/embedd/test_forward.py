"""The packed forward against the models' own libraries, family by family."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from tiny_models import MAX_TOKENS, TEXTS, build_cross_encoder, build_embedding_model, configs
from transformers import AutoTokenizer

from embedd.errors import ModelLoadError
from embedd.sources import weights_sha256
from embedd.worker import native
from embedd.worker.backend import Batch
from embedd.worker.encoder import Encoder, Placement

PADDED = {"mpnet"}
"""Families whose attention adds what packed attention does not know."""

LONG = " ".join(["the red fox ran over high snow and"] * 2)


def open_encoder(folder: Path, kind: str = "embedding", **placement: object) -> Encoder:
    encoder = Encoder(folder, weights_sha256(folder), kind, Placement(device="cpu", **placement))
    encoder.load()
    return encoder


def read_forward(folder: Path, kind: str = "embedding") -> str:
    return Encoder(folder, weights_sha256(folder), kind, Placement(device="cpu")).load()["forward"]


def batch_of(folder: Path, texts: list[str], query: str | None = None, **wanted: object) -> Batch:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = texts if query is None else [(query, text) for text in texts]
    encoded = tokenizer(inputs, truncation=True, max_length=MAX_TOKENS, return_token_type_ids=True)
    ids = [np.array(one, dtype=np.int32) for one in encoded["input_ids"]]
    seconds = [types.index(1) if 1 in types else -1 for types in encoded["token_type_ids"]]
    return Batch(ids, np.array(seconds, dtype=np.int32), **wanted)


def one_by_one(encoder: Encoder, batch: Batch) -> np.ndarray:
    return np.concatenate(
        [encoder.run(Batch([ids], batch.seconds[[row]])).rows for row, ids in enumerate(batch.ids)]
    )


def backwards(encoder: Encoder, batch: Batch) -> np.ndarray:
    return encoder.run(Batch(batch.ids[::-1], batch.seconds[::-1].copy())).rows[::-1]


@pytest.mark.parametrize("family", sorted(configs()))
def test_vectors_are_those_of_sentence_transformers_whatever_runs_beside_them(
    tmp_path: Path, family: str
) -> None:
    decoder = family.startswith("qwen")
    folder = build_embedding_model(tmp_path, "lasttoken" if decoder else "mean", family=family)
    texts = [*TEXTS, LONG, LONG + " slept"]
    expected = SentenceTransformer(str(folder), device="cpu").encode(texts, batch_size=1)
    encoder, batch = open_encoder(folder, dtype="float32"), batch_of(folder, texts)
    for vectors in (encoder.run(batch).rows, backwards(encoder, batch), one_by_one(encoder, batch)):
        np.testing.assert_allclose(vectors, expected, atol=1e-5)


@pytest.mark.parametrize("family", sorted(set(configs()) - PADDED))
def test_a_batch_may_hold_more_tokens_than_the_model_has_positions(tmp_path: Path, family: str) -> None:
    folder = build_embedding_model(tmp_path, family=family)
    encoder, batch = open_encoder(folder, dtype="float32"), batch_of(folder, [LONG] * 5)
    np.testing.assert_allclose(encoder.run(batch).rows, one_by_one(encoder, batch), atol=1e-6)


@pytest.mark.parametrize("family", sorted(configs()))
def test_no_family_is_padded_that_need_not_be(tmp_path: Path, family: str) -> None:
    folder = build_embedding_model(tmp_path, family=family)
    assert read_forward(folder) == ("padded" if family in PADDED else "packed")


@pytest.mark.parametrize("family", ["bert", "distilbert", "electra", "mpnet", "modernbert", "xlm-roberta"])
def test_scores_are_those_of_the_cross_encoder_whatever_runs_beside_them(tmp_path: Path, family: str) -> None:
    folder = build_cross_encoder(tmp_path, family=family)
    reference = CrossEncoder(str(folder), device="cpu", max_length=MAX_TOKENS)
    query = "what ran over the snow"
    expected = reference.predict(
        [(query, text) for text in TEXTS], batch_size=1, activation_fn=torch.nn.Identity()
    )
    encoder = open_encoder(folder, "reranking", dtype="float32")
    batch = batch_of(folder, TEXTS, query)
    for scores in (encoder.run(batch).rows, backwards(encoder, batch), one_by_one(encoder, batch)):
        np.testing.assert_allclose(scores[:, 0], expected, atol=1e-5)


def test_a_decoder_with_a_head_is_scored_by_its_last_token(tmp_path: Path) -> None:
    folder = build_cross_encoder(tmp_path, family="qwen3", labels=2)
    reference = CrossEncoder(str(folder), device="cpu", max_length=MAX_TOKENS)
    expected = reference.predict(
        [("what", text) for text in TEXTS], batch_size=1, activation_fn=torch.nn.Identity()
    )
    encoder, batch = open_encoder(folder, "reranking", dtype="float32"), batch_of(folder, TEXTS, "what")
    assert read_forward(folder, "reranking") == "packed"
    np.testing.assert_allclose(encoder.run(batch).rows, expected, atol=1e-5)


@pytest.mark.parametrize(
    "pooling", ["mean", "cls", "max", "lasttoken", "weightedmean", "mean_sqrt_len_tokens"]
)
def test_every_pooling_is_that_of_sentence_transformers(tmp_path: Path, pooling: str) -> None:
    folder = build_embedding_model(tmp_path, pooling, dense=True)
    expected = SentenceTransformer(str(folder), device="cpu").encode(TEXTS, batch_size=1)
    encoder = open_encoder(folder, dtype="float32")
    np.testing.assert_allclose(encoder.run(batch_of(folder, TEXTS)).rows, expected, atol=1e-5)


def test_the_side_that_a_tokenizer_pads_on_changes_nothing(tmp_path: Path) -> None:
    folder = build_embedding_model(tmp_path, "lasttoken", family="mpnet", pad_left=True)
    expected = SentenceTransformer(str(folder), device="cpu").encode(TEXTS, batch_size=1)
    encoder = open_encoder(folder, dtype="float32")
    np.testing.assert_allclose(encoder.run(batch_of(folder, TEXTS)).rows, expected, atol=1e-5)


@pytest.mark.parametrize("family", sorted(set(configs()) - PADDED))
def test_bfloat16_points_the_same_way(tmp_path: Path, family: str) -> None:
    folder = build_embedding_model(tmp_path, family=family)
    texts = [*TEXTS, LONG]
    batch = batch_of(folder, texts)
    exact = open_encoder(folder, dtype="float32").run(batch).rows
    narrow = open_encoder(folder, dtype="bfloat16").run(batch).rows
    assert (exact * narrow).sum(axis=1).min() > 0.999
    assert not np.array_equal(exact, narrow)


def test_bfloat16_needs_no_instructions_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = build_embedding_model(tmp_path)
    batch = batch_of(folder, [*TEXTS, LONG])
    exact = open_encoder(folder, dtype="float32").run(batch).rows
    monkeypatch.setattr(native, "SUPPORTED", False)
    narrow = open_encoder(folder, dtype="bfloat16").run(batch).rows
    assert (exact * narrow).sum(axis=1).min() > 0.999


def test_a_padded_model_runs_in_float32_and_says_so(tmp_path: Path) -> None:
    folder = build_embedding_model(tmp_path, family="mpnet")
    hello = Encoder(folder, weights_sha256(folder), "embedding", Placement(device="cpu")).load()
    assert (hello["dtype"], hello["note"]) == ("float32", "its attention cannot be replaced")
    with pytest.raises(ModelLoadError, match="runs in float32 only, not in bfloat16"):
        open_encoder(folder, dtype="bfloat16")


def test_token_vectors_are_the_hidden_states_behind_the_vector(tmp_path: Path) -> None:
    folder = build_embedding_model(tmp_path, "mean")
    batch = batch_of(folder, TEXTS, token_rows=[3, 1])
    model = SentenceTransformer(str(folder), device="cpu")
    expected = model.encode(TEXTS, batch_size=1, output_value="token_embeddings")
    output = open_encoder(folder, dtype="float32").run(batch)
    for states, row in zip(output.tokens, batch.token_rows, strict=True):
        np.testing.assert_allclose(states, expected[row], atol=1e-5)


def test_quantised_token_vectors_keep_their_directions(tmp_path: Path) -> None:
    folder = build_embedding_model(tmp_path, "mean")
    encoder, rows = open_encoder(folder), list(range(len(TEXTS)))
    exact = encoder.run(batch_of(folder, TEXTS, token_rows=rows))
    codes = encoder.run(batch_of(folder, TEXTS, token_rows=rows, token_dtype="int8"))
    for floats, bytes_ in zip(exact.tokens, codes.tokens, strict=True):
        assert bytes_.dtype == np.int8
        cosines = (unit(floats) * unit(bytes_.astype(np.float32))).sum(axis=1)
        assert cosines.min() > 0.9995


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", ["embedding", "reranking"])
def test_parts_that_run_beside_each_other_do_not_mix(tmp_path: Path, kind: str) -> None:
    build = build_embedding_model if kind == "embedding" else build_cross_encoder
    folder = build(tmp_path)
    texts = [*TEXTS, LONG] * 40
    batch = batch_of(folder, texts, "what ran" if kind == "reranking" else None)
    alone = open_encoder(folder, kind, dtype="float32", threads=1).run(batch).rows
    beside = open_encoder(folder, kind, dtype="float32", threads=4)
    for _ in range(5):
        np.testing.assert_allclose(beside.run(batch).rows, alone, atol=1e-6)


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_compiled_model_gives_the_same(tmp_path: Path) -> None:
    folder = build_embedding_model(tmp_path, "mean")
    batch = batch_of(folder, TEXTS)
    plain = open_encoder(folder, dtype="float32").run(batch)
    compiled = open_encoder(folder, dtype="float32", compile=True).run(batch)
    np.testing.assert_allclose(compiled.rows, plain.rows, atol=1e-5)


def test_a_row_that_is_not_finite_is_told_also_where_there_is_no_room_for_a_second_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = build_embedding_model(tmp_path)
    encoder, batch = open_encoder(folder, dtype="float32"), batch_of(folder, TEXTS[:3])
    forward, wrong = encoder._forward, len(batch.ids[1])

    class Overflowing:
        name, note = forward.name, ""

        def __call__(self, ids: list[np.ndarray], seconds: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
            rows, hidden = forward(ids, seconds)
            rows[[len(one) == wrong for one in ids]] = torch.inf
            return rows, hidden

    def no_room(*_arguments: object) -> None:
        raise ModelLoadError("the device has no memory left")

    monkeypatch.setattr(encoder, "_forward", Overflowing())
    monkeypatch.setattr("embedd.worker.models.read_model", no_room)
    output = encoder.run(batch)
    assert output.bad == [row for row, ids in enumerate(batch.ids) if len(ids) == wrong]
    assert np.isfinite(np.delete(output.rows, output.bad, axis=0)).all()
