"""Collections are copied into a catalog whose passages a Milvus finds, and out of it again."""

import asyncio
from pathlib import Path

from commands import embedd
from pymilvus import MilvusClient
from store_samples import document_of, ids_of, settings_of, vector_of

from index.catalog import open_catalog
from index.milvus.catalog import open_milvus_catalog
from index.rows import Query

NAME = "copied-into-milvus"


async def test_what_is_copied_is_found_by_milvus_and_goes_back(tmp_path: Path, milvus_url: str) -> None:
    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    async with open_catalog(tmp_path / "source") as catalog:
        notes, _ = await catalog.create(settings_of(NAME))
        await notes.upsert([document_of(f"d{n}", n, n + 100) for n in range(20)])
        await notes.delete(["d7"])
    milvus = ("--target-vectors", milvus_url, "--target-vectors-prefix", "copied_")
    there = await asyncio.to_thread(embedd, "copy", source, target, *milvus)
    assert there.exit_code == 0, there.stderr
    names = await asyncio.to_thread(MilvusClient(uri=milvus_url).list_collections)
    assert any(name.startswith("copied_") for name in names)
    back = await asyncio.to_thread(embedd, "copy", target, str(tmp_path / "back"))
    assert back.stdout == there.stdout
    async with (
        open_catalog(tmp_path / "target") as below,
        open_milvus_catalog(below, milvus_url, prefix="copied_") as catalog,
    ):
        found = await catalog.get(NAME)
        await found.mirror.caught_up()
        answer = await found.search(Query(3, vector=vector_of(105), mode="dense"))
        assert "milvus" in answer.plan
        assert ids_of(answer)[0] == "d5#1"
        assert await found.count() == 38
        await catalog.drop(NAME)
