"""Unit files, property lists and the wrapper script, as text (spec/setup.md scenarios 18 to 27)."""

import plistlib
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nanoclaw.cli.service_options import KINDS
from nanoclaw.paths import HostPaths
from nanoclaw.service.kinds import Kind, ServiceError
from nanoclaw.service.spec import (
    ServiceSpec,
    plist_bytes,
    systemd_line,
    systemd_word,
    unit_text,
    wrapper_text,
)

HOME = Path("/home/ann/.local/share/nanoclaw")
NASTY = Path("/home/ann/a b%h & 'c' \"d\" $HOME <e>")
PROGRAM = ("/usr/bin/python3", "/opt/nanoclaw.pyz")


def spec(home: Path = HOME, program: tuple[str, ...] = PROGRAM) -> ServiceSpec:
    return ServiceSpec(program, home, Path("/home/ann"), HostPaths(home).slug)


def keys(text: str) -> list[str]:
    return [line.partition("=")[0] for line in text.splitlines() if "=" in line]


def value(text: str, key: str) -> str:
    (line,) = [line for line in text.splitlines() if line.startswith(f"{key}=")]
    return line.partition("=")[2]


def systemd_split(text: str) -> list[str]:
    """How systemd reads a quoted line of ours: words, escapes, specifiers, variables."""
    words = re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', text)
    plain = [quoted or bare for quoted, bare in words]
    undone = [re.sub(r"\\(.)", r"\1", word) for word in plain]
    return [word.replace("%%", "%").replace("$$", "$") for word in undone]


def test_plist_has_a_label_with_the_slug() -> None:
    table = plistlib.loads(plist_bytes(spec()))

    assert re.fullmatch(r"com\.nanoclaw-v2-[0-9a-f]{8}", table["Label"])
    assert HostPaths(HOME).slug in table["Label"]


def test_plist_names_interpreter_program_and_both_logs() -> None:
    table = plistlib.loads(plist_bytes(spec()))

    assert table["ProgramArguments"] == [*PROGRAM, "run"]
    assert table["StandardOutPath"] == f"{HOME}/logs/nanoclaw.log"
    assert table["StandardErrorPath"] == f"{HOME}/logs/nanoclaw.error.log"
    assert table["RunAtLoad"] is table["KeepAlive"] is True
    assert table["WorkingDirectory"] == table["EnvironmentVariables"]["NANOCLAW_HOME"] == str(HOME)
    assert table["EnvironmentVariables"]["PATH"] == (
        "/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin:/home/ann/.local/bin"
    )


def test_user_unit_is_wanted_by_the_default_target() -> None:
    assert value(unit_text(spec(), system=False), "WantedBy") == "default.target"


def test_system_unit_is_wanted_by_the_multi_user_target_and_waits_for_the_network() -> None:
    text = unit_text(spec(), system=True)

    assert value(text, "WantedBy") == "multi-user.target"
    assert value(text, "After") == "network-online.target docker.service"
    assert value(text, "Wants") == "network-online.target"


@pytest.mark.parametrize("system", [False, True])
def test_unit_restarts_always_after_five_seconds_and_kills_the_process_only(system: bool) -> None:
    text = unit_text(spec(), system=system)

    assert value(text, "Restart") == "always"
    assert value(text, "RestartSec") == "5"
    assert value(text, "KillMode") == "process"
    assert value(text, "RestartPreventExitStatus") == "78"
    assert value(text, "Type") == "notify"


def test_unit_starts_exactly_this_program() -> None:
    text = unit_text(spec(), system=False)

    assert value(text, "ExecStart") == '"/usr/bin/python3" "/opt/nanoclaw.pyz" "run"'


def test_keys_of_the_service_section_stand_in_the_order_of_the_specification() -> None:
    text = unit_text(spec(), system=False).partition("[Service]")[2]

    assert keys(text)[:12] == [
        "Type", "ExecStart", "WorkingDirectory", "Restart", "RestartSec", "KillMode",
        "Environment", "Environment", "Environment", "Environment",
        "StandardOutput", "StandardError",
    ]  # fmt: skip


def test_user_unit_has_no_option_that_needs_a_mount_namespace() -> None:
    text = unit_text(spec(), system=False)

    assert "NoNewPrivileges=yes" in text
    assert not re.search(r"^(Protect|Private|ReadWrite)", text, re.MULTILINE)


def test_system_unit_may_write_its_home_only() -> None:
    text = unit_text(spec(), system=True)

    assert value(text, "ProtectSystem") == "strict"
    assert value(text, "ReadWritePaths") == f'"{HOME}"'
    assert value(text, "PrivateTmp") == "yes"


def test_system_unit_shares_tmp_when_sockets_are_there() -> None:
    shared = ServiceSpec(PROGRAM, HOME, Path("/root"), "0a1b2c3d", shared_tmp=True)

    assert value(unit_text(shared, system=True), "PrivateTmp") == "no"
    assert value(unit_text(shared, system=True), "ReadWritePaths").endswith(" /tmp /var/tmp")


def test_unit_of_a_path_with_blanks_percents_and_quotes_means_that_path() -> None:
    text = unit_text(spec(NASTY, ("/usr/bin/python3", f"{NASTY}/n.pyz")), system=True)

    assert systemd_split(value(text, "ExecStart")) == ["/usr/bin/python3", f"{NASTY}/n.pyz", "run"]
    assert value(text, "WorkingDirectory") == str(NASTY).replace("%", "%%")
    assert f'"NANOCLAW_HOME={str(NASTY).replace("%", "%%")}"'.replace('"d"', '\\"d\\"') in text


def test_plist_of_a_path_with_ampersands_means_that_path() -> None:
    data = plist_bytes(spec(NASTY))

    assert b"&amp;" in data
    assert plistlib.loads(data)["WorkingDirectory"] == str(NASTY)


def test_wrapper_has_shebang_nohup_interpreter_and_pid_file() -> None:
    text = wrapper_text(spec())

    assert text.startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in text
    assert "nohup /usr/bin/python3 /opt/nanoclaw.pyz run" in text
    assert "nanoclaw.pid" in text


def test_wrapper_of_a_nasty_path_is_valid_shell_with_that_path() -> None:
    text = wrapper_text(spec(NASTY))
    checked = subprocess.run(["bash", "-n"], input=text, text=True, check=False)

    assert checked.returncode == 0
    assert f"cd -- {shlex.quote(str(NASTY))}" in text


@pytest.mark.parametrize("bad", ["/a\nExecStart=/bin/sh", "/a\x00b", "/a\tb", "/a\udcff"])
def test_letters_that_no_unit_can_hold_are_refused(bad: str) -> None:
    with pytest.raises(ServiceError, match="--home"):
        unit_text(ServiceSpec(PROGRAM, Path(bad), Path("/home/ann"), "0a1b2c3d"), system=False)


@pytest.mark.parametrize("bad", ["/a\\", "/a "])
def test_paths_that_an_unquoted_line_would_change_are_refused(bad: str) -> None:
    with pytest.raises(ServiceError, match="--home"):
        systemd_line(Path(bad))


@settings(deadline=None, max_examples=200)
@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1))
def test_any_printable_word_survives_quoting(text: str) -> None:
    assume(text.isprintable())

    assert systemd_split(systemd_word(text, command=True)) == [text]


def test_the_command_line_knows_the_same_kinds() -> None:
    assert set(KINDS) == set(Kind)
