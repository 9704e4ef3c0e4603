"""Is there a container engine that this user may use?

The engine is asked over its socket, as the host does it; only if that fails the ``docker`` program
is asked for the reason (S-68). Every state ends in one exact command (S-69, S-70). Nothing is
installed or started here, and ``sudo`` is only ever shown.
"""

import getpass
import grp
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from nanoclaw.config import HostConfig, Runtime
from nanoclaw.containers.engine_ping import ping
from nanoclaw.containers.runtime import EngineDown
from nanoclaw.errors import ConfigError
from setup.base import Finding, Question, Status, StepContext, StepResult
from setup.config_file import set_key

INFO_SECONDS = 15.0
MAX_OUTPUT = 64 * 1024
DOCKER_GROUP = "docker"
DOCUMENTATION = "https://docs.docker.com/engine/install/"
HOST_FORMAT = "{{.Endpoints.docker.Host}}"


class Engine(StrEnum):
    """What stands between us and a container."""

    OK = "ok"
    ELSEWHERE = "elsewhere"
    NO_PERMISSION = "no-permission"
    NO_DAEMON = "no-daemon"
    NOT_INSTALLED = "not-installed"
    TOO_OLD = "too-old"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Seen:
    """``address`` is where the engine answers, ``detail`` what it or ``docker`` said."""

    state: Engine
    address: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """What the advice depends on. ``in_group``: listed in the group, perhaps not yet logged in
    with it."""

    user: str
    is_mac: bool = False
    is_wsl: bool = False
    has_systemd: bool = True
    in_group: bool = False


class DockerStep:
    name = "docker"
    title = "Find the container engine that agents run in"
    seconds = 60.0
    needs: tuple[str, ...] = ()
    questions: tuple[Question, ...] = ()

    def inspect(self, config: HostConfig, answers: Mapping[str, str]) -> Finding:
        if config.runtime is Runtime.PROCESS:
            return Finding(True, "agents run as plain processes, as the setting runtime says")
        seen = look(config)
        facts = {"engine": seen.state.value, "address": seen.address}
        if seen.state is Engine.OK:
            return Finding(True, f"the engine at {seen.address} answers", facts=facts)
        if seen.state is Engine.ELSEWHERE:
            return Finding(
                False, f"the engine answers at {seen.address}", facts=facts,
                plan=f"write docker_host = {seen.address} into {config.paths.config_file}",
            )  # fmt: skip
        advice = advise(seen, read_machine())
        return Finding(False, "there is no usable engine", facts=facts, blocked=advice)

    def apply(self, context: StepContext) -> StepResult:
        config = context.config
        if config.runtime is Runtime.PROCESS:
            return StepResult(Status.SKIPPED, "agents run as plain processes")
        seen = look(config)
        if seen.state is Engine.ELSEWHERE:
            try:
                set_key(config.paths.config_file, "docker_host", seen.address)
            except ConfigError as error:
                return StepResult(Status.FAILED, str(error))
        return result_of(seen)

    def verify(self, context: StepContext) -> StepResult:
        if context.config.runtime is Runtime.PROCESS:
            return StepResult(Status.SKIPPED, "agents run as plain processes")
        return result_of(look(context.config))


def result_of(seen: Seen) -> StepResult:
    fields = {"engine": seen.state.value, "address": seen.address}
    if seen.state in (Engine.OK, Engine.ELSEWHERE):
        return StepResult(Status.SUCCESS, f"the engine at {seen.address} answers", fields)
    machine = read_machine()
    return StepResult(
        Status.FAILED, advise(seen, machine), fields, next_step=command(seen, machine)
    )


def look(config: HostConfig) -> Seen:
    """Asks the engine, then ``docker``. Changes nothing."""
    address = config.docker_host
    found = _ping(address)
    if found is not None and found.state is not Engine.OTHER:
        return found
    program = shutil.which("docker")
    if program is None:
        if found is not None and "permission denied" in found.detail.lower():
            return Seen(Engine.NO_PERMISSION, address, found.detail)
        return Seen(Engine.NOT_INSTALLED, address)
    code, output = _run(program, "info")
    state = classify(code, output)
    if state is not Engine.OK:
        return Seen(state, address, output.strip()[-400:])
    _, elsewhere = _run(program, "context", "inspect", "--format", HOST_FORMAT)
    other = elsewhere.strip().splitlines()[0] if elsewhere.strip() else ""
    if other and other != address:
        answered = _ping(other)
        if answered is not None and answered.state is not Engine.OTHER:
            state = Engine.ELSEWHERE if answered.state is Engine.OK else answered.state
            return Seen(state, other)
    return Seen(Engine.OTHER, address, f"`docker info` works, but nothing answers at {address}")


def classify(code: int, output: str) -> Engine:
    """What ``docker info`` has said (S-68)."""
    text = output.lower()
    if code == 0:
        return Engine.OK
    if "permission denied" in text:
        return Engine.NO_PERMISSION
    if any(
        part in text for part in ("cannot connect", "is the docker daemon running", "no such file")
    ):
        return Engine.NO_DAEMON
    return Engine.OTHER


def command(seen: Seen, machine: Machine) -> str:
    """The one command that helps."""
    match seen.state:
        case Engine.OK | Engine.ELSEWHERE:
            return ""
        case Engine.NO_PERMISSION if machine.in_group:
            return "newgrp docker"
        case Engine.NO_PERMISSION:
            return f"sudo usermod -aG docker {shlex.quote(machine.user)}"
        case Engine.NO_DAEMON | Engine.TOO_OLD | Engine.NOT_INSTALLED if machine.is_mac:
            if seen.state is Engine.NO_DAEMON:
                return "open -a Docker"
            return "brew install --cask docker"
        case Engine.NO_DAEMON if machine.has_systemd:
            return "sudo systemctl start docker"
        case Engine.NO_DAEMON:
            return "sudo service docker start"
        case Engine.NOT_INSTALLED | Engine.TOO_OLD:
            return "curl -fsSL https://get.docker.com | sudo sh"
    return "docker info"


def advise(seen: Seen, machine: Machine) -> str:
    """Why no container can be started, and the one command."""
    run = command(seen, machine)
    again = "then run `nanoclaw setup` again"
    match seen.state:
        case Engine.NO_PERMISSION if machine.in_group:
            return (
                f"{machine.user} is in the group docker, but this login is older than that; log "
                f"in again, or run: {run} -- {again}"
            )
        case Engine.NO_PERMISSION:
            return (
                f"{machine.user} may not use the container engine. Whoever may use it has in "
                f"effect the rights of root; to allow it run: {run} -- log in again, {again}"
            )
        case Engine.NO_DAEMON:
            where = " (or start Docker Desktop in Windows)" if machine.is_wsl else ""
            return f"the container engine is not running; run: {run}{where} -- {again}"
        case Engine.NOT_INSTALLED:
            return (
                f"there is no container engine. Docker's own installer needs root and changes the "
                f"system ({DOCUMENTATION} explains it); run: {run} -- {again}"
            )
        case Engine.TOO_OLD:
            return f"the container engine is older than Docker 20.10; renew it: {run} -- {again}"
    return f"the container engine cannot be used: {seen.detail or 'no reason given'}; run: {run}"


def read_machine() -> Machine:
    """This machine and its user."""
    user = getpass.getuser() if os.getuid() else "root"
    try:
        in_group = user in grp.getgrnam(DOCKER_GROUP).gr_mem
    except KeyError:
        in_group = False
    return Machine(
        user,
        is_mac=sys.platform == "darwin",
        is_wsl="microsoft" in os.uname().release.lower(),
        has_systemd=Path("/run/systemd/system").is_dir(),
        in_group=in_group,
    )


def _ping(address: str) -> Seen | None:
    """None: no plain address."""
    if not address.startswith(("unix://", "tcp://", "http://")):
        return None
    try:
        answer = ping(address)
    except EngineDown as error:
        return Seen(Engine.OTHER, address, str(error))
    return Seen(Engine.OK if answer.is_new_enough else Engine.TOO_OLD, address)


def _run(*words: str) -> tuple[int, str]:
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, errors="replace", check=False,
            stdin=subprocess.DEVNULL, timeout=INFO_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 1, f"`{Path(words[0]).name} {words[1]}` gave no answer in {INFO_SECONDS:g} seconds"
    except OSError as error:
        return 1, f"{words[0]} cannot be started: {error.strerror or error}"
    return done.returncode, (done.stdout + done.stderr)[:MAX_OUTPUT]
