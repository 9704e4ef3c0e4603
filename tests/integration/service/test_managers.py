"""systemd, launchd and their absence, with stand-ins of their programs on PATH."""

import plistlib
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.service_fakes import Fakes

from nanoclaw.config import HostConfig, load_config
from nanoclaw.service import actions, ncl_link, place
from nanoclaw.service.actions import Desk
from nanoclaw.service.files import write_file
from nanoclaw.service.kinds import Kind, ServiceError
from nanoclaw.service.launchd import Launchd
from nanoclaw.service.peers import clean_up, find_peers
from nanoclaw.service.systemd import Systemd, docker_group_is_stale

ACTIVE = "LoadState=loaded\nActiveState=active\nSubState=running\nMainPID=77\nNRestarts=2\n"
FAILED = "ActiveState=failed\nSubState=failed\nMainPID=0\nResult=exit-code\nExecMainStatus=78\n"


@pytest.fixture
def fakes(tmp_path: Path) -> Fakes:
    return Fakes(tmp_path / "bin")


@pytest.fixture
def user_home(tmp_path: Path) -> Path:
    folder = tmp_path / "ann"
    folder.mkdir()
    return folder


@pytest.fixture
def config(tmp_path: Path) -> HostConfig:
    return load_config(home=tmp_path / "home", environment={})


@pytest.fixture
def program(tmp_path: Path) -> Iterator[tuple[str, ...]]:
    file = tmp_path / "nanoclaw.pyz"
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)
    yield ("/usr/bin/python3", str(file))


@pytest.fixture
def desk(fakes: Fakes, user_home: Path, config: HostConfig, program: tuple[str, ...]) -> Desk:
    machine = fakes.machine(user_home)
    return Desk(config, place.make_spec(config.paths, program, machine), machine, lambda _: None)


# --- choosing -------------------------------------------------------------------------------------


def test_an_ordinary_user_gets_a_unit_of_his_own(fakes: Fakes, user_home: Path) -> None:
    assert place.choose_kind(fakes.machine(user_home)) is Kind.SYSTEMD_USER


def test_root_gets_a_system_unit(fakes: Fakes, user_home: Path) -> None:
    assert place.choose_kind(fakes.machine(user_home, is_root=True)) is Kind.SYSTEMD_SYSTEM


def test_a_user_without_a_session_gets_the_script(fakes: Fakes, user_home: Path) -> None:
    fakes.answer("systemctl", code=1)

    assert place.choose_kind(fakes.machine(user_home)) is Kind.NOHUP


def test_no_systemd_means_the_script(fakes: Fakes, user_home: Path) -> None:
    assert place.choose_kind(fakes.machine(user_home, systemd_runs=False)) is Kind.NOHUP


def test_macos_means_launchd(fakes: Fakes, user_home: Path) -> None:
    assert place.choose_kind(fakes.machine(user_home, platform="darwin")) is Kind.LAUNCHD


def test_an_unknown_platform_is_said_in_words(fakes: Fakes, user_home: Path) -> None:
    with pytest.raises(ServiceError, match="freebsd"):
        place.choose_kind(fakes.machine(user_home, platform="freebsd14"))


# --- systemd --------------------------------------------------------------------------------------


def test_install_writes_enables_and_restarts_the_unit(desk: Desk, fakes: Fakes) -> None:
    fakes.answer("systemctl", FAILED, word="show")
    fakes.answer("loginctl", "Linger=yes\n", word="show-user")

    result = actions.install(desk)

    unit = desk.spec.unit
    assert Path(result.file).read_text().startswith("[Unit]")
    calls = [c for c in fakes.calls() if "show" not in c]
    assert calls[-4:] == [
        "systemctl --user daemon-reload",
        f"systemctl --user enable {unit}",
        f"systemctl --user reset-failed {unit}",
        f"systemctl --user restart {unit}",
    ]


def test_a_service_that_failed_is_reported_with_its_last_lines(desk: Desk, fakes: Fakes) -> None:
    fakes.answer("systemctl", FAILED, word="show")
    desk.config.paths.ensure()
    desk.spec.error_log.write_text("".join(f"line {n}\n" for n in range(50)))

    result = actions.install(desk)

    assert not result.running
    assert "exit-code 78" in result.error
    assert result.error_lines[-1] == "line 49"
    assert len(result.error_lines) == 20


def test_a_refusing_manager_is_named_with_its_command(desk: Desk, fakes: Fakes) -> None:
    fakes.answer("systemctl", word="enable", code=1)

    with pytest.raises(ServiceError, match=r"systemctl --user enable .* refused by the stand-in"):
        actions.install(desk)


def test_dry_run_changes_nothing(desk: Desk, fakes: Fakes) -> None:
    result = actions.install(desk, dry_run=True)

    assert result.dry_run
    assert not Path(result.file).exists()
    assert not desk.config.home.exists()
    assert not [c for c in fakes.calls() if "enable" in c or "restart" in c]


def test_linger_that_cannot_be_turned_on_is_a_remark(desk: Desk, fakes: Fakes) -> None:
    fakes.answer("systemctl", FAILED, word="show")
    fakes.answer("loginctl", "Linger=no\n", word="show-user")

    result = actions.install(desk)

    assert result.linger is False
    assert any("enable-linger" in note for note in result.notes)
    assert "loginctl enable-linger" in fakes.calls()


def test_a_second_kind_for_the_same_home_is_refused(desk: Desk, fakes: Fakes) -> None:
    fakes.answer("systemctl", FAILED, word="show")
    actions.install(desk)

    with pytest.raises(ServiceError, match="uninstall --kind systemd-user"):
        actions.install(desk, kind=Kind.NOHUP)


def test_a_system_unit_needs_root_and_says_so(desk: Desk) -> None:
    with pytest.raises(ServiceError, match="sudo"):
        actions.install(desk, kind=Kind.SYSTEMD_SYSTEM)


def test_a_system_unit_refuses_a_home_whose_sockets_would_lie_elsewhere(
    desk: Desk, tmp_path: Path
) -> None:
    long = replace(desk.config, home=tmp_path / ("long" * 25))
    root = replace(desk, config=long, machine=replace(desk.machine, is_root=True))

    with pytest.raises(ServiceError, match="shorter path"):
        actions.install(root, dry_run=True)


def test_uninstall_takes_away_its_own_things_and_leaves_data(desk: Desk, fakes: Fakes) -> None:
    fakes.answer("systemctl", FAILED, word="show")
    installed = actions.install(desk)
    kept = desk.config.paths.data / "v2.db"
    kept.write_text("books")

    result = actions.uninstall(desk)

    assert result.changed
    assert not Path(installed.file).exists()
    assert not ncl_link.link_file(desk.spec).is_symlink()
    assert kept.read_text() == "books"
    assert f"systemctl --user disable --now {desk.spec.unit}" in fakes.calls()


def test_uninstall_twice_is_no_error(desk: Desk) -> None:
    assert not actions.uninstall(desk).changed


def test_starting_what_is_not_installed_names_the_command(desk: Desk) -> None:
    with pytest.raises(ServiceError, match="nanoclaw service install"):
        actions.start(desk)


def test_state_is_read_from_the_manager(desk: Desk, fakes: Fakes) -> None:
    fakes.answer("systemctl", ACTIVE, word="show")

    state = Systemd(desk.spec, desk.machine.shell, system=False).state()

    assert (state.active, state.pid, state.restarts) == (True, 77, 2)


def test_active_is_not_running_while_nobody_answers(desk: Desk, fakes: Fakes) -> None:
    fakes.answer("systemctl", ACTIVE, word="show")

    assert not actions.status(desk).running


def test_docker_group_is_stale_when_only_the_manager_may_not(fakes: Fakes) -> None:
    fakes.answer("systemd-run", code=1)

    assert docker_group_is_stale(fakes.shell(), Path("/run/docker.sock"), usable_here=True)
    assert not docker_group_is_stale(fakes.shell(), Path("/run/docker.sock"), usable_here=False)


def test_docker_group_is_fine_when_the_manager_may_too(fakes: Fakes) -> None:
    assert not docker_group_is_stale(fakes.shell(), Path("/run/docker.sock"), usable_here=True)


def test_no_command_uses_sudo(desk: Desk, fakes: Fakes) -> None:
    fakes.answer("systemctl", FAILED, word="show")
    actions.install(desk)
    actions.uninstall(desk)

    assert not [call for call in fakes.calls() if "sudo" in call or "setfacl" in call]


# --- launchd --------------------------------------------------------------------------------------


def test_launchd_takes_the_old_one_out_before_the_new_one_goes_in(desk: Desk, fakes: Fakes) -> None:
    fakes.answer("launchctl", f"-\t0\t{desk.spec.label}\n", word="list")
    agent = Launchd(desk.spec, desk.machine.shell)
    write_file(agent.file, agent.content(), 0o644)

    agent.load()

    assert plistlib.loads(agent.file.read_bytes())["Label"] == desk.spec.label
    assert fakes.calls()[:2] == [
        f"launchctl bootout gui/1234/{desk.spec.label}",
        f"launchctl bootstrap gui/1234 {agent.file}",
    ]


def test_launchd_falls_back_to_load(desk: Desk, fakes: Fakes) -> None:
    fakes.answer("launchctl", word="bootstrap", code=5)
    fakes.answer("launchctl", f"-\t0\t{desk.spec.label}\n", word="list")
    agent = Launchd(desk.spec, desk.machine.shell)

    agent.load()

    assert f"launchctl load {agent.file}" in fakes.calls()


def test_launchd_that_does_not_list_the_label_has_failed(desk: Desk) -> None:
    with pytest.raises(ServiceError, match="launchd does not take"):
        Launchd(desk.spec, desk.machine.shell).load()


def test_launchd_state_is_read(desk: Desk, fakes: Fakes) -> None:
    fakes.answer("launchctl", "\tstate = running\n\truns = 3\n\tpid = 42\n", word="print")

    state = Launchd(desk.spec, desk.machine.shell).state()

    assert (state.active, state.pid, state.restarts) == (True, 42, 2)


# --- peers (scenario 74) --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "touched"),
    [
        ("ActiveState=active\nNRestarts=50\n", False),
        ("ActiveState=failed\nNRestarts=3\nResult=start-limit-hit\nExecMainStatus=1\n", True),
        ("ActiveState=activating\nNRestarts=11\n", True),
        ("ActiveState=activating\nNRestarts=10\n", False),
        ("ActiveState=inactive\nNRestarts=0\n", False),
        ("ActiveState=failed\nNRestarts=0\nResult=exit-code\nExecMainStatus=143\n", False),
    ],
)
def test_only_a_user_unit_that_crashes_in_a_loop_is_stopped(
    desk: Desk, fakes: Fakes, answer: str, touched: bool
) -> None:
    folder = desk.machine.user_home / ".config/systemd/user"
    folder.mkdir(parents=True)
    (folder / "nanoclaw-v2-00000000.service").touch()
    (folder / desk.spec.unit).touch()
    fakes.answer("systemctl", answer, word="show")

    found = find_peers(desk.spec, desk.machine, desk.machine.user_home / "none")
    report = clean_up(found, desk.machine)

    assert report.checked == ("nanoclaw-v2-00000000.service",)
    assert bool(report.unloaded) is touched
    stopped = "systemctl --user disable --now nanoclaw-v2-00000000.service" in fakes.calls()
    assert stopped is touched


def test_a_system_unit_in_a_loop_is_reported_only(desk: Desk, fakes: Fakes) -> None:
    folder = desk.machine.user_home / "system"
    folder.mkdir()
    (folder / "nanoclaw-v2-00000000.service").touch()
    fakes.answer("systemctl", "ActiveState=failed\nResult=exit-code\n", word="show")

    report = clean_up(find_peers(desk.spec, desk.machine, folder), desk.machine)

    assert report.reported == ("nanoclaw-v2-00000000.service",)
    assert not [call for call in fakes.calls() if "disable" in call]


def test_a_peer_that_cannot_be_stopped_is_a_remark(desk: Desk, fakes: Fakes) -> None:
    folder = desk.machine.user_home / ".config/systemd/user"
    folder.mkdir(parents=True)
    (folder / "nanoclaw.service").touch()
    fakes.answer("systemctl", "ActiveState=activating\nNRestarts=11\n", word="show")
    fakes.answer("systemctl", word="disable", code=1)

    peers = find_peers(desk.spec, desk.machine, desk.machine.user_home / "none")
    report = clean_up(peers, desk.machine)

    assert report.failures
    assert any("could not stop" in note for note in report.notes())


@pytest.mark.parametrize(
    ("answer", "code", "touched"),
    [
        ("state = running\nruns = 99\n", 0, False),
        ("state = spawn scheduled\nruns = 11\n", 0, True),
        ("state = spawn scheduled\nruns = 10\n", 0, False),
        ("", 113, False),
    ],
)
def test_only_a_launchd_agent_that_crashes_in_a_loop_is_unloaded(
    desk: Desk, fakes: Fakes, answer: str, code: int, touched: bool
) -> None:
    machine = replace(desk.machine, platform="darwin")
    folder = machine.user_home / "Library/LaunchAgents"
    folder.mkdir(parents=True)
    (folder / "com.nanoclaw.plist").touch()
    (folder / f"{desk.spec.label}.plist").touch()
    fakes.answer("launchctl", answer, word="print", code=code)

    report = clean_up(find_peers(desk.spec, machine), machine)

    assert bool(report.unloaded) is touched


# --- the ncl link (scenario 85) -------------------------------------------------------------------


def test_link_and_pointer_are_made(desk: Desk) -> None:
    assert ncl_link.link(desk.spec) == []

    assert ncl_link.link_file(desk.spec).readlink() == Path(desk.spec.program[1])
    assert str(desk.spec.home) in ncl_link.pointer_file(desk.spec).read_text()


def test_a_link_of_another_installation_is_replaced_and_that_is_said(desk: Desk) -> None:
    place_of_link = ncl_link.link_file(desk.spec)
    place_of_link.parent.mkdir(parents=True)
    place_of_link.symlink_to("/opt/old.pyz")

    notes = ncl_link.link(desk.spec)

    assert place_of_link.readlink() == Path(desk.spec.program[1])
    assert "/opt/old.pyz" in notes[0]


def test_a_regular_file_stays(desk: Desk) -> None:
    file = ncl_link.link_file(desk.spec)
    file.parent.mkdir(parents=True)
    file.write_text("mine")

    notes = ncl_link.link(desk.spec)

    assert file.read_text() == "mine"
    assert "stays" in notes[0]
    ncl_link.unlink(desk.spec)
    assert file.read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_a_remark(desk: Desk) -> None:
    (desk.machine.user_home / ".local").write_text("in the way")

    assert "no link" in ncl_link.link(desk.spec)[0]


def test_a_link_to_another_file_stays_when_we_are_removed(desk: Desk) -> None:
    ncl_link.link(desk.spec)
    file = ncl_link.link_file(desk.spec)
    file.unlink()
    file.symlink_to("/opt/other.pyz")

    ncl_link.unlink(desk.spec)

    assert file.readlink() == Path("/opt/other.pyz")


def test_files_are_replaced_whole_with_their_mode(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "unit"

    write_file(file, b"one", 0o644)
    write_file(file, b"two", 0o755)

    assert file.read_bytes() == b"two"
    assert stat.S_IMODE(file.stat().st_mode) == 0o755
    assert [p.name for p in file.parent.iterdir()] == ["unit"]
