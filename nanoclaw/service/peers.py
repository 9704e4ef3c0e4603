"""Other NanoClaw services of this user, and what is done about those that crash in a loop.

Called by ``actions`` before installing (S-142 to S-146). Early releases removed the containers of
every installation at each of their starts; one that crashes again and again does so all day. A
healthy one, or one that somebody stopped, is never touched.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nanoclaw.service.kinds import Kind
from nanoclaw.service.launchd import AGENTS_FOLDER, parse_print
from nanoclaw.service.place import Machine
from nanoclaw.service.shell import Shell
from nanoclaw.service.spec import ServiceSpec
from nanoclaw.service.systemd import SYSTEM_FOLDER, USER_FOLDER, parse_properties

MANY_RESTARTS = 10
MAX_PEERS = 50
STOPPED_BY_TERM = ("15", "143")


@dataclass(frozen=True, slots=True)
class Peer:
    """One service that is not ours."""

    name: str
    kind: Kind
    state: str
    unhealthy: bool


@dataclass(frozen=True, slots=True)
class PeerReport:
    """S-145, with names; ``reported`` are unhealthy ones that only their owner may stop."""

    checked: tuple[str, ...] = ()
    unloaded: tuple[str, ...] = ()
    reported: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()

    def notes(self) -> list[str]:
        """What people should know; nothing when there is nothing to say."""
        lines = [f"stopped {name}: it crashed in a loop" for name in self.unloaded]
        lines += [f"{name} crashes in a loop; its owner should stop it" for name in self.reported]
        lines += [f"could not stop {failure}" for failure in self.failures]
        healthy = len(self.checked) - len(self.unloaded) - len(self.reported) - len(self.failures)
        if healthy:
            lines.append(f"{healthy} other NanoClaw service(s) on this machine, left alone")
        return lines


def find_peers(
    spec: ServiceSpec, machine: Machine, system_folder: Path = SYSTEM_FOLDER
) -> list[Peer]:
    """Every other service, by the names of the files that define them."""
    return list(_find(spec, machine, system_folder))[:MAX_PEERS]


def _find(spec: ServiceSpec, machine: Machine, system_folder: Path) -> Iterator[Peer]:
    if machine.platform == "darwin":
        for file in _files(machine.user_home / AGENTS_FOLDER, "com.nanoclaw*.plist"):
            if file.stem != spec.label:
                yield from _launchd_peer(file, machine.shell)
        return
    if not machine.systemd_runs:
        return
    own = spec.unit
    folders = (
        (machine.user_home / USER_FOLDER, Kind.SYSTEMD_USER),
        (system_folder, Kind.SYSTEMD_SYSTEM),
    )
    for folder, kind in folders:
        for file in _files(folder, "nanoclaw*.service"):
            if file.name != own:
                yield _systemd_peer(file.name, kind, machine.shell)


def clean_up(peers: list[Peer], machine: Machine) -> PeerReport:
    """Stops the unhealthy ones that belong to this user."""
    unloaded, reported, failures = [], [], []
    for peer in peers:
        if not peer.unhealthy:
            continue
        if peer.kind is Kind.SYSTEMD_SYSTEM:
            reported.append(peer.name)
            continue
        if peer.kind is Kind.LAUNCHD:
            file = machine.user_home / AGENTS_FOLDER / f"{peer.name}.plist"
            done = machine.shell.run("launchctl", "unload", str(file))
        else:
            done = machine.shell.run("systemctl", "--user", "disable", "--now", peer.name)
        if done.ok:
            unloaded.append(peer.name)
        else:
            failures.append(f"{peer.name}: {done.reason}")
    names = tuple(peer.name for peer in peers)
    return PeerReport(names, tuple(unloaded), tuple(reported), tuple(failures))


def _launchd_peer(file: Path, shell: Shell) -> Iterator[Peer]:
    shown = shell.run("launchctl", "print", f"gui/{shell.uid}/{file.stem}")
    if shown.ok:
        state, runs = parse_print(shown.out)
        unhealthy = state != "running" and runs > MANY_RESTARTS
        yield Peer(file.stem, Kind.LAUNCHD, state, unhealthy)


def _systemd_peer(name: str, kind: Kind, shell: Shell) -> Peer:
    user = ("--user",) if kind is Kind.SYSTEMD_USER else ()
    properties = "--property=ActiveState,NRestarts,Result,ExecMainStatus"
    shown = shell.run("systemctl", *user, "show", properties, name)
    facts = parse_properties(shown.out)
    state, restarts = facts.get("ActiveState", "unknown"), facts.get("NRestarts", "0")
    looping = restarts.isdecimal() and int(restarts) > MANY_RESTARTS
    stopped = facts.get("Result") in ("signal", "exit-code") and (
        facts.get("ExecMainStatus") in STOPPED_BY_TERM and not looping
    )
    unhealthy = shown.ok and (
        (state == "failed" and not stopped) or (state not in ("active", "unknown") and looping)
    )
    return Peer(name, kind, state, unhealthy)


def _files(folder: Path, pattern: str) -> list[Path]:
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []
