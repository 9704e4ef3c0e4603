"""The machine: Python, SQLite, memory, limits, letters, time zones."""

from zoneinfo import ZoneInfo

from nanoclaw.db.connection import OLDEST_SQLITE
from nanoclaw.doctor.base import Check, Finding, Severity
from nanoclaw.doctor.facts import Facts

OLDEST_PYTHON = (3, 11)
LEAST_MEMORY = 1 << 30
LEAST_FILES = 1024
LEAST_WATCHES = 8192


def _python(facts: Facts) -> Finding | None:
    if facts.machine.python >= OLDEST_PYTHON:
        return None
    shown = ".".join(str(part) for part in facts.machine.python)
    return Finding(f"Python {shown}", "The host needs 3.11 or newer and may fail at any place.",
                   "uv python install 3.13")  # fmt: skip


def _sqlite(facts: Facts) -> Finding | None:
    if facts.machine.sqlite >= OLDEST_SQLITE:
        return None
    shown = ".".join(str(part) for part in facts.machine.sqlite)
    return Finding(f"SQLite {shown}", "The database cannot be opened; 3.37 or newer is needed.",
                   "uv python install 3.13")  # fmt: skip


def _fts(facts: Facts) -> Finding | None:
    if facts.machine.fts5:
        return None
    return Finding("SQLite without FTS5", "`ncl search` finds nothing.", "uv python install 3.13")


def _memory(facts: Facts) -> Finding | None:
    if facts.machine.memory_bytes >= LEAST_MEMORY:
        return None
    mib = facts.machine.memory_bytes >> 20
    return Finding(f"{mib} MiB of memory", "A second agent beside the first may be killed.",
                   "max_running = 1 in config.toml, or more memory", by_hand=True)  # fmt: skip


def _cpus(facts: Facts) -> Finding | None:
    if facts.machine.cpus >= 2:
        return None
    return Finding("one processor", "Agents that run at once slow each other down.",
                   "max_running = 2 in config.toml keeps chats quick", by_hand=True)  # fmt: skip


def _open_files(facts: Facts) -> Finding | None:
    if facts.machine.open_files < 0 or facts.machine.open_files >= LEAST_FILES:
        return None
    return Finding(f"a process may open {facts.machine.open_files} files",
                   "The vault refuses connections when many agents run.",
                   "ulimit -n 4096")  # fmt: skip


def _watches(facts: Facts) -> Finding | None:
    if facts.machine.watches is None or facts.machine.watches >= LEAST_WATCHES:
        return None
    return Finding(f"{facts.machine.watches} inotify watches for this user",
                   "New output of agents is noticed later, by looking now and then.",
                   "sudo sysctl fs.inotify.max_user_watches=65536")  # fmt: skip


def _letters(facts: Facts) -> Finding | None:
    if facts.machine.encoding.lower().replace("-", "") == "utf8":
        return None
    return Finding(f"the letters of this shell are {facts.machine.encoding}",
                   "Names and messages look wrong in the terminal.",
                   "export LANG=C.UTF-8")  # fmt: skip


def _zones(facts: Facts) -> Finding | None:
    try:
        ZoneInfo(facts.config.timezone)
    except (OSError, ValueError, LookupError):
        return Finding(f"no data for the time zone {facts.config.timezone}",
                       "Tasks cannot be planned.", "sudo apt-get install tzdata")  # fmt: skip
    return None


_E, _W, _N = Severity.ERROR, Severity.WARNING, Severity.NOTE
CHECKS = (
    Check("host-python", "host", _E, "Python is new enough", _python),
    Check("host-sqlite", "host", _E, "SQLite is new enough", _sqlite),
    Check("host-search", "host", _W, "SQLite can search texts", _fts),
    Check("host-memory", "host", _W, "there is memory for two agents", _memory),
    Check("host-cpus", "host", _N, "there is more than one processor", _cpus),
    Check("host-files", "host", _W, "a process may open enough files", _open_files),
    Check("host-watches", "host", _W, "enough folders can be watched", _watches),
    Check("host-letters", "host", _N, "the shell has UTF-8 letters", _letters),
    Check("host-zones", "host", _E, "the time zone is known", _zones),
)
