"""Carries out what commands of ``ncl`` have left to the delivery process, without one."""

import sqlite3
import threading
from collections.abc import Callable
from types import TracebackType

from contract.clock import utc_now
from contract.errors import SessionFileBusy
from nanoclaw.config import HostConfig
from nanoclaw.db import effects
from nanoclaw.db.connection import open_central
from nanoclaw.effects.base import Again, Done, EffectContext, Failed, Outcome, Requests, UnderWay
from nanoclaw.process.handlers import HANDLERS

KINDS = tuple(kind for kind in HANDLERS if kind.startswith("ncl_"))
TASKS = ("action:pause_task", "action:resume_task", "action:cancel_task", "action:update_task")
LOOK_SECONDS = 0.02


def carry_out(
    conn: sqlite3.Connection,
    config: HostConfig,
    requests: Requests,
    kinds: tuple[str, ...] = KINDS,
) -> None:
    """One attempt at each, whenever it is due."""
    query = "SELECT effect_id, kind FROM effects WHERE state = 'pending' ORDER BY rowid"
    for effect_id, kind in conn.execute(query).fetchall():
        if kind in kinds:
            _attempt(conn, config, requests, effect_id)


def _attempt(
    conn: sqlite3.Connection, config: HostConfig, requests: Requests, effect_id: str
) -> None:
    now = utc_now()
    effect = effects.get(conn, effect_id)
    if effect is None or not effects.begin(conn, effect_id, now):
        return

    def complete(effect_id: str, outcome: Outcome) -> None:
        match outcome:
            case Done(result):
                effects.finish(conn, effect_id, result, now)
            case Again(error):
                effects.retry(conn, effect_id, now, error, now)
            case Failed(error):
                effects.fail(conn, effect_id, error, now)

    context = EffectContext(conn, config, requests, now, complete, lambda *_: None)
    try:
        result = HANDLERS[effect.kind](context, effect)
    except (SessionFileBusy, OSError) as error:
        result = Again(str(error))
    if not isinstance(result, UnderWay):
        complete(effect_id, result)


class Hands:
    """A thread that does it as long as the ``with`` lasts, changes of tasks included."""

    def __init__(
        self, config: HostConfig, requests_of: Callable[[sqlite3.Connection], Requests]
    ) -> None:
        self._config = config
        self._requests_of = requests_of
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> "Hands":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join(10)

    def _work(self) -> None:
        conn = open_central(self._config.paths.central_db)
        requests = self._requests_of(conn)
        try:
            while not self._over.wait(LOOK_SECONDS):
                carry_out(conn, self._config, requests, (*KINDS, *TASKS))
        finally:
            conn.close()
