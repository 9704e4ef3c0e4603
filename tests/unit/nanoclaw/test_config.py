from pathlib import Path

import pytest

from nanoclaw.config import (
    SETTINGS,
    LogLevel,
    Runtime,
    ServiceManager,
    default_home,
    load_config,
    read_env_file,
    read_service_manager,
)
from nanoclaw.errors import ConfigError


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def test_empty_home_gives_the_defaults(tmp_path: Path) -> None:
    config = load_config(home=tmp_path, environment={})

    assert config.home == tmp_path
    assert config.runtime is Runtime.DOCKER
    assert config.log_level is LogLevel.INFO
    assert config.max_running == 8
    assert config.model_key_present is False


def test_sources_win_in_the_order_flag_environment_env_file_toml(tmp_path: Path) -> None:
    write(tmp_path / "config.toml", 'assistant_name = "toml"\nmax_running = 3\nlog_level = "error"')
    write(tmp_path / ".env", "ASSISTANT_NAME=file\nLOG_LEVEL=warning")
    environment = {"ASSISTANT_NAME": "environment"}

    def name(flags: dict[str, str], variables: dict[str, str]) -> str:
        return load_config(home=tmp_path, flags=flags, environment=variables).assistant_name

    assert name({"assistant_name": "flag"}, environment) == "flag"
    assert name({}, environment) == "environment"
    assert name({}, {}) == "file"
    config = load_config(home=tmp_path, environment={})
    assert (config.log_level, config.max_running) == (LogLevel.WARNING, 3)


@pytest.mark.parametrize(
    ("key", "value", "detail"),
    [
        ("log_level", "loud", "must be one of debug, info"),
        ("runtime", "podman", "must be one of docker, process"),
        ("timezone", "Mars/Olympus", "is not an IANA time zone"),
        ("timezone", "../../etc/passwd", "is not an IANA time zone"),
        ("max_running", "0", "must be 1 to 1000"),
        ("max_running", "many", "containers that may run at once"),
        ("docker_host", "/var/run/docker.sock", "must start with unix://"),
    ],
)
def test_broken_value_names_its_source_and_what_is_allowed(
    tmp_path: Path, key: str, value: str, detail: str
) -> None:
    setting = next(setting for setting in SETTINGS if setting.key == key)

    with pytest.raises(ConfigError, match=detail) as from_flag:
        load_config(home=tmp_path, flags={key: value}, environment={})
    with pytest.raises(ConfigError, match=detail) as from_environment:
        load_config(home=tmp_path, environment={setting.variable: value})
    write(tmp_path / "config.toml", f'{key} = "{value}"')
    with pytest.raises(ConfigError, match=detail) as from_file:
        load_config(home=tmp_path, environment={})

    assert f"{setting.flag} = {value!r} in the command line" in str(from_flag.value)
    assert f"{setting.variable} = {value!r} in the environment" in str(from_environment.value)
    assert f"{key} = {value!r} in {tmp_path / 'config.toml'}" in str(from_file.value)


def test_unknown_key_is_refused_with_the_nearest_known_one(tmp_path: Path) -> None:
    write(tmp_path / "config.toml", "max_runing = 3")

    with pytest.raises(ConfigError, match=r"unknown key 'max_runing' .* did you mean max_running"):
        load_config(home=tmp_path, environment={})


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"max_running =", "not valid TOML"),
        (b"a = '\xff'", "not UTF-8"),
        (b"#" * 1048577, "larger"),
    ],
    ids=["syntax", "encoding", "size"],
)
def test_unreadable_file_is_named(tmp_path: Path, content: bytes, detail: str) -> None:
    (tmp_path / "config.toml").write_bytes(content)

    with pytest.raises(ConfigError, match=detail) as error:
        load_config(home=tmp_path, environment={})

    assert str(tmp_path / "config.toml") in str(error.value)


def test_env_file_knows_quotes_comments_and_export(tmp_path: Path) -> None:
    write(tmp_path / ".env", "# no\nexport A='1 2'\nB = \"3\"\nC=\nD\nE=x=y\n")

    assert read_env_file(tmp_path / ".env") == {"A": "1 2", "B": "3", "E": "x=y"}


@pytest.mark.parametrize("source", ["environment", "file"])
def test_model_key_is_noticed_but_not_kept(tmp_path: Path, source: str) -> None:
    environment = {}
    if source == "environment":
        environment["ANTHROPIC_API_KEY"] = "sk-secret"
    else:
        write(tmp_path / ".env", "ANTHROPIC_API_KEY=sk-secret")

    config = load_config(home=tmp_path, environment=environment)

    assert config.model_key_present
    assert "sk-secret" not in repr(config)


def test_home_comes_from_the_variable_or_the_platform() -> None:
    assert default_home({"NANOCLAW_HOME": "/srv/agent"}) == Path("/srv/agent")
    assert default_home({}).name == "nanoclaw"


def test_relative_home_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert load_config(home=Path("here"), environment={}).home == tmp_path / "here"


def test_flags_of_all_settings_are_different() -> None:
    assert len({setting.flag for setting in SETTINGS}) == len(SETTINGS)
    assert len({setting.variable for setting in SETTINGS}) == len(SETTINGS)


def test_service_manager_is_read_and_removed_from_the_environment() -> None:
    environment = {
        "NOTIFY_SOCKET": "@abstract",
        "WATCHDOG_USEC": "3000000",
        "WATCHDOG_PID": "12",
        "PATH": "/bin",
    }

    assert read_service_manager(environment) == ServiceManager("@abstract", 3_000_000, 12)
    assert environment == {"PATH": "/bin"}


@pytest.mark.parametrize(
    "environment",
    [{}, {"NOTIFY_SOCKET": "relative", "WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "0"}],
)
def test_absent_or_senseless_service_manager_is_none(environment: dict[str, str]) -> None:
    assert read_service_manager(environment) == ServiceManager()
