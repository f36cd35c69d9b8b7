"""``embedd config``: where values come from, what cannot be used, and a file that says what there is."""

import json
import re
from pathlib import Path

import pytest
from cli_stub import Embedd

from api.setting_sources import example
from api.settings import Settings, load_settings

EXAMPLE = Path(__file__).parents[2] / "deploy" / "embedd.yaml"


pytestmark = pytest.mark.usefixtures("clean_environment")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "service.yaml"
    file.write_text("port: 1001\nreplicas: 3\nmodels: [fake, other]\n")
    return file


def test_every_value_says_who_set_it(embedd: Embedd, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDD_REPLICAS", "2")
    shown = embedd("config", "show", "--all", "--json", "--config", str(file), "--log-level", "DEBUG")
    found = {one["name"]: (one["value"], one["source"]) for one in json.loads(shown.stdout)}
    assert found.keys() == Settings.model_fields.keys()
    assert found["port"] == ("1001", f"file {file}")
    assert found["replicas"] == ("2", "variable EMBEDD_REPLICAS")
    assert found["log_level"] == ("debug", "flag --log-level")
    assert found["models"] == ("[fake, other]", f"file {file}")
    assert found["host"] == ("127.0.0.1", "default")


def test_what_nobody_set_is_left_out_unless_asked_for(embedd: Embedd) -> None:
    assert "at its default" in embedd("config", "show").stdout
    assert embedd("config", "show", "--port", "9000").stdout.split() == [
        *("setting", "value", "from"),
        *("port", "9000", "flag", "--port"),
    ]


@pytest.mark.parametrize("name", ["conversations", "generators"])
def test_passwords_in_urls_are_not_shown(embedd: Embedd, name: str) -> None:
    url = {"conversations": "rediss://me:secret@host/0", "generators": "a=openai:m@https://me:secret@host/v1"}
    shown = embedd("config", "show", f"--{name}", url[name])
    assert "secret" not in shown.output
    assert "://***@host" in shown.stdout


def test_settings_that_can_be_used_are_said_to_be(embedd: Embedd, file: Path) -> None:
    checked = embedd("config", "check", "--config", str(file))
    assert checked.exit_code == 0
    assert "can be used; 4 of" in checked.stdout  # the file is one of them


def test_what_cannot_be_used_is_all_told_at_once(embedd: Embedd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDD_REPLICAS", "none")
    checked = embedd("config", "check", "--port", "70000")
    assert checked.exit_code == 2
    assert "flag --port" in checked.stderr
    assert "variable EMBEDD_REPLICAS" in checked.stderr


def test_an_unknown_key_is_refused_with_the_nearest_name(embedd: Embedd, file: Path) -> None:
    file.write_text("modle: fake\n")
    checked = embedd("config", "check", "--config", str(file))
    assert checked.exit_code == 2
    assert "did you mean 'model'?" in checked.stderr


def test_a_variable_that_is_no_setting_is_named_but_none_of_kubernetes(
    embedd: Embedd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBEDD_REPLICA", "2")
    for name in ("EMBEDD_SERVICE_HOST", "EMBEDD_PORT_8080_TCP", "EMBEDD_KEY_CLOUD", "EMBEDD_URL"):
        monkeypatch.setenv(name, "x")
    checked = embedd("config", "check")
    assert checked.exit_code == 0
    (warning,) = checked.stderr.splitlines()
    assert "EMBEDD_REPLICA is no setting" in warning
    assert "'replicas'" in warning


def test_the_example_file_is_what_the_code_says() -> None:
    assert EXAMPLE.read_text("utf-8") == example(), "embedd config example > deploy/embedd.yaml"


def test_the_example_file_with_everything_taken_in_is_the_defaults(tmp_path: Path) -> None:
    named = re.sub(r"^#(?=\w+: )", "", example(), flags=re.MULTILINE)
    file = tmp_path / "all.yaml"
    file.write_text(named)
    assert load_settings({"config": file}) == load_settings({}).model_copy(update={"config": file})
