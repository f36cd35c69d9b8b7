"""What the documents tell people to type works: every command, the Python block, every JSON example."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from real_service import environment

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/operations.md", "bench/README.md", "CONTRIBUTING.md")
EMBEDD = str(Path(sys.executable).with_name("embedd"))

# Commands that other tests run, or that cannot run here, each with its reason.
NOT_RUN_HERE = {
    "make": "these are what runs the tests; tests/packaging holds the Makefile's targets",
    ".venv/bin/embedd serve": "every system test starts a service",
    ".venv/bin/embedd keys": "test_key_commands.py runs these, over a folder of their own without a service",
    **dict.fromkeys(
        [f".venv/bin/embedd {name}" for name in ("check", "backup", "restore", "export", "import")],
        "test_docs_durability.py runs these over a folder of their own, some of them without a service",
    ),
    ".venv/bin/embedd copy": "test_docs_copy.py runs these, with a PostgreSQL",
    ".venv/bin/python bench/": "benchmarks take minutes; tests/bench holds what they compute",
}


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[str]:
    """Every command of the page's shell blocks; a quoted body may span lines."""
    found: list[str] = []
    for block in blocks(page, "sh"):
        lines = re.sub(r"\\\n\s*", "", block).splitlines()
        while lines:
            command = lines.pop(0)
            while lines and not _is_complete(command):
                command += "\n" + lines.pop(0)
            if words := shlex.split(command, comments=True):
                found.append(shlex.join(words))
    return found


def _is_complete(command: str) -> bool:
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return False
    return True


COMMANDS = [(page, command) for page in PAGES for command in commands(page)]
RUN_HERE = [
    command for _, command in COMMANDS if not any(command.startswith(start) for start in NOT_RUN_HERE)
]


@dataclass(frozen=True, slots=True)
class Demo:
    """What `embedd demo` said before it went on serving, and where it does."""

    said: str
    url: str


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """What `make run` starts, and what the README goes on with from a second terminal."""
    folder = tmp_path_factory.mktemp("demo")
    words = [EMBEDD, "demo", "--port", "0", "--grpc-port", "0", "--data", str(folder / "data")]
    with (folder / "errors").open("wb") as errors:
        process = subprocess.Popen(
            words, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=errors, text=True
        )
    assert process.stdout is not None
    try:
        said = ""
        for line in process.stdout:
            said += line
            if found := re.match(r"Serving at (\S+) until", line):
                yield Demo(said, found[1])
                break
        else:
            raise AssertionError((folder / "errors").read_text())
    finally:
        process.terminate()
        process.communicate(timeout=60)


def run(words: list[str], url: str) -> "subprocess.CompletedProcess[str]":
    variables = environment() | {"EMBEDD_URL": url}
    return subprocess.run(
        words, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=150, check=False
    )


def test_the_documents_have_commands_to_run() -> None:
    assert len(RUN_HERE) >= 7


def test_every_exception_is_still_in_the_documents() -> None:
    for start in NOT_RUN_HERE:
        assert any(command.startswith(start) for _, command in COMMANDS), start


@pytest.mark.slow
def test_the_demo_answers_a_question_about_the_project_with_citations(demo: Demo) -> None:
    answer, _, sources = demo.said.partition("Sources")
    assert re.search(r"\[\d+\]", answer)
    assert "docs/" in sources or "README.md" in sources


@pytest.mark.slow
def test_every_command_and_the_python_block_do_what_they_say(demo: Demo) -> None:
    for command in RUN_HERE:
        here = command.replace("http://127.0.0.1:8080", demo.url)
        words = [EMBEDD if word == ".venv/bin/embedd" else word for word in shlex.split(here)]
        if words[0] == "curl":
            words.insert(1, "--fail-with-body")
        done = run(words, demo.url)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    (block,) = blocks("README.md", "python")
    done = run([sys.executable, "-c", block.replace("http://127.0.0.1:8080", demo.url)], demo.url)
    assert done.returncode == 0, done.stderr
    dimension, answer, *sources = done.stdout.splitlines()
    assert dimension == "384"
    assert answer == "Spring tides come at new and full moon. [1]"
    assert sources == ["1 tides Spring tides come at new and full moon."]


@pytest.mark.parametrize("example", blocks("docs/api.md", "json"))
def test_the_json_examples_parse(example: str) -> None:
    assert isinstance(json.loads(example), dict)


def test_the_source_in_the_documents_has_true_offsets() -> None:
    example = next(block for block in blocks("docs/api.md", "json") if "quote" in block)
    source = json.loads(example)
    text = "The moon pulls the sea. Spring tides come at new and full moon."
    assert text in (ROOT / "README.md").read_text("utf-8")
    assert text[source["start"] : source["end"]] == source["quote"]
