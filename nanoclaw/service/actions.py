"""What can be done with the service: install, start, stop, restart, look, take away.

Called by the command line and by the wizard's step. Every action can be repeated; ``dry_run``
returns what it would do and does nothing. Data, settings and secrets are never touched.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from contract.clock import to_text, utc_now
from nanoclaw.config import HostConfig
from nanoclaw.service import ncl_link, peers, place, ready
from nanoclaw.service.files import read_bytes, write_file
from nanoclaw.service.kinds import Kind, ServiceError, ServiceResult, ServiceStatus
from nanoclaw.service.manager import Manager
from nanoclaw.service.place import Machine
from nanoclaw.service.spec import ServiceSpec
from nanoclaw.service.systemd import docker_group_is_stale, stale_group_advice
from nanoclaw.service.wrapper import stop_host
from nanoclaw.supervise.instance import running_host_pid

ORPHAN_SECONDS = 10.0
Say = Callable[[str], None]
NOT_INSTALLED = "no service is installed for {home}; install it with `nanoclaw service install`"


@dataclass(frozen=True, slots=True)
class Desk:
    """One home's service on one machine, for all actions."""

    config: HostConfig
    spec: ServiceSpec
    machine: Machine
    say: Say

    def manager(self, kind: Kind) -> Manager:
        return place.make_manager(kind, self.spec, self.machine)

    def installed(self) -> Manager | None:
        """The one that was recorded, else any whose file is there."""
        recorded = place.recorded_kind(self.config.paths)
        kinds = [recorded, *Kind] if recorded else list(Kind)
        return next((m for m in map(self.manager, kinds) if m.file.exists()), None)


def open_desk(
    config: HostConfig, program: Sequence[str], environment: Mapping[str, str], say: Say
) -> Desk:
    machine = place.this_machine(environment)
    return Desk(config, place.make_spec(config.paths, program, machine), machine, say)


def install(desk: Desk, *, kind: Kind | None = None, dry_run: bool = False) -> ServiceResult:
    """S-122, S-127, S-130. Raises ServiceError when it cannot even be tried."""
    chosen = kind or place.choose_kind(desk.machine)
    manager = desk.manager(chosen)
    _check_rights(chosen, desk.machine)
    _check_sockets(chosen, desk.config)
    before = desk.installed()
    if before is not None and before.kind is not chosen:
        raise ServiceError(
            f"this home already has a service of kind {before.kind} ({before.file}); take it away "
            f"first with `nanoclaw service uninstall --kind {before.kind}`"
        )
    content = manager.content()
    changed = read_bytes(manager.file) != content
    result = _result(desk, "install", manager, changed=changed)
    if dry_run:
        steps = (f"write {manager.file}" if changed else f"keep {manager.file}", *manager.plan())
        steps += (f"link {ncl_link.link_file(desk.spec)}",)
        return replace(result, dry_run=True, steps=steps, running=manager.state().active)
    if not changed and manager.state().active and ready.host_answers(desk.config.paths):
        remarks = tuple(ncl_link.link(desk.spec))
        return replace(result, running=True, linger=manager.linger(), notes=remarks)
    desk.config.paths.ensure()
    notes = peers.clean_up(peers.find_peers(desk.spec, desk.machine), desk.machine).notes()
    desk.say(f"writing {manager.file}")
    write_file(manager.file, content, manager.mode)
    _record(desk, chosen)
    stale = _docker_group_is_stale(desk, chosen)
    if stale:
        notes.append(stale_group_advice(_engine_socket(desk.config)))
    _stop_orphan(desk, manager)
    desk.say(f"starting {manager.name}")
    notes += manager.load()
    notes += ncl_link.link(desk.spec)
    result = replace(result, notes=tuple(notes), docker_group_stale=stale, linger=manager.linger())
    return _finish(desk, manager, result)


def start(desk: Desk, *, dry_run: bool = False) -> ServiceResult:
    manager = _must_be_installed(desk)
    result = _result(desk, "start", manager, changed=not manager.state().active)
    if dry_run:
        return replace(result, dry_run=True, steps=(f"start {manager.name}",))
    if result.changed:
        _stop_orphan(desk, manager)
    manager.start()
    return _finish(desk, manager, result)


def restart(desk: Desk, *, dry_run: bool = False) -> ServiceResult:
    """An orderly stop and a start; waits until the host answers."""
    manager = _must_be_installed(desk)
    result = _result(desk, "restart", manager, changed=True)
    if dry_run:
        return replace(result, dry_run=True, steps=(f"restart {manager.name}",))
    desk.say(f"restarting {manager.name}")
    manager.restart()
    return _finish(desk, manager, result)


def stop(desk: Desk, *, dry_run: bool = False) -> ServiceResult:
    """Until the next start by hand or the next boot."""
    manager = _must_be_installed(desk)
    result = _result(desk, "stop", manager, changed=manager.state().active)
    if dry_run:
        return replace(result, dry_run=True, steps=(f"stop {manager.name}",))
    desk.say(f"stopping {manager.name}")
    manager.stop()
    state = manager.state()
    error = f"{manager.name} is still {state.text}" if state.active else ""
    return replace(result, running=state.active, error=error)


def uninstall(desk: Desk, *, kind: Kind | None = None, dry_run: bool = False) -> ServiceResult:
    """Nothing installed is a success too. Data stays where it is."""
    manager = desk.manager(kind) if kind else desk.installed()
    if manager is None or not manager.file.exists():
        manager = manager or desk.manager(place.choose_kind(desk.machine))
        result = _result(desk, "uninstall", manager, changed=False)
        return replace(result, dry_run=dry_run, notes=("no service was installed",))
    _check_rights(manager.kind, desk.machine)
    result = _result(desk, "uninstall", manager, changed=True)
    if dry_run:
        steps = [f"stop and disable {manager.name}", f"remove {manager.file}"]
        if ncl_link.is_linked(desk.spec):
            steps.append(f"remove {ncl_link.link_file(desk.spec)}")
        return replace(result, dry_run=True, steps=tuple(steps))
    desk.say(f"stopping {manager.name}")
    notes = manager.unload()
    manager.file.unlink(missing_ok=True)
    manager.forget()
    notes += ncl_link.unlink(desk.spec)
    if running_host_pid(desk.config.paths) is None:
        from nanoclaw.service.reap import reap_containers  # brings the engine's SDK

        notes += reap_containers(desk.config)
    place.record_file(desk.config.paths).unlink(missing_ok=True)
    notes.append(f"your data stays in {desk.spec.home}")
    return replace(result, notes=tuple(notes), steps=(f"removed {manager.file}",))


def status(desk: Desk) -> ServiceStatus:
    """Looks, changes nothing."""
    manager = desk.installed()
    notes = []
    if manager is None:
        notes.append(NOT_INSTALLED.format(home=desk.spec.home))
        manager = desk.manager(place.choose_kind(desk.machine))
    state = manager.state()
    answers = ready.host_answers(desk.config.paths)
    if state.installed and read_bytes(manager.file) != manager.content():
        notes.append(
            f"{manager.file} is not what this program would write; `nanoclaw service install` "
            "brings it up to date"
        )
    pid = running_host_pid(desk.config.paths)
    if pid and not state.active:
        notes.append(f"a host (pid {pid}) runs on this home, but not as this service")
    return ServiceStatus(
        kind=manager.kind, name=manager.name, file=str(manager.file), home=str(desk.spec.home),
        running=state.active and answers, answers=answers, manager=state, host_pid=pid,
        linger=manager.linger(), notes=tuple(notes),
    )  # fmt: skip


def _must_be_installed(desk: Desk) -> Manager:
    manager = desk.installed()
    if manager is None:
        raise ServiceError(NOT_INSTALLED.format(home=desk.spec.home))
    return manager


def _check_rights(kind: Kind, machine: Machine) -> None:
    if kind is Kind.SYSTEMD_SYSTEM and not machine.is_root:
        raise ServiceError("a system service needs root; run this command with sudo")


def _check_sockets(kind: Kind, config: HostConfig) -> None:
    """Sockets of a long path move to the user's runtime folder, which a system unit has not."""
    paths = config.paths
    moved = paths.socket("router").parent != paths.run or paths.doors.parent != paths.run
    if moved and kind is Kind.SYSTEMD_SYSTEM:
        raise ServiceError(
            f"the path {paths.home} is too long for a system service, because its sockets would "
            "not fit; move the folder to a shorter path and name it with --home"
        )


def _result(desk: Desk, action: str, manager: Manager, *, changed: bool) -> ServiceResult:
    return ServiceResult(
        action, manager.kind, manager.name, str(manager.file), running=False, changed=changed
    )


def _finish(desk: Desk, manager: Manager, result: ServiceResult) -> ServiceResult:
    running, state = ready.wait_until_running(manager, desk.config.paths, desk.say)
    if running:
        return replace(result, running=True)
    lines = ready.last_lines(desk.spec.error_log)
    error = f"{manager.name} does not run: {state.text}"
    if state.last_exit:
        error += f", last exit {state.last_exit}"
    return replace(result, error=error, error_lines=lines)


def _record(desk: Desk, kind: Kind) -> None:
    table = {"kind": kind.value, "installed_at": to_text(utc_now())}
    write_file(place.record_file(desk.config.paths), json.dumps(table).encode(), 0o600)


def _stop_orphan(desk: Desk, manager: Manager) -> None:
    """A host that runs on this home, but not as this service, would keep it from starting."""
    pid = running_host_pid(desk.config.paths)
    if pid and pid != manager.state().pid:
        desk.say(f"stopping the host that was started by hand (pid {pid})")
        stop_host(desk.config.paths, ORPHAN_SECONDS)


def _engine_socket(config: HostConfig) -> Path:
    return Path(config.docker_host.removeprefix("unix://"))


def _docker_group_is_stale(desk: Desk, kind: Kind) -> bool:
    if kind is not Kind.SYSTEMD_USER or not desk.config.docker_host.startswith("unix://"):
        return False
    socket_path = _engine_socket(desk.config)
    usable = os.access(socket_path, os.R_OK | os.W_OK)
    return docker_group_is_stale(desk.machine.shell, socket_path, usable_here=usable)
