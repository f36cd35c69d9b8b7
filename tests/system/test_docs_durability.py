"""The commands of docs/operations.md that check, copy and move data do so, one after the other."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from real_service import Launcher, environment

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
EMBEDD = str(Path(sys.executable).with_name("embedd"))
TEXT = "The moon pulls the sea."


def commands(*names: str) -> list[list[str]]:
    """Those of the page that begin with one of these, in order."""
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    found = [shlex.split(line) for block in blocks for line in block.splitlines()]
    return [words[1:] for words in found if words[0].endswith("/embedd") and words[1] in names]


def run(words: list[str], folder: Path, url: str = "") -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [EMBEDD, *words],
        cwd=folder,
        env=environment() | {"EMBEDD_URL": url, "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done


@pytest.mark.slow
def test_data_is_copied_moved_checked_and_restored_as_the_page_says(
    services: Launcher, tmp_path: Path
) -> None:
    data = tmp_path / "embedd-data"
    service = services.start(data=data)
    with service.client() as client:
        client.put("/v1/collections/documents", json={}).raise_for_status()
        body = {"documents": [{"id": "moon", "text": TEXT, "metadata": {"lang": "en"}}]}
        client.post("/v1/collections/documents/documents?wait=true", json=body).raise_for_status()
        for words in commands("backup", "export", "import"):
            run(words, tmp_path, service.url)
        whole = client.get("/v1/collections/documents/export").text.splitlines()
        for name in ("copy", "copy-2"):
            copy = client.get(f"/v1/collections/{name}/export").text.splitlines()
            assert copy[1:] == whole[1:], name
        client.delete("/v1/collections/documents/documents/moon").raise_for_status()
    assert service.stop() == 0
    for words in commands("check", "restore"):
        shown = run(words, tmp_path)
        assert words[-1] != "--json" or json.loads(shown.stdout)["whole"]
    for folder in (data, tmp_path / "embedd-data-2"):
        service = services.start(data=folder)
        with service.client() as client:
            found = client.get("/v1/collections/documents/documents/moon?include=text").json()
            assert (found["text"], found["version"]) == (TEXT, 1)
        service.stop()


def test_the_page_has_every_one_of_these_commands() -> None:
    names = ("check", "backup", "restore", "export", "import")
    assert {words[0] for words in commands(*names)} == set(names)
