"""Requests that /openapi.json allows, and such that it nearly does: no answer is a failure of the service,
and each is as it is described there. ``make fuzz`` runs this file for half an hour, a test does for a moment.

https://schemathesis.readthedocs.io
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
from real_service import Launcher, Service, open_launcher

ADMIN_KEY = "the-key-of-the-administrator-in-a-file"
_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
_SEED = 8
_TEXTS = {"one": "Spring tides come at new moon.", "two": "Neap tides come a week later."}


def start_described(launcher: Launcher) -> Service:
    """A service whose every route can be asked for something that is there. It has keys: the first one that
    is made would lock everybody out.
    """
    (launcher.folder / "admin").write_text(ADMIN_KEY)
    flags = ("--admin-key-file", str(launcher.folder / "admin"), "--debug-endpoints", "true")
    return launcher.start(*flags, "--generator", "fake", "--reranker", "fake-reranker")


def fuzz(service: Service, *options: str) -> "subprocess.CompletedProcess[str]":
    """Try the contract of ``service``; its exit status is 0 if everything was as it should be."""
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    with service.client(headers=headers) as client:
        known = _fill(client)
    environment = os.environ | {
        "KNOWN": json.dumps(known),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *_own_path()]),
        "SCHEMATHESIS_HOOKS": "contract_hooks",
    }
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{service.url}/openapi.json"]
    command += ["-H", f"Authorization: Bearer {ADMIN_KEY}", "-c", ",".join(_CHECKS), "--seed", str(_SEED)]
    command += ["--continue-on-failure", "--suppress-health-check", "all", "--request-timeout", "60"]
    # These may be fetched from anywhere, and each is a process.
    command += ["--exclude-path", "/v1/models", "--exclude-path", "/v1/models/batch"]
    return subprocess.run(
        [*command, *options], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False, cwd=service.data,
    )  # fmt: skip


def _own_path() -> list[str]:
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]


def _fill(client: httpx.Client) -> dict[str, list[str]]:
    """What there is, by the parts of paths that lead to it."""
    client.put("/v1/collections/notes", json={"token_vectors": "2bit"}).raise_for_status()
    client.put("/v1/collections/points", json={"dim": 2}).raise_for_status()
    client.put("/v1/aliases/alias", json={"collection": "notes"}).raise_for_status()
    documents = [{"id": id, "text": text, "metadata": {"lang": "en"}} for id, text in _TEXTS.items()]
    path = "/v1/collections/notes/documents"
    job = client.post(path, json={"documents": documents}).raise_for_status().json()["job"]["id"]
    points = {"points": [{"id": "one", "vector": [1, 0]}]}
    client.post("/v1/collections/points/points", json=points).raise_for_status()
    conversation = client.post("/v1/conversations", json={}).raise_for_status().json()["id"]
    return {
        "aliases": ["alias"],
        "collections": ["notes", "points", "alias"],
        "conversations": [conversation],
        "documents": [*_TEXTS],
        "jobs": [job],
        "models": ["fake"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as folder, open_launcher(Path(folder)) as launcher:
        done = fuzz(start_described(launcher), "--max-time", str(round(minutes * 60)))
    sys.stdout.write(done.stdout)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
