"""The borders: arrows go from api to embedd and to index, and torch stays in the worker."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {"embedd": {"embedd"}, "index": {"index"}, "api": {"api", "embedd", "index"}}
OURS = set(MAY_IMPORT)
WORKER_ONLY = {"torch", "sentence_transformers", "transformers"}
OPTIONAL = {"index.postgres.database", "index.postgres.opening", "asyncpg"}
GRPC_ONLY = {"google", "grpc", "grpc_health", "grpc_reflection"}
HTTP_ONLY = {"aiohttp", "aiohttp_sse"}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported_modules(module: Path) -> set[str]:
    """The whole name of each that ``module`` imports: a module, or what is in one."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative imports hide the layer"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def imported_roots(module: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported_modules(module)}


@pytest.mark.parametrize("package", sorted(OURS))
def test_arrows_between_packages_go_one_way(package: str) -> None:
    wrong = {
        str(module.relative_to(ROOT)): imported_roots(module) & OURS - MAY_IMPORT[package]
        for module in modules(package)
    }
    assert {name: roots for name, roots in wrong.items() if roots} == {}


def test_only_the_worker_imports_torch() -> None:
    outside = [module for package in OURS for module in modules(package) if "worker" not in module.parts]
    assert outside
    assert [str(module) for module in outside if imported_roots(module) & WORKER_ONLY] == []


def test_only_the_http_layer_and_the_clients_of_upstreams_know_aiohttp() -> None:
    clients = {ROOT / "embedd" / "upstream" / "client.py", ROOT / "embedd" / "remote" / "http.py"}
    allowed = {ROOT / "api" / "app.py", *clients, *modules("api/http")}
    others = [module for package in OURS for module in modules(package) if module not in allowed]
    assert [str(module) for module in others if imported_roots(module) & HTTP_ONLY] == []


def test_only_the_grpc_layer_knows_grpc() -> None:
    allowed = modules("api/grpc")
    others = [module for package in OURS for module in modules(package) if module not in allowed]
    assert [str(module) for module in others if imported_roots(module) & GRPC_ONLY] == []


def test_grpc_has_handlers_of_its_own() -> None:
    found = {
        str(module.relative_to(ROOT)): from_http
        for module in modules("api/grpc")
        if (from_http := {name for name in imported_modules(module) if name.startswith("api.http.handlers")})
    }
    assert found == {}


def test_handlers_know_no_storage_engine() -> None:
    engines = {"hnswlib", "sqlite3", "aiosqlite", "numpy"}
    knowing = {module.name for module in modules("api/http/handlers") if imported_roots(module) & engines}
    assert knowing <= {"embeddings.py"}, "embeddings.py shortens vectors; nobody else computes"


def test_the_service_process_never_imports_torch() -> None:
    script = f"import sys, api.app\nprint(sorted(set(sys.modules) & {WORKER_ONLY!r}))"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_only_the_store_in_postgres_knows_asyncpg() -> None:
    others = [
        module for package in OURS for module in modules(package) if module.parent != ROOT / "index/postgres"
    ]
    assert [str(module) for module in others if "asyncpg" in imported_roots(module)] == []


def test_without_a_setting_for_it_nothing_of_asyncpg_is_loaded() -> None:
    script = f"import sys, api.app\nprint(sorted(set(sys.modules) & {OPTIONAL!r}))"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
