"""The options of ``nanoclaw service``; the commands themselves are in ``service``.

Called by ``commands`` for the tree of all options, so nothing heavy is imported here.
"""

import argparse
from collections.abc import Callable

KINDS = ("systemd-user", "systemd-system", "launchd", "nohup")
"""As ``nanoclaw.service.kinds`` has them; a test compares the two."""


def add_commands(
    parent: "argparse._SubParsersAction[argparse.ArgumentParser]", run: Callable[..., int]
) -> list[argparse.ArgumentParser]:
    """``service`` and the commands below it, for the options that all commands share."""
    service = parent.add_parser("service", help="run the host as a service of this machine")
    service.set_defaults(run_command=run)
    commands = service.add_subparsers(
        title="commands", metavar="COMMAND", required=True, dest="service_command"
    )
    made = {
        "install": commands.add_parser(
            "install", help="start the host now, at every boot and after a crash"
        ),
        "uninstall": commands.add_parser("uninstall", help="take the service away; data stays"),
        "start": commands.add_parser("start", help="start it and wait until it answers"),
        "stop": commands.add_parser("stop", help="stop it until the next start or boot"),
        "restart": commands.add_parser("restart", help="stop it in order and start it again"),
        "status": commands.add_parser("status", help="show what the service manager says"),
        "logs": commands.add_parser("logs", help="show the end of the host's log"),
    }
    for name, command in made.items():
        if name != "logs":
            command.add_argument("--json", action="store_true", help="print JSON for programs")
        if name not in ("status", "logs"):
            command.add_argument(
                "--dry-run", action="store_true", help="say what would be done, do nothing"
            )
        if name in ("install", "uninstall"):
            command.add_argument(
                "--kind", choices=KINDS, help="kind of service (default: what this machine has)"
            )
    logs = made["logs"]
    logs.add_argument("--lines", metavar="N", type=int, default=50, help="how many (default: 50)")
    logs.add_argument("--errors", action="store_true", help="what went to standard error instead")
    logs.add_argument("--follow", action="store_true", help="go on until Ctrl-C")
    return [service, *made.values()]
