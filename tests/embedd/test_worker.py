"""The torch side: tiny random models against sentence-transformers itself, and real workers."""

import json
import socket
import sys
import threading
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from tiny_models import TEXTS, build_embedding_model

from embedd.embedder import Lane, open_embedder
from embedd.errors import ModelLoadError, ModelUnavailable
from embedd.frames import receive_frame, send_frame
from embedd.sources import resolve, weights_sha256
from embedd.specs import ModelFiles, ModelSpec, parse_spec
from embedd.tokenizer import read_tokenizer
from embedd.worker import __main__ as worker_main
from embedd.worker.backend import Batch, OutOfMemory
from embedd.worker.encoder import Encoder, Placement
from embedd.worker.forward import pad

CPU = Placement(device="cpu", dtype="float32")


def open_encoder(folder: Path) -> Encoder:
    encoder = Encoder(folder, weights_sha256(folder), "embedding", CPU)
    encoder.load()
    return encoder


def embed(encoder: Encoder, ids: list[np.ndarray]) -> tuple[np.ndarray, list[int]]:
    output = encoder.run(Batch(ids, np.full(len(ids), -1, dtype=np.int32)))
    return output.rows, list(output.bad)


def ids_of(folder: Path, texts: list[str]) -> list[np.ndarray]:
    files = ModelFiles.read(folder)
    tokenizer = read_tokenizer(files.tokenizer_folder, lowercase=files.lowercase)
    return [one.ids for one in tokenizer.encode(texts, files.max_tokens, "end")]


def test_texts_are_cut_where_sentence_transformers_cuts_them(tmp_path: Path) -> None:
    folder = build_embedding_model(tmp_path, "mean")
    long = "the red fox ran over snow " * 10
    expected = SentenceTransformer(str(folder), device="cpu").encode([long])
    np.testing.assert_allclose(embed(open_encoder(folder), ids_of(folder, [long]))[0], expected, atol=1e-5)


def poison(folder: Path, word: int) -> None:
    """Makes the model on disk give no number for that token."""
    weights = load_file(folder / "model.safetensors")
    weights["embeddings.word_embeddings.weight"][word] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_a_row_without_finite_numbers_is_reported_and_spares_its_neighbours(tmp_path: Path) -> None:
    folder = build_embedding_model(tmp_path, "mean")
    ids = ids_of(folder, TEXTS)
    good, _ = embed(open_encoder(folder), ids)
    poison(folder, ids[2][1])
    vectors, bad = embed(open_encoder(folder), ids)
    assert bad == [2]
    np.testing.assert_allclose(vectors[[0, 1, 3]], good[[0, 1, 3]], atol=1e-6)


def test_a_row_that_only_the_fast_forward_gets_wrong_is_computed_again_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = build_embedding_model(tmp_path, "mean")
    expected = SentenceTransformer(str(folder), device="cpu").encode(TEXTS, batch_size=1)
    encoder, ids = open_encoder(folder), ids_of(folder, TEXTS)
    fast = encoder._forward

    def overflow(*batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        rows, hidden = fast(*batch)
        rows[-1] = float("inf")  # the longest
        return rows, hidden

    monkeypatch.setattr(encoder, "_forward", overflow)
    vectors, bad = embed(encoder, ids)
    assert bad == []
    np.testing.assert_allclose(vectors[1], expected[1], atol=1e-6)


def test_a_batch_that_does_not_fit_into_memory_is_halved_until_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = build_embedding_model(tmp_path, "mean")
    encoder, ids = open_encoder(folder), ids_of(folder, TEXTS)
    good, _ = embed(encoder, ids)
    fast, sizes = encoder._forward, []

    def small_memory(ids: Any, seconds: Any) -> Any:
        sizes.append(len(ids))
        if len(ids) > 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
        return fast(ids, seconds)

    monkeypatch.setattr(encoder, "_forward", small_memory)
    vectors, _ = embed(encoder, ids)
    assert sizes == [4, 2, 1, 1, 2, 1, 1]
    np.testing.assert_allclose(vectors, good, atol=1e-6)


def test_a_sequence_that_does_not_fit_alone_is_a_typed_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = open_encoder(build_embedding_model(tmp_path, "mean"))
    monkeypatch.setattr(encoder, "_forward", Mock(side_effect=torch.OutOfMemoryError("CUDA out of memory")))
    with pytest.raises(OutOfMemory, match="2 tokens need more memory"):
        embed(encoder, [np.array([2, 3], dtype=np.int32)])


def test_any_other_failure_is_not_taken_for_one_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = open_encoder(build_embedding_model(tmp_path, "mean"))
    monkeypatch.setattr(encoder, "_forward", Mock(side_effect=RuntimeError("CUDA error: illegal access")))
    with pytest.raises(RuntimeError, match="illegal access"):
        embed(encoder, [np.array([2, 3], dtype=np.int32)])


def test_other_weights_than_expected_are_not_loaded(tmp_path: Path) -> None:
    folder = build_embedding_model(tmp_path, "mean")
    with pytest.raises(ModelLoadError, match="not the expected ones"):
        Encoder(folder, "0" * 64, "embedding", CPU).load()


def test_weights_that_do_not_fit_the_config_are_a_load_error(tmp_path: Path) -> None:
    folder = build_embedding_model(tmp_path, "mean")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 64}))
    with pytest.raises(ModelLoadError, match="cannot be loaded"):
        open_encoder(folder)


def test_padding_goes_to_the_right() -> None:
    tokens, mask = pad([np.array([5, 6], dtype=np.int32), np.array([7], dtype=np.int32)], 9)
    assert (tokens.tolist(), mask.tolist()) == ([[5, 6], [7, 9]], [[1, 1], [1, 0]])


def test_the_entry_serves_load_and_embed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exits: threading.Event
) -> None:
    folder = build_embedding_model(tmp_path, "mean")
    ours, theirs = socket.socketpair()
    arguments = ["--backend", "sentence-transformers", "--folder", str(folder), "--device", "cpu"]
    arguments += ["--dtype", "float32", "--sha256", weights_sha256(folder), "--fd", str(theirs.detach())]
    monkeypatch.setattr(sys, "argv", ["embedd.worker", *arguments])
    server = threading.Thread(target=worker_main.main)
    server.start()
    ids = ids_of(folder, TEXTS)
    payload = {
        "ids": np.concatenate(ids),
        "lengths": [len(one) for one in ids],
        "seconds": [-1] * len(ids),
    }
    payload |= {"token_rows": [], "token_dtype": "float32"}
    with ours:
        send_frame(ours, {"id": 0, "op": "load", "payload": {}})
        send_frame(ours, {"id": 1, "op": "run", "payload": payload})
        hello, reply = receive_frame(ours), receive_frame(ours)
    server.join()
    assert exits.wait(timeout=10)
    assert hello is not None
    assert reply is not None
    assert (hello["reply"]["dim"], hello["reply"]["device"]) == (32, "cpu")
    np.testing.assert_allclose(reply["reply"]["rows"], embed(open_encoder(folder), ids)[0], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "cosine"), [("float32", 1 - 1e-6), ("auto", 0.9995)])
async def test_the_bundled_model_gives_the_vectors_of_sentence_transformers_through_a_worker(
    dtype: str, cosine: float
) -> None:
    texts = [f"{text}, number {n}" for n in range(10) for text in TEXTS]
    async with open_embedder(parse_spec("all-MiniLM-L6-v2", device="cpu", dtype=dtype)) as embedder:
        answer = await embedder.embed(texts, lane=Lane.BULK)
        status = Path(f"/proc/{embedder.worker_pids[0]}/status").read_text()  # noqa: ASYNC240
    model = SentenceTransformer(str(resolve(parse_spec("all-MiniLM-L6-v2")).folder), device="cpu")
    expected = model.encode(texts)
    if dtype == "float32":
        np.testing.assert_allclose(answer.vectors, expected, atol=1e-5)
    assert (answer.vectors * expected).sum(axis=1).min() > cosine
    assert int(status.split("VmHWM:")[1].split()[0]) < 800 * 1024


async def test_a_model_whose_weights_change_under_the_service_is_not_loaded(tmp_path: Path) -> None:
    folder = build_embedding_model(tmp_path, "mean")
    weights = folder / "model.safetensors"
    async with open_embedder(ModelSpec("mine", f"folder:{folder}", device="cpu")) as embedder:
        weights.write_bytes(weights.read_bytes()[:-8] + b"torn....")
        with pytest.raises(ModelUnavailable, match="are not the expected ones"):
            await embedder.embed(["the red fox"])
        assert embedder.status.state == "failed"
