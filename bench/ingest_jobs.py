"""What does it cost to ingest again, and is anything lost when a job is killed?

Unchanged: a folder of files, as many as SQuAD has passages, made into a collection by the command with --sync
and then again: seconds, and the passages that the model was given, by /metrics. Paragraph: a long document of
which one paragraph changes: the share of its passages that is embedded again, with headings and without.
Kills: a job gets SIGKILL somewhere on its way and goes on in the next process, again and again: documents
that are lost, and those that were written twice.
"""

import importlib
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvloop

from harness.corpora import SourceDocument, load_squad
from harness.options import REPOSITORY, Options, parse_options
from harness.report import machine, print_table, write
from harness.service import Service, open_service
from harness.targets import Goal, print_goals

PARTS = ("unchanged", "paragraph", "kills")
JOB_DOCUMENTS = 300
NOTES = "/v1/collections/notes"


@dataclass(frozen=True, slots=True)
class Effort:
    """How many files, changed paragraphs and kills."""

    files: int
    changes: int
    kills: int


FULL = Effort(files=1_165, changes=8, kills=50)
QUICK = Effort(files=200, changes=2, kills=3)


async def unchanged(documents: Sequence[SourceDocument]) -> dict[str, Any]:
    """The command's own seconds, its start included, and what the model was given meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        for document in documents:
            (Path(folder) / f"{document.id}.txt").write_text(document.text, encoding="utf-8")
        async with open_service(settings={"cache_bytes": "0"}) as service:
            first_s, first = _counted(service, lambda: _sync(service, folder))
            again_s, again = _counted(service, lambda: _sync(service, folder))
    return {
        "files": len(documents),
        "first_s": first_s,
        "first_embedded": first,
        "again_s": again_s,
        "again_embedded": again,
    }


def _sync(service: Service, folder: str) -> None:
    command = [sys.executable, "-m", "api", "ingest", folder, "--sync", "--url", service.url]
    subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)


def _counted(service: Service, work: Callable[[], Any]) -> tuple[float, int]:
    """Seconds, and the inputs that the model was given."""
    before, began = _embedded(service), time.perf_counter()
    work()
    return time.perf_counter() - began, _embedded(service) - before


def _embedded(service: Service) -> int:
    text = httpx.get(f"{service.url}/metrics", trust_env=False).text
    return int(sum(map(float, re.findall(r"^embedd_batch_items_sum\{.*\} (\S+)$", text, re.MULTILINE))))


async def paragraph(documents: Sequence[SourceDocument], changes: int) -> dict[str, Any]:
    """Shares of the passages, one for each changed paragraph."""
    async with open_service(settings={"cache_bytes": "0"}) as service:
        return {
            "with_headings": _shares(service, documents, changes, every=10),
            "without_headings": _shares(service, documents, changes, every=len(documents)),
        }


def _shares(
    service: Service, documents: Sequence[SourceDocument], changes: int, *, every: int
) -> dict[str, Any]:
    """Of a document with a heading above ``every`` so many paragraphs."""
    paragraphs = [document.text for document in documents]
    chance, shares = random.Random(1), []
    with httpx.Client(base_url=service.url, trust_env=False, timeout=600.0) as client:
        client.put(NOTES, json={}).raise_for_status()
        passages = _write(client, paragraphs, every)
        for place in chance.sample(range(len(paragraphs)), changes):
            paragraphs[place] = f"As was found only lately: {paragraphs[place]}"
            _, embedded = _counted(service, lambda: _write(client, paragraphs, every))
            shares.append(embedded / passages)
        client.delete(NOTES).raise_for_status()
    return {"passages": passages, "median_share": statistics.median(shares), "worst_share": max(shares)}


def _write(client: httpx.Client, paragraphs: Sequence[str], every: int) -> int:
    """How many passages the document has."""
    parts = [
        f"# Part {place // every}\n\n{text}" if place % every == 0 else text
        for place, text in enumerate(paragraphs)
    ]
    document = {"id": "long.md", "text": "\n\n".join(parts), "format": "markdown"}
    answer = client.post(f"{NOTES}/documents", params={"wait": "true"}, json={"documents": [document]})
    answer.raise_for_status()
    passages: int = answer.json()["documents"][0]["passages"]
    return passages


def kills(count: int) -> dict[str, Any]:
    """One job a kill, each on documents of its own, over one data folder."""
    sys.path.append(str(REPOSITORY / "tests" / "support"))
    processes = importlib.import_module("real_service")
    chance, lost, doubled, resumed_s = random.Random(1), 0, 0, []
    with tempfile.TemporaryDirectory() as folder, processes.open_launcher(Path(folder)) as launcher:
        service = launcher.start()
        with service.client() as client:
            client.put(NOTES, json={}).raise_for_status()
        for number in range(count):
            job = _kill_in_the_middle(service, number, chance.randrange(JOB_DOCUMENTS - 50))
            service = launcher.start(data=service.data)
            with service.client() as client:
                resumed_s.append(_until_finished(client, job))
                versions = _versions(client, f"k{number}-")
            lost += JOB_DOCUMENTS - len(versions)
            doubled += sum(version > 1 for version in versions)
    return {
        "kills": count,
        "documents": count * JOB_DOCUMENTS,
        "lost": lost,
        "doubled": doubled,
        "finished_after_median_s": statistics.median(resumed_s),
    }


def _kill_in_the_middle(service: Any, number: int, at: int) -> str:
    """The job that was killed when ``at`` of its documents were done, or soon after."""
    documents = [{"id": f"k{number}-{n}", "text": f"Tide {n} of day {number}."} for n in range(JOB_DOCUMENTS)]
    with service.client() as client:
        answer = client.post(f"{NOTES}/documents", json={"documents": documents})
        job: str = answer.raise_for_status().json()["job"]["id"]
        while client.get(f"/v1/jobs/{job}").json()["done"] < at:
            pass
        service.kill()
    return job


def _until_finished(client: httpx.Client, job: str) -> float:
    began = time.perf_counter()
    while (found := client.get(f"/v1/jobs/{job}").json())["status"] == "running":
        time.sleep(0.02)
    assert (found["done"], found["failed"]) == (JOB_DOCUMENTS, 0), found
    return time.perf_counter() - began


def _versions(client: httpx.Client, prefix: str) -> list[int]:
    """Of the documents whose id begins so; every write of one makes it higher."""
    page = (
        client.get(f"{NOTES}/documents", params={"limit": 1000, "after": prefix})
        .raise_for_status()
        .json()["documents"]
    )
    return [document["version"] for document in page if document["id"].startswith(prefix)]


def goals(figures: dict[str, Any]) -> list[Goal]:
    """What the parts that were run have to reach."""
    found = []
    if again := figures.get("unchanged"):
        found += [
            Goal("unchanged folder, seconds", again["again_s"], "at most", 10, "s"),
            Goal("unchanged folder, embedded", again["again_embedded"], "at most", 0),
        ]
    if shares := figures.get("paragraph"):
        for name, part in shares.items():
            words = f"embedded again, {name.replace('_', ' ')}"
            found.append(Goal(words, part["worst_share"], "at most", 0.03, "%"))
    if killed := figures.get("kills"):
        found += [Goal(name, killed[name], "at most", 0) for name in ("lost", "doubled")]
    return found


def run(options: Options) -> None:
    effort, before = QUICK if options.quick else FULL, machine()
    documents = load_squad(options.data).documents[: effort.files]
    figures: dict[str, Any] = {}
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "unchanged": lambda: uvloop.run(unchanged(documents)),
        "paragraph": lambda: uvloop.run(paragraph(documents, effort.changes)),
        "kills": lambda: kills(effort.kills),
    }
    for part in options.parts:
        figures[part] = parts[part]()
    print_table("ingest_jobs", ["part", "figures"], [[part, str(found)] for part, found in figures.items()])
    reached = goals(figures)
    print_goals(reached)
    figures["goals"] = [goal.as_figure() for goal in reached]
    write(options.out, figures, {"quick": options.quick, "job_documents": JOB_DOCUMENTS}, before)


if __name__ == "__main__":
    run(parse_options("ingest_jobs", "What ingesting again costs, and what a killed job loses.", parts=PARTS))
