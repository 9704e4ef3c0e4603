"""``ncl logs``: the host's own log, whole or as far as it is about one session or child.

The log holds no message text and no secrets. Whoever follows it asks again with the cursor.
"""

from nanoclaw.admin.arguments import Arguments
from nanoclaw.admin.context import CommandContext
from nanoclaw.admin.log_reading import Wanted, path_opener, read_on, read_tail
from nanoclaw.admin.registry import Access, ArgumentSpec, Operation
from nanoclaw.admin.resources.containers import CURSOR, DEFAULT_LINES, FOLLOW, LINES
from nanoclaw.log import LOG_NAME

LEVELS = ("debug", "info", "warning", "error")


def _logs(context: CommandContext, arguments: Arguments) -> object:
    open_log = path_opener(context.paths.logs / LOG_NAME)
    wanted = _wanted(arguments)
    cursor = arguments.optional(CURSOR.name)
    if cursor:
        piece = read_on(open_log, cursor, wanted)
    else:
        piece = read_tail(open_log, arguments.integer(LINES.name, DEFAULT_LINES), wanted)
    return {"lines": list(piece.lines), "cursor": piece.cursor}


def _wanted(arguments: Arguments) -> Wanted | None:
    """Lines of a trace stand below the line that they belong to, and have no fields."""
    session, child = arguments.optional("session"), arguments.optional("process")
    level = arguments.optional("level")
    if session is None and child is None and level is None:
        return None
    loud = LEVELS[LEVELS.index(level) :] if level is not None else LEVELS

    def wanted(line: str) -> bool:
        parts = line.split(" ", 3)
        if len(parts) < 4 or parts[1].lower() not in (*loud, "critical"):
            return False
        if child is not None and parts[2] != child:
            return False
        return session is None or f"session={session}" in parts[3].split()

    return wanted


LOGS = Operation(
    "logs", Access.OPEN, "the end of the host's log", _logs,
    (
        ArgumentSpec("session", "only lines about this session"),
        ArgumentSpec("process", "only lines of this process, such as delivery"),
        ArgumentSpec("level", "only lines as grave as this or graver", choices=LEVELS),
        LINES,
        FOLLOW,
        CURSOR,
    ),
    for_groups=False, examples=("ncl logs -f", "ncl logs --session <id> --level warning"),
)  # fmt: skip
