"""``nanoclaw status``: what the host on this home is doing, from outside.

Reads the supervisor's file, and asks the admin process for the counts if it answers. Works with a
broken or a stopped host too. Exit code 0: running; 3: not running, as service managers have it.
"""

import argparse
import dataclasses
from dataclasses import dataclass

from nanoclaw.admin.client import ask
from nanoclaw.admin.frames import Success
from nanoclaw.backup.proof import describe_backups
from nanoclaw.cli.render import print_json, print_text, render_host_view
from nanoclaw.config import HostConfig
from nanoclaw.errors import NanoclawError
from nanoclaw.supervise.instance import running_host_pid
from nanoclaw.supervise.status import HostStatus, read_status

ADMIN_SECONDS = 3
NOT_RUNNING = 3


@dataclass(frozen=True, slots=True)
class HostView:
    """``host`` is what the supervisor wrote last, also when it is gone; ``facts`` is what the
    admin process adds, sections of plain values."""

    home: str
    running: bool
    pid: int | None
    host: HostStatus | None
    facts: dict[str, dict[str, object]]


def main(arguments: argparse.Namespace, config: HostConfig) -> int:
    view = read_host_view(config)
    if arguments.json:
        print_json(dataclasses.asdict(view))
    else:
        print_text(render_host_view(view))
    return 0 if view.running else NOT_RUNNING


def read_host_view(config: HostConfig) -> HostView:
    pid = running_host_pid(config.paths)
    host = read_status(config.paths.status_file)
    if pid and host is not None and host.pid != pid:
        host = None  # left by an earlier host; the present one has not written yet
    facts = _ask_admin(config) if pid is not None else {}
    facts["backups"] = describe_backups(config.paths)
    return HostView(str(config.home), pid is not None, pid, host, facts)


def _ask_admin(config: HostConfig) -> dict[str, dict[str, object]]:
    try:
        answer = ask(config.paths.socket("ncl"), "status", {}, ADMIN_SECONDS)
    except NanoclawError:
        return {}  # its own line in the list of children says why
    if not isinstance(answer, Success) or not isinstance(answer.data, dict):
        return {}
    sections = ((name, answer.data.get(name)) for name in ("work", "containers"))
    return {name: section for name, section in sections if isinstance(section, dict)}
