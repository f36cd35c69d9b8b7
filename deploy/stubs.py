"""Writes the Python that stands for the protos, api/grpc/v1, anew from api/grpc/protos (``make stubs``).

protoc names modules by the folders of the protos, here ``embedd/v1``, which is inside of another package of
ours. So what it writes is moved, and its imports with it. A test holds that what is committed is fresh.
"""

import re
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "api/grpc/protos"
TARGET = ROOT / "api/grpc/v1"


def write_stubs(target: Path) -> list[Path]:
    """Generate the modules and their types into ``target``; the files that were written.

    Raises:
        RuntimeError: protoc refused the protos; it has said why.
    """
    sources = sorted(str(file.relative_to(PROTOS)) for file in PROTOS.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        outputs = [f"--{kind}_out={folder}" for kind in ("python", "pyi", "grpc_python")]
        includes = [f"--proto_path={PROTOS}", f"--proto_path={files('grpc_tools') / '_proto'}"]
        if protoc.main(["protoc", *includes, *outputs, *sources]):
            raise RuntimeError(f"protoc refused {', '.join(sources)}")
        made = sorted(file for file in Path(folder).rglob("*") if file.is_file() and not _is_empty(file))
        return [_moved(file, target) for file in made]


def _is_empty(file: Path) -> bool:
    """Of a proto without services, the module for services."""
    return file.name.endswith("_pb2_grpc.py") and "class " not in file.read_text("utf-8")


def _moved(file: Path, target: Path) -> Path:
    text = re.sub(
        r"^from embedd\.v1 import", "from api.grpc.v1 import", file.read_text("utf-8"), flags=re.MULTILINE
    )
    place = target / file.name
    place.write_text(text, encoding="utf-8")
    return place


if __name__ == "__main__":
    TARGET.mkdir(exist_ok=True)
    print(f"{len(write_stubs(TARGET))} files in {TARGET.relative_to(ROOT)}")
