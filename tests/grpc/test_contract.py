"""The protos, what is generated from them, and the tables that go with them."""

import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from grpc import StatusCode

from api.errors import ROWS
from api.grpc.methods import METHODS
from api.grpc.statuses import FINER, STATUSES, refuse_as_grpc
from api.grpc.v1 import embedder_pb2, index_pb2, inferencer_pb2, worker_pb2

ROOT = Path(__file__).parents[2]
PROTOS = ROOT / "api/grpc/protos"
STUBS = ROOT / "api/grpc/v1"
BUF = str(Path(sys.executable).with_name("buf"))


def test_the_stubs_are_what_the_protos_make(tmp_path: Path) -> None:
    spec = spec_from_file_location("stubs", ROOT / "deploy/stubs.py")
    assert spec is not None
    assert spec.loader is not None
    stubs = module_from_spec(spec)
    spec.loader.exec_module(stubs)
    made = {file.name: file.read_text("utf-8") for file in stubs.write_stubs(tmp_path)}
    committed = {file.name: file.read_text("utf-8") for file in STUBS.glob("*_pb2*")}
    assert made == committed, "run `make stubs`"


@pytest.mark.parametrize("command", [["lint"], ["format", "--exit-code", "--diff"]])
def test_the_protos_are_as_buf_wants_them(command: list[str]) -> None:
    done = subprocess.run([BUF, *command, str(PROTOS)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_method_of_the_protos_is_answered() -> None:
    files = (embedder_pb2, index_pb2, inferencer_pb2, worker_pb2)
    promised = {
        f"{service.full_name}/{method.name}"
        for file in files
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    answered = {method.name for method in METHODS if method.name.startswith("embedd.")}
    assert answered == promised


def test_every_domain_error_has_a_status() -> None:
    assert {row.status for row in ROWS.values()} <= STATUSES.keys()
    assert FINER.keys() <= {row.code for row in ROWS.values()}


def test_what_nobody_foresaw_is_internal_and_says_nothing() -> None:
    told = refuse_as_grpc(RuntimeError("a secret"))
    assert told.code is StatusCode.INTERNAL
    assert "secret" not in told.message
