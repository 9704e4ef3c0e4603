import shlex
from pathlib import Path

import pytest

from nanoclaw.cli.ncl_unreachable import (
    Service,
    Unreachable,
    find_service,
    unreachable_text,
)
from nanoclaw.paths import HostPaths

HOME = Path("/srv/agent")
SLUG = HostPaths(HOME).slug


def text(service: Service, *, has_data: bool = True) -> str:
    problem = "/srv/agent/run/ncl.sock: Connection refused"
    return unreachable_text(Unreachable(HOME, SLUG, problem, service, has_data))


@pytest.mark.parametrize(
    ("service", "command"),
    [
        (Service.LAUNCHD, f"launchctl kickstart -k gui/$(id -u)/com.nanoclaw-v2-{SLUG}"),
        (Service.SYSTEMD_USER, f"systemctl --user restart nanoclaw-v2-{SLUG}"),
        (Service.SYSTEMD_SYSTEM, f"sudo systemctl restart nanoclaw-v2-{SLUG}"),
        (Service.SCRIPT, "/srv/agent/start-nanoclaw.sh"),
    ],
)
def test_only_the_hint_for_what_is_installed_is_given(service: Service, command: str) -> None:
    lines = text(service).splitlines()

    assert "Connection refused" in lines[0]
    assert "  nanoclaw run --home /srv/agent" in lines
    assert f"  {command}" in lines
    assert sum("launchctl" in line or "systemctl" in line for line in lines) == (
        service is not Service.SCRIPT
    )


def test_commands_can_be_copied_whatever_the_home_is_called() -> None:
    home = Path("/srv/my agent's")
    found = Unreachable(home, HostPaths(home).slug, "gone", Service.SCRIPT, has_data=True)
    lines = [line.strip() for line in unreachable_text(found).splitlines()]

    assert ["nanoclaw", "run", "--home", str(home)] in [shlex.split(line) for line in lines[2:3]]
    assert shlex.split(lines[4]) == [str(home / "start-nanoclaw.sh")]


def test_home_without_data_is_likely_the_wrong_one() -> None:
    assert "no installation in /srv/agent" in text(Service.SCRIPT, has_data=False)
    assert "--offline" not in text(Service.SCRIPT, has_data=False)
    assert "--offline" in text(Service.SCRIPT)


def test_kind_of_service_is_found_by_its_file(tmp_path: Path) -> None:
    paths, user, system = HostPaths(tmp_path / "home"), tmp_path / "user", tmp_path / "system"
    units = user / ".config/systemd/user"
    for folder in (paths.home, units, system):
        folder.mkdir(parents=True)
    unit = f"nanoclaw-v2-{paths.slug}.service"

    def found(platform: str = "linux") -> Service:
        return find_service(paths, platform, user, system)

    assert found("darwin") is Service.LAUNCHD
    assert found() is Service.SYSTEMD_USER
    (paths.home / "start-nanoclaw.sh").touch()
    assert found() is Service.SCRIPT
    (system / unit).touch()
    assert found() is Service.SYSTEMD_SYSTEM
    (units / unit).touch()
    assert found() is Service.SYSTEMD_USER
