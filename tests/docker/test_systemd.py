"""The built file as a service of a real systemd, which is process 1 of a container.

The container has SYS_ADMIN and a cgroup tree of its own (not --privileged, which an engine inside
another machine cannot give). Agents run as processes there; what is tested is the service.
"""

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.waiting import wait_until

ROOT = Path(__file__).parents[2]
IMAGE = "nanoclaw-systemd-test"
PYZ = "/opt/nanoclaw.pyz"
SETTINGS = 'runtime = "process"\nprovider = "scripted"\n'
RUN_FLAGS = (
    "--cap-add", "SYS_ADMIN", "--cgroupns", "private",
    "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined",
    "--tmpfs", "/run", "--tmpfs", "/run/lock", "--network", "none",
)  # fmt: skip


def docker(*words: str, seconds: float = 120) -> str:
    done = subprocess.run(
        ["docker", *words], capture_output=True, text=True, check=False, timeout=seconds
    )
    assert done.returncode == 0, f"docker {words}: {done.stderr}{done.stdout}"
    return done.stdout


class Machine:
    """One container with systemd, and somebody who types on it."""

    def __init__(self, name: str, user: str) -> None:
        self.name = name
        self.user = user
        self.home = "/srv/nano" if user == "root" else f"/home/{user}/my 50% home"
        self.flag = () if user == "root" else ("--user",)

    def sh(self, command: str, *, check: bool = True) -> str:
        """As the user, in a login shell; standard output."""
        words = ["docker", "exec", self.name, "su", "-", self.user, "-c", command]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=180)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def service(self, words: str, *, check: bool = True) -> dict[str, object]:
        out = self.sh(f"{PYZ} service {words} --json --home '{self.home}'", check=check)
        answer = json.loads(out)
        assert isinstance(answer, dict)
        return answer

    def systemctl(self, words: str, *, check: bool = True) -> str:
        return self.sh(f"systemctl {' '.join(self.flag)} {words}", check=check).strip()

    def unit(self) -> str:
        return str(self.service("status", check=False)["name"])

    def main_pid(self) -> int:
        return int(self.systemctl(f"show -P MainPID {self.unit()}"))

    def runs(self) -> bool:
        return self.service("status", check=False)["running"] is True

    def wait_for_boot(self) -> None:
        wait_until(self._is_booted, within=60, what="systemd has booted")

    def _is_booted(self) -> bool:
        words = ["docker", "exec", self.name, "systemctl", "is-system-running"]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)
        return done.stdout.strip() in ("running", "degraded")


@pytest.fixture(scope="module")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("pyz") / "nanoclaw.pyz"
    words = [sys.executable, "build_pyz.py", "--output", str(file)]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True, timeout=300)
    return file


@pytest.fixture(scope="module")
def image(container_engine: None) -> str:
    context = str(Path(__file__).with_name("systemd"))
    docker("build", "-q", "--network", "host", "-t", IMAGE, context, seconds=300)
    return IMAGE


@pytest.fixture(params=["root", "ann"])
def machine(request: pytest.FixtureRequest, image: str, pyz: Path) -> Iterator[Machine]:
    name = f"nanoclaw-systemd-{uuid.uuid4().hex[:8]}"
    docker("run", "-d", "--name", name, *RUN_FLAGS, image)
    try:
        docker("cp", str(pyz), f"{name}:{PYZ}")
        docker("exec", name, "chmod", "755", PYZ)
        made = Machine(name, request.param)
        made.wait_for_boot()
        if made.user != "root":
            docker("exec", name, "loginctl", "enable-linger", made.user)
        made.sh(f"mkdir -m 700 '{made.home}' && echo '{SETTINGS}' > '{made.home}/config.toml'")
        yield made
    finally:
        subprocess.run(["docker", "rm", "-f", name], capture_output=True, check=False, timeout=60)


def test_a_service_lives_its_whole_life(machine: Machine) -> None:
    installed = machine.service("install")
    unit = machine.unit()

    kind = "systemd-system" if machine.user == "root" else "systemd-user"
    assert installed["kind"] == kind
    assert installed["running"] is True
    assert installed["linger"] is (None if machine.user == "root" else True)
    assert machine.systemctl(f"is-enabled {unit}") == "enabled"
    said = machine.sh(f"{PYZ} chat --home '{machine.home}' -m hello")
    assert "You said: hello" in said

    first = machine.main_pid()
    again = machine.service("install")
    assert (again["changed"], again["running"]) == (False, True)
    assert machine.main_pid() == first

    machine.sh(f"kill -9 {first}")
    wait_until(lambda: machine.main_pid() not in (0, first), within=30, what="a new host")
    wait_until(machine.runs, within=30, what="the new host answers")

    assert machine.service("restart")["running"] is True
    assert machine.service("stop")["running"] is False
    assert not machine.runs()
    assert machine.service("start")["running"] is True
    assert "host ready" in machine.sh(f"{PYZ} service logs --home '{machine.home}'")

    docker("restart", "-t", "20", machine.name)
    machine.wait_for_boot()
    wait_until(machine.runs, within=60, what="the host runs after a boot")

    removed = machine.service("uninstall")
    assert removed["changed"] is True
    assert machine.systemctl(f"is-enabled {unit}", check=False) in ("", "not-found")
    assert machine.sh(f"test -s '{machine.home}/data/v2.db' && echo kept").strip() == "kept"
    assert machine.sh("pgrep -u $(id -u) -c python3", check=False).strip() == "0"


def test_a_host_that_hangs_is_replaced_by_the_watchdog(machine: Machine) -> None:
    machine.service("install")
    unit = machine.unit()
    folder = "/etc/systemd/system" if machine.user == "root" else "$HOME/.config/systemd/user"
    machine.sh(f"mkdir -p {folder}/{unit}.d")
    machine.sh(f"printf '[Service]\\nWatchdogSec=2\\n' > {folder}/{unit}.d/short.conf")
    machine.systemctl("daemon-reload")
    machine.service("restart")
    first = machine.main_pid()

    machine.sh(f"kill -STOP {first}")

    wait_until(lambda: machine.main_pid() not in (0, first), within=60, what="a new host")
    wait_until(machine.runs, within=30, what="the new host answers")


def test_a_host_with_a_wrong_setting_is_not_started_again_and_again(machine: Machine) -> None:
    machine.sh(f"echo 'runtime = \"nonsense\"' > '{machine.home}/config.toml'")

    done = subprocess.run(
        ["docker", "exec", machine.name, "su", "-", machine.user, "-c",
         f"NANOCLAW_RUNTIME=process {PYZ} service install --json --home '{machine.home}'"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    answer = json.loads(done.stdout)

    assert done.returncode == 1
    assert answer["running"] is False
    assert "78" in answer["error"]
    assert any("nonsense" in line for line in answer["error_lines"])
    assert machine.systemctl(f"show -P NRestarts {answer['name']}") == "0"
