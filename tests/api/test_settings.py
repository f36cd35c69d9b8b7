"""Where a setting's value comes from, and what people are told when it cannot be used."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from api.services.generators import named_generator
from api.settings import Settings, SettingsError, load_settings, upstream_key

pytestmark = pytest.mark.usefixtures("clean_environment")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "embedd.yaml"


def test_without_any_source_the_defaults_listen_on_this_machine_only() -> None:
    settings = load_settings({})
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert settings.data == Path("embedd-data")
    assert settings.model == "all-MiniLM-L6-v2"
    assert settings.max_json_bytes == 32 * 2**20


def test_each_source_beats_the_weaker_one(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("port: 1001\nhost: 0.0.0.1\nreplicas: 3\n")
    monkeypatch.setenv("EMBEDD_PORT", "1002")
    monkeypatch.setenv("EMBEDD_HOST", "0.0.0.2")
    settings = load_settings({"config": str(file), "port": "1003"})
    assert settings.port == 1003
    assert settings.host == "0.0.0.2"
    assert settings.replicas == 3
    assert settings.generator == "extractive"


def test_a_flag_that_was_not_given_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDD_PORT", "1002")
    assert load_settings({"port": None}).port == 1002


def test_the_variable_names_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("port: 1001\n")
    monkeypatch.setenv("EMBEDD_CONFIG", str(file))
    assert load_settings({}).port == 1001


def test_the_flag_names_another_file_than_the_variable(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("port: 1001\n")
    monkeypatch.setenv("EMBEDD_CONFIG", "/nowhere.yaml")
    assert load_settings({"config": file}).port == 1001


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDD_PORT", "")
    monkeypatch.setenv("EMBEDD_CONFIG", "")
    assert load_settings({}).port == 8080


def test_a_variable_that_is_not_known_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDD_SERVICE_HOST", "10.0.0.1")
    assert load_settings({}).host == "127.0.0.1"


def test_an_empty_file_changes_nothing(file: Path) -> None:
    file.write_text("# all defaults\n")
    assert load_settings({"config": file}).port == 8080


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_settings({}).port = 1


@pytest.mark.parametrize("written", ["a, b", "a,b,"])
def test_names_are_separated_by_commas_in_a_variable(written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDD_MODELS", written)
    assert load_settings({}).models == ("a", "b")


def test_names_are_a_list_in_the_file(file: Path) -> None:
    file.write_text("models: [a, b]\n")
    assert load_settings({"config": file}).models == ("a", "b")


@pytest.mark.parametrize(("written", "size"), [("1KiB", 1024), ("2 MB", 2_000_000), ("77", 77)])
def test_sizes_may_have_units(written: str, size: int) -> None:
    assert load_settings({"max_file_bytes": written}).max_file_bytes == size


def test_a_cache_may_have_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings({"cache_bytes": "0"}).cache_bytes == 0
    with pytest.raises(SettingsError, match="--cache-bytes"):
        load_settings({"cache_bytes": "-1"})


def test_memory_has_a_limit_only_where_one_is_given() -> None:
    assert load_settings({}).memory_bytes is None
    assert load_settings({"memory_bytes": "2GiB"}).memory_bytes == 2 * 2**30
    with pytest.raises(SettingsError, match="--memory-bytes"):
        load_settings({"memory_bytes": "0"})


@pytest.mark.parametrize(("written", "meant"), [("true", True), ("0", False)])
def test_a_switch_is_true_or_false(written: str, *, meant: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDD_COMPILE", written)
    assert load_settings({}).compile is meant


def test_the_dtype_must_be_known() -> None:
    with pytest.raises(SettingsError, match=r"flag --dtype: .*'bfloat16'"):
        load_settings({"dtype": "bf16"})


def test_the_data_folder_may_lie_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert load_settings({"data": "~/docs"}).data == Path("/home/someone/docs")


def test_the_log_level_may_be_written_in_capitals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDD_LOG_LEVEL", "WARNING")
    assert load_settings({}).log_level == "warning"


@pytest.mark.parametrize("key", ["prot", "Port", "port-"])
def test_an_unknown_key_names_the_nearest_known_one(key: str, file: Path) -> None:
    file.write_text(f"{key}: 1\n")
    with pytest.raises(
        SettingsError, match=f"{file} has the unknown key '{key}'; did you mean 'port'"
    ) as error:
        load_settings({"config": file})
    assert len(str(error.value).splitlines()) == 1


def test_an_unknown_key_that_is_like_no_other_lists_the_known_ones(file: Path) -> None:
    file.write_text("xyzzyxyzzy: 1\n")
    with pytest.raises(SettingsError, match=r"known keys: admin_key_file, .*replicas"):
        load_settings({"config": file})


def test_a_file_cannot_name_another_file(file: Path) -> None:
    file.write_text("config: other.yaml\n")
    with pytest.raises(SettingsError, match="unknown key 'config'"):
        load_settings({"config": file})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot read the settings file .*none\.yaml: No such file"):
        load_settings({"config": tmp_path / "none.yaml"})


def test_broken_yaml_names_the_file_and_the_line(file: Path) -> None:
    file.write_text("port: 1\nhost: [\n")
    with pytest.raises(SettingsError, match=r"embedd\.yaml is not YAML: .*line 3") as error:
        load_settings({"config": file})
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_text_is_named(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=r"embedd\.yaml is not YAML"):
        load_settings({"config": file})


def test_a_file_must_hold_names_and_values(file: Path) -> None:
    file.write_text("- port\n")
    with pytest.raises(SettingsError, match="must hold 'name: value' lines"):
        load_settings({"config": file})


def test_a_bad_flag_is_called_by_its_name() -> None:
    with pytest.raises(SettingsError, match=r"^flag --max-batch-tokens: .*valid integer"):
        load_settings({"max_batch_tokens": "many"})


def test_a_bad_variable_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDD_LOG_FORMAT", "xml")
    with pytest.raises(SettingsError, match=r"^variable EMBEDD_LOG_FORMAT: .*'console' or 'json'"):
        load_settings({})


def test_a_bad_key_is_called_by_its_name_and_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("port: 70000\n")
    monkeypatch.setenv("EMBEDD_CONFIG", str(file))
    with pytest.raises(SettingsError, match=f"^key 'port' of the settings file {file}: .*65535"):
        load_settings({})


def test_all_bad_values_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as error:
        load_settings({"port": "x", "replicas": 0, "drain_timeout_s": "nan"})
    assert [line.split(":")[0] for line in str(error.value).splitlines()] == [
        "flag --port",
        "flag --replicas",
        "flag --drain-timeout-s",
    ]


def test_an_unknown_flag_is_an_error() -> None:
    with pytest.raises(SettingsError, match="flag --prot: "):
        load_settings({"prot": 1})


@pytest.mark.parametrize("size", ["", "0", "-1", "3 parsecs"])
def test_a_size_must_be_one(size: str) -> None:
    with pytest.raises(SettingsError, match="--max-json-bytes"):
        load_settings({"max_json_bytes": size})


def test_the_port_that_kubernetes_sets_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDD_PORT", "tcp://10.0.0.1:8080")
    with pytest.raises(SettingsError, match="enableServiceLinks: false"):
        load_settings({})


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_says_what_it_is_for(name: str) -> None:
    assert Settings.model_fields[name].description


def test_settings_are_read_without_loading_the_service() -> None:
    program = (
        "import sys, api.settings, api.telemetry; print({'aiohttp', 'torch', 'numpy'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"


def test_keys_of_upstreams_come_from_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDD_KEY_MY_CLOUD_2", "own")
    monkeypatch.setenv("OPENAI_API_KEY", "openai's")
    assert upstream_key("my-cloud.2", "http://10.0.0.7/v1") == "own"
    assert upstream_key("other", "http://10.0.0.7/v1") == ""
    assert upstream_key("other", "https://api.openai.com/v1") == "openai's"
    assert upstream_key("my-cloud.2", "https://api.openai.com/v1") == "own"
    assert "own" not in repr(load_settings({}))


@pytest.mark.parametrize(
    ("text", "name", "what"),
    [
        ("extractive", "extractive", "extractive"),
        ("fast=/models/qwen=2", "fast", "/models/qwen=2"),
        ("/models/a=b", "/models/a=b", "/models/a=b"),
        ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B"),
        ("openai:gpt-4o@https://h/v1", "gpt-4o", "openai:gpt-4o@https://h/v1"),
        ("cloud=openai:gpt-4o@https://h/v1", "cloud", "openai:gpt-4o@https://h/v1"),
        ("openai:broken", "openai:broken", "openai:broken"),
    ],
)
def test_a_generator_is_called_as_it_was_named(text: str, name: str, what: str) -> None:
    assert named_generator(text) == (name, what)
