"""``nanoclaw service``: the host as a service of this machine.

Called by ``commands``. Exit codes: 0 done or running; 1 it does not run although it should, with
the last lines of its error log; for ``status`` also 3 stopped and 4 not installed, as other
service tools have it.
"""

import argparse
import dataclasses
import sys
import time
from pathlib import Path

from nanoclaw.cli.render import print_json, print_text, render_value
from nanoclaw.config import SETTINGS, HostConfig, host_environment
from nanoclaw.errors import NanoclawError
from nanoclaw.launch import own_command
from nanoclaw.service import actions, ready
from nanoclaw.service.actions import Desk
from nanoclaw.service.kinds import Kind, ServiceResult, ServiceStatus

FAILED, STOPPED, NOT_INSTALLED = 1, 3, 4
MAX_LINES = 10_000
FOLLOW_SECONDS = 0.5
SHOWN = {True: "yes", False: "no", None: "-"}


def main(arguments: argparse.Namespace, config: HostConfig) -> int:
    desk = actions.open_desk(config, own_command(), host_environment(), _say)
    command = arguments.service_command
    if command == "status":
        return _show(actions.status(desk), as_json=arguments.json)
    if command == "logs":
        return _logs(arguments, desk)
    result = _act(command, arguments, desk)
    if command == "install":
        result = dataclasses.replace(result, notes=(*result.notes, *shell_only_settings(config)))
    if arguments.json:
        print_json(dataclasses.asdict(result))
    else:
        print_text(render_result(result))
    return FAILED if result.error else 0


def _act(command: str, arguments: argparse.Namespace, desk: Desk) -> ServiceResult:
    dry_run: bool = arguments.dry_run
    if command in ("install", "uninstall"):
        kind = Kind(arguments.kind) if arguments.kind else None
        action = actions.install if command == "install" else actions.uninstall
        return action(desk, kind=kind, dry_run=dry_run)
    simple = {"start": actions.start, "stop": actions.stop, "restart": actions.restart}
    return simple[command](desk, dry_run=dry_run)


def shell_only_settings(config: HostConfig) -> list[str]:
    """A service has none of the shell's variables, so what only they say would be lost."""
    here = host_environment()
    names = [setting.variable for setting in SETTINGS if here.get(setting.variable)]
    names = [name for name in names if name != "TZ"]
    if not names:
        return []
    return [
        f"only your shell sets {', '.join(names)}; the service does not see that, so put it into "
        f"{config.paths.config_file}"
    ]


def render_result(result: ServiceResult) -> str:
    if result.dry_run:
        lines = [f"would {result.action} {result.name} ({result.kind}):"]
        lines += [f"  {step}" for step in result.steps] or ["  nothing"]
    elif result.error:
        lines = [result.error]
        lines += [f"  {line}" for line in result.error_lines]
        lines.append("look further with `nanoclaw service logs --errors`")
    else:
        state = "running" if result.running else "stopped"
        if result.action == "uninstall":
            state = "removed" if result.changed else "not installed"
        unchanged = "" if result.changed else ", nothing had to be changed"
        lines = [f"{result.name} ({result.kind}): {state}{unchanged}"]
    lines += [f"note: {note}" for note in result.notes]
    return "\n".join(lines)


def _show(status: ServiceStatus, *, as_json: bool) -> int:
    if as_json:
        print_json(dataclasses.asdict(status))
    else:
        state = status.manager
        fields = {
            "service": f"{status.name} ({status.kind})",
            "file": status.file if state.installed else "-",
            "home": status.home,
            "state": state.text,
            "answers": SHOWN[status.answers],
            "pid": state.pid,
            "since": state.since or "-",
            "restarts": state.restarts,
            "last exit": state.last_exit or "-",
            "goes on after logout": SHOWN[status.linger],
        }
        print_text(render_value(fields))
        for note in status.notes:
            print_text(f"note: {note}")
    if status.running:
        return 0
    return STOPPED if status.manager.installed else NOT_INSTALLED


def _logs(arguments: argparse.Namespace, desk: Desk) -> int:
    path = desk.spec.error_log if arguments.errors else desk.spec.log
    count = min(max(arguments.lines, 0), MAX_LINES)
    if not path.exists():
        raise NanoclawError(f"there is no {path} yet; start the host with `nanoclaw service start`")
    lines = ready.last_lines(path, count)
    if lines:
        print_text("\n".join(lines))
    if arguments.follow:
        _follow(path)
    return 0


def _follow(path: Path) -> None:
    """Until Ctrl-C; a rotated file is followed by its name."""
    position = path.stat().st_size
    while True:
        time.sleep(FOLLOW_SECONDS)
        try:
            size = path.stat().st_size
            if size < position:
                position = 0
            with path.open("rb") as file:
                file.seek(position)
                data = file.read(1024 * 1024)
        except OSError:
            continue
        position += len(data)
        sys.stdout.write(data.decode(errors="replace"))
        sys.stdout.flush()


def _say(text: str) -> None:
    sys.stderr.write(f"{text} ...\n")
    sys.stderr.flush()
