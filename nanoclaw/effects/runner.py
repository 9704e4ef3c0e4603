"""Carries effects out: due ones, one after the other, with growing delay for those that must wait.

A ``delivery.companion.Companion``. The table of handlers stands in ``process.handlers``. What one
session's agent has asked for is done in its order; sessions wait for nobody else. Each step is in
the database before the next: begun, the deed, ended. A crash in between repeats the deed, which
every handler can stand.
"""

import logging
import sqlite3
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import assert_never

from contract.clock import utc_now
from contract.errors import ContractError, SessionFileBusy
from contract.ids import derived_id
from contract.killpoint import reached
from nanoclaw.config import HostConfig
from nanoclaw.db import effects, sessions
from nanoclaw.db.effects import Effect
from nanoclaw.effects.base import (
    Again,
    Done,
    EffectContext,
    Failed,
    Handler,
    HandlerResult,
    Outcome,
    Requests,
    UnderWay,
)
from nanoclaw.effects.decide import GiveUp, RetryFacts, TryAgain, decide_retry
from nanoclaw.policy.binding import payload_hash
from nanoclaw.reactor import Reactor, Timer
from nanoclaw.sessions.note import AgentNote, write_note

EFFECTS_PER_LOOK = 16
BUSY_SECONDS = 0.05
"""After so long in one look others get their turn."""
UNDER_WAY_SECONDS = 3600.0
"""Longer than any build; then whoever was asked is taken for dead and the effect is repeated."""
MAX_ERROR = 500

log = logging.getLogger(__name__)


class EffectRunner:
    """Owned by the ``delivery`` process; every method runs on its reactor."""

    def __init__(
        self,
        reactor: Reactor,
        conn: sqlite3.Connection,
        config: HostConfig,
        requests: Requests,
        handlers: Mapping[str, Handler],
    ) -> None:
        self._reactor = reactor
        self._conn = conn
        self._config = config
        self._requests = requests
        self._handlers = handlers
        self._timer: Timer | None = None
        self._look_planned = False
        self._under_way: dict[str, Timer] = {}

    def start(self) -> None:
        """Repeats what an earlier process had begun."""
        repeated = effects.requeue_interrupted(self._conn)
        if repeated:
            log.info("effects are repeated", extra={"reason": f"{repeated} were interrupted"})
        self.look()

    def look(self) -> None:
        """Carries out what is due, a few at a time."""
        began = self._reactor.now()
        found = effects.due(self._conn, utc_now(), EFFECTS_PER_LOOK)
        for effect in found:
            self._carry_out(effect)
            if self._reactor.now() - began > BUSY_SECONDS:
                break
        if found:  # whoever waited for one of these may be next
            self._look_soon()
        self._set_timer()

    def close(self) -> None:
        for timer in (self._timer, *self._under_way.values()):
            if timer is not None:
                timer.cancel()

    def _look_soon(self) -> None:
        if self._look_planned:
            return
        self._look_planned = True

        def planned() -> None:
            self._look_planned = False
            self.look()

        self._reactor.post(planned)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = utc_now()
        at = effects.next_attempt_at(self._conn, now)
        if at is not None:
            delay = (at - now).total_seconds() + 0.001
            self._timer = self._reactor.call_later(delay, self.look)

    # --- one effect -------------------------------------------------------------------------------

    def _carry_out(self, effect: Effect) -> None:
        now = utc_now()
        if not effects.begin(self._conn, effect.effect_id, now):
            return
        reached("effects.begun")
        attempt = effect.attempts + 1
        result = self._attempt(effect, attempt, now)
        if isinstance(result, UnderWay):
            self._wait_for(effect.effect_id, attempt)
            return
        reached("effects.done")
        self._end(effect, attempt, result)

    def _attempt(self, effect: Effect, attempt: int, now: datetime) -> HandlerResult:
        name = _name(effect)
        if payload_hash(effect.payload) != effect.payload_hash:
            log.error("effect was altered", extra=_fields(effect, attempt))
            reason = "its payload is not what was decided on; nothing was done"
            return self._broken(effect, f"{name} was not carried out: {reason}", reason)
        handler = self._handlers.get(effect.kind)
        if handler is None:  # H-127: an action of a newer runner is not done, and its agent knows
            text = f"This host does not know {name!r}, so nothing was done."
            return self._broken(effect, text, f"unknown kind {effect.kind[:100]!r}")
        context = EffectContext(
            conn=self._conn,
            config=self._config,
            requests=self._requests,
            now=now,
            complete=lambda effect_id, outcome: self._complete(effect_id, attempt, outcome),
            go_on=lambda effect_id, step: self._go_on(effect_id, attempt, step),
        )
        return self._guarded(effect, attempt, lambda: handler(context, effect))

    def _go_on(self, effect_id: str, attempt: int, step: Callable[[], HandlerResult]) -> None:
        effect = effects.get(self._conn, effect_id)
        if effect is None or effects.attempt_of(self._conn, effect_id) != attempt:
            return
        result = self._guarded(effect, attempt, step)
        if not isinstance(result, UnderWay):
            self._complete(effect_id, attempt, result)

    def _guarded(
        self, effect: Effect, attempt: int, step: Callable[[], HandlerResult]
    ) -> HandlerResult:
        """What the step answers; what it should not have raised ends it, and its agent knows."""
        try:
            return step()
        except (SessionFileBusy, OSError, sqlite3.OperationalError) as error:
            return Again(str(error))
        except ContractError as error:
            reason = str(error)
        except Exception as error:
            # A handler's defect must not stop all others.
            log.exception("effect failed in an unexpected way", extra=_fields(effect, attempt))
            reason = f"{type(error).__name__}: {error}"
        text = f"{_name(effect)} failed: {reason[:MAX_ERROR]}. Part of it may have been done."
        return self._broken(effect, text, reason)

    def _broken(self, effect: Effect, text: str, error: str) -> Outcome:
        """Ends what no handler could end, or even begin."""
        try:
            self._tell(effect, text, utc_now())
        except (SessionFileBusy, OSError) as busy:
            return Again(str(busy))
        except ContractError as reason:
            log.warning("note not written", extra=_fields(effect, 0, str(reason)))
        return Failed(error)

    # --- how it ended -----------------------------------------------------------------------------

    def _wait_for(self, effect_id: str, attempt: int) -> None:
        def too_long() -> None:
            self._complete(effect_id, attempt, Again("no answer came"))

        # Whoever answers before the handler has returned has already ended it.
        if effects.attempt_of(self._conn, effect_id) == attempt:
            timer = self._reactor.call_later(UNDER_WAY_SECONDS, too_long)
            self._under_way[effect_id] = timer

    def _complete(self, effect_id: str, attempt: int, outcome: Outcome) -> None:
        """An answer to an earlier attempt, or a second one, changes nothing."""
        effect = effects.get(self._conn, effect_id)
        if effect is None or effects.attempt_of(self._conn, effect_id) != attempt:
            return
        timer = self._under_way.pop(effect_id, None)
        if timer is not None:
            timer.cancel()
        reached("effects.done")
        self._end(effect, attempt, outcome)
        self._look_soon()

    def _end(self, effect: Effect, attempt: int, outcome: Outcome) -> None:
        now = utc_now()
        match outcome:
            case Done(result):
                effects.finish(self._conn, effect.effect_id, result[:MAX_ERROR], now)
                log.info("effect done", extra=_fields(effect, attempt))
            case Failed(error):
                effects.fail(self._conn, effect.effect_id, error[:MAX_ERROR], now)
                log.warning("effect failed", extra=_fields(effect, attempt, error))
            case Again():
                self._again(effect, attempt, outcome, now)
            case _:
                assert_never(outcome)
        reached("effects.finished")

    def _again(self, effect: Effect, attempt: int, outcome: Again, now: datetime) -> None:
        facts = RetryFacts(now, effect.created_at, attempt, outcome.seconds)
        decision = decide_retry(facts)
        error = outcome.error[:MAX_ERROR]
        match decision:
            case TryAgain(at):
                effects.retry(self._conn, effect.effect_id, at, error, now)
                log.info("effect waits", extra=_fields(effect, attempt, error))
            case GiveUp():
                self._give_up(effect, attempt, error, now)
            case _:
                assert_never(decision)

    def _give_up(self, effect: Effect, attempt: int, error: str, now: datetime) -> None:
        """Told first, then ended: a crash in between tells it once."""
        name = _name(effect)
        try:
            self._tell(effect, f"{name} could not be carried out in 24 hours: {error}", now)
        except (ContractError, OSError) as reason:
            log.warning("note not written", extra=_fields(effect, attempt, str(reason)))
        effects.fail(self._conn, effect.effect_id, error, now)
        log.error("effect given up", extra=_fields(effect, attempt, error))

    def _tell(self, effect: Effect, text: str, now: datetime) -> None:
        session = sessions.get(self._conn, effect.session_id) if effect.session_id else None
        if session is None:
            return
        note_id = derived_id("sys", effect.created_at, f"{effect.effect_id}/end")
        write_note(self._conn, self._config.paths, session, AgentNote(note_id, text), now)


def _name(effect: Effect) -> str:
    """What the agent calls it."""
    return effect.kind.rpartition(":")[2][:100]


def _fields(effect: Effect, attempt: int, reason: str = "") -> dict[str, object]:
    fields = {
        "session": effect.session_id,
        "group": effect.agent_group_id,
        "attempt": attempt,
        "reason": f"{effect.kind} {effect.effect_id} {reason}".strip()[:MAX_ERROR],
    }
    return {key: value for key, value in fields.items() if value is not None}
