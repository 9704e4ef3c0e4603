"""``ncl --offline``: rows read from the database while the host is down (N-30).

Called by ``ncl`` when nobody listens, and imported only then. Runs the same commands as the host
does, on a connection that cannot write; whatever is more than looking at rows needs the host.
"""

import sqlite3
from collections.abc import Callable

from contract.clock import utc_now
from nanoclaw.admin import lookup
from nanoclaw.admin.caller import HOST
from nanoclaw.admin.commands import host_registry
from nanoclaw.admin.dispatch import Call, Dispatcher, Surroundings
from nanoclaw.admin.frames import Request, Response
from nanoclaw.admin.problems import CommandError
from nanoclaw.cli.render import print_error
from nanoclaw.config import load_config
from nanoclaw.db.connection import open_read_only
from nanoclaw.errors import StateError
from nanoclaw.events import Frame
from nanoclaw.link import Answer
from nanoclaw.paths import HostPaths

READING_VERBS = ("list", "get", "show", "help")
ADVICE = "--offline is for list, get, show and help"
CAUSE = "ncl-offline"


def can_answer(request: Request) -> bool:
    """Whether it only looks at rows; also for what is no command at all."""
    if "help" in request.args:
        return True
    try:
        command = lookup.find(host_registry(), request, lambda _: True).command
    except CommandError:
        return True
    verb = command.operation.verb.split()[-1]
    return not command.operation.mutating and verb in READING_VERBS


def answer_offline(request: Request, paths: HostPaths) -> Response:
    """The host's answer, as far as the database alone can give it."""
    database = _Database(paths)
    config = load_config(home=paths.home)
    # Nothing is written here, so no pattern has to be judged.
    around = Surroundings(config, database.connect, _NoServices(), lambda _: None)
    answers: list[Response] = []
    try:
        call = Call(request, HOST, utc_now(), CAUSE)
        Dispatcher(host_registry(), around).handle(call, answers.append)
    finally:
        database.close()
    print_error(f"the host is down; this is what {paths.central_db} says", program="ncl")
    return answers[0]


class _Database:
    """Opened by the first command that looks; help does not."""

    def __init__(self, paths: HostPaths) -> None:
        self._path = paths.central_db
        self._conn: sqlite3.Connection | None = None

    def connect(self) -> sqlite3.Connection:
        if self._conn is None:
            if not self._path.exists():
                raise StateError(f"there is no database at {self._path}; is --home right?")
            self._conn = open_read_only(self._path)
        return self._conn

    def close(self) -> None:
        if self._conn is not None:
            self._conn.close()


class _NoServices:
    """There is no other process."""

    def to_sweep(self, frame: Frame, seconds: float, on_answer: Callable[[Answer], None]) -> None:
        raise CommandError("this needs the running host")

    def call_later(self, seconds: float, callback: Callable[[], None]) -> object:
        raise CommandError("this needs the running host")
