"""``embedd keys`` over a data folder, and over a service that asks for keys."""

import re
from pathlib import Path

from commands import embedd
from real_service import Launcher, open_launcher

KEY = re.compile(r"embedd_[0-9a-f]{16}_\S{43}")


def test_the_first_key_is_made_without_a_service_and_opens_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    made = embedd("keys", "create", "boss", "--scope", "admin", "--data", str(data))
    assert made.exit_code == 0, made.stderr
    key = made.stdout.strip()
    assert KEY.fullmatch(key)
    assert all(key.encode() not in path.read_bytes() for path in data.rglob("*") if path.is_file())
    with open_launcher(tmp_path) as launcher:
        check_over_http(launcher, data, key)
    ended = embedd("keys", "revoke", key.split("_")[1], "--data", str(data))
    assert ended.exit_code == 0, ended.stderr
    assert "revoked" in embedd("keys", "list", "--data", str(data)).stdout


def check_over_http(launcher: Launcher, data: Path, key: str) -> None:
    service = launcher.start(data=data)
    at = {"EMBEDD_URL": service.url}
    refused = embedd("collections", "list", **at)
    assert (refused.exit_code, "needs an API key" in refused.stderr) == (1, True)
    opened = at | {"EMBEDD_API_KEY": key}
    assert embedd("collections", "list", **opened).exit_code == 0
    made = embedd("keys", "create", "reader", "-c", "notes", "--acl", "sea", **opened)
    assert KEY.fullmatch(made.stdout.strip()), made.stderr
    listed = embedd("keys", "list", **opened, COLUMNS="200").stdout
    assert "collections notes; tags sea" in listed
    revoked = embedd("keys", "revoke", made.stdout.split("_")[1], **opened)
    assert revoked.exit_code == 0, revoked.stderr
    busy = embedd("keys", "list", "--data", str(data))
    assert "--url" in busy.stderr
    assert key.split("_")[2] not in service.log.read_text()
