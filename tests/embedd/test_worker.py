"""The torch side: tiny random models against sentence-transformers itself, and real workers."""

import json
import socket
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules as st_modules
from tokenizers import Tokenizer as TokenizersTokenizer
from tokenizers import models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, BertTokenizerFast

from embedd.embedder import Lane, open_embedder
from embedd.errors import ModelLoadError, ModelUnavailable
from embedd.frames import receive_frame, send_frame
from embedd.sources import resolve, weights_sha256
from embedd.specs import ModelFiles, ModelSpec, parse_spec
from embedd.tokenizer import read_tokenizer
from embedd.worker import __main__ as worker_main
from embedd.worker.backend import Batch
from embedd.worker.encoder import Encoder, pad

WORDS = ["the", "a", "red", "fox", "river", "stands", "high", "over", "snow", "and", "what", "ran", "slept"]
TEXTS = [
    "the red fox",
    "a river stands high over the snow and the fox slept",
    "what",
    "ran ran ran the river",
]


def build_model(folder: Path, pooling: str, *, dense: bool = False, pad_left: bool = False) -> Path:
    """A BERT of two layers with random weights, as a sentence-transformers folder."""
    torch.manual_seed(7)
    bert = folder / "bert"
    vocabulary = {word: n for n, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])}
    tokenizer = TokenizersTokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    side = "left" if pad_left else "right"
    BertTokenizerFast(tokenizer_object=tokenizer, model_max_length=24, padding_side=side).save_pretrained(
        bert
    )
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(bert)
    parts = [st_modules.Transformer(str(bert)), st_modules.Pooling(32, pooling)]
    parts += [st_modules.Dense(32, 12)] if dense else []
    SentenceTransformer(modules=[*parts, st_modules.Normalize()], device="cpu").save(str(folder / "st"))
    return folder / "st"


def open_encoder(folder: Path) -> Encoder:
    encoder = Encoder(folder, weights_sha256(folder), device="cpu", threads=1)
    encoder.load()
    return encoder


def embed(encoder: Encoder, ids: list[np.ndarray]) -> tuple[np.ndarray, list[int]]:
    output = encoder.run(Batch(ids, np.full(len(ids), -1, dtype=np.int32)))
    return output.rows, list(output.bad)


def ids_of(folder: Path, texts: list[str]) -> list[np.ndarray]:
    files = ModelFiles.read(folder)
    tokenizer = read_tokenizer(files.tokenizer_folder, lowercase=files.lowercase)
    return [one.ids for one in tokenizer.encode(texts, files.max_tokens, "end")]


@pytest.mark.parametrize(
    ("pooling", "options"),
    [
        ("mean", {}),
        ("cls", {"dense": True}),
        ("max", {}),
        ("lasttoken", {"pad_left": True}),
        ("lasttoken", {"dense": True}),
    ],
)
def test_vectors_are_those_of_sentence_transformers_alone_together_and_in_any_order(
    tmp_path: Path, pooling: str, options: dict[str, bool]
) -> None:
    folder = build_model(tmp_path, pooling, **options)
    expected = SentenceTransformer(str(folder), device="cpu").encode(TEXTS, batch_size=1)
    encoder, ids = open_encoder(folder), ids_of(folder, TEXTS)
    together, bad = embed(encoder, ids)
    backwards = embed(encoder, ids[::-1])[0][::-1]
    alone = np.concatenate([embed(encoder, [one])[0] for one in ids])
    assert bad == []
    for vectors in (together, backwards, alone):
        np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_texts_are_cut_where_sentence_transformers_cuts_them(tmp_path: Path) -> None:
    folder = build_model(tmp_path, "mean")
    long = "the red fox ran over snow " * 10
    expected = SentenceTransformer(str(folder), device="cpu").encode([long])
    np.testing.assert_allclose(embed(open_encoder(folder), ids_of(folder, [long]))[0], expected, atol=1e-5)


def test_a_row_without_finite_numbers_is_reported_and_spares_its_neighbours(tmp_path: Path) -> None:
    folder = build_model(tmp_path, "mean")
    encoder, ids = open_encoder(folder), ids_of(folder, TEXTS)
    good, _ = embed(encoder, ids)
    with torch.no_grad():  # the word "what" is poison from now on
        encoder._model[0].model.embeddings.word_embeddings.weight[int(ids[2][1])] = float("nan")
    vectors, bad = embed(encoder, ids)
    assert bad == [2]
    np.testing.assert_allclose(vectors[[0, 1, 3]], good[[0, 1, 3]], atol=1e-6)


def test_other_weights_than_expected_are_not_loaded(tmp_path: Path) -> None:
    folder = build_model(tmp_path, "mean")
    with pytest.raises(ModelLoadError, match="not the expected ones"):
        Encoder(folder, "0" * 64, device="cpu", threads=1).load()


def test_weights_that_do_not_fit_the_config_are_a_load_error(tmp_path: Path) -> None:
    folder = build_model(tmp_path, "mean")
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
    folder = build_model(tmp_path, "mean")
    ours, theirs = socket.socketpair()
    arguments = ["--backend", "sentence-transformers", "--folder", str(folder), "--device", "cpu"]
    arguments += ["--sha256", weights_sha256(folder), "--fd", str(theirs.detach())]
    monkeypatch.setattr(sys, "argv", ["embedd.worker", *arguments])
    server = threading.Thread(target=worker_main.main)
    server.start()
    ids = ids_of(folder, TEXTS)
    lengths = np.array([len(one) for one in ids], dtype=np.int32)
    payload = {
        "ids": np.concatenate(ids),
        "lengths": lengths,
        "seconds": np.full(len(ids), -1, dtype=np.int32),
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
async def test_the_bundled_model_gives_the_vectors_of_sentence_transformers_through_a_worker() -> None:
    texts = [f"{text}, number {n}" for n in range(10) for text in TEXTS]
    async with open_embedder(parse_spec("all-MiniLM-L6-v2", device="cpu")) as embedder:
        answer = await embedder.embed(texts, lane=Lane.BULK)
        status = Path(f"/proc/{embedder.worker_pids[0]}/status").read_text()  # noqa: ASYNC240
    model = SentenceTransformer(str(resolve(parse_spec("all-MiniLM-L6-v2")).folder), device="cpu")
    np.testing.assert_allclose(answer.vectors, model.encode(texts), atol=1e-5)
    assert int(status.split("VmHWM:")[1].split()[0]) < 700 * 1024


@pytest.mark.slow
async def test_a_model_whose_weights_change_under_the_service_is_not_loaded(tmp_path: Path) -> None:
    folder = build_model(tmp_path, "mean")
    weights = folder / "model.safetensors"
    async with open_embedder(ModelSpec("mine", f"folder:{folder}", device="cpu")) as embedder:
        weights.write_bytes(weights.read_bytes()[:-8] + b"torn....")
        with pytest.raises(ModelUnavailable, match="are not the expected ones"):
            await embedder.embed(["the red fox"])
        assert embedder.status.state == "failed"
