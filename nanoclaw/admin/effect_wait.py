"""Work that a command leaves to an effect, and waiting a moment for it.

For commands that change more than the central database: what is to be done is recorded in their own
transaction and carried out by the delivery process, which repeats it after a crash. Whoever typed
the command waits to see what came of it. An agent does not: its answer is kept with the commit.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from contract.jsontext import dump
from nanoclaw.admin.context import CommandContext, Finish, Later, Services
from nanoclaw.admin.problems import CommandError
from nanoclaw.bell import DELIVERY
from nanoclaw.db import effects
from nanoclaw.db.connection import open_read_only
from nanoclaw.db.effects import Effect, EffectState, NewEffect
from nanoclaw.errors import StateError
from nanoclaw.paths import HostPaths
from nanoclaw.policy.binding import payload_hash

LOOK_SECONDS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 1.8)
"""Five seconds in all."""

PENDING_NOTE = (
    "it is recorded and will be done; the delivery process has not come to it yet, see `ncl status`"
)


@dataclass(frozen=True, slots=True)
class Awaited:
    """An effect, and what is answered when it is done. ``at_once`` is for those who do not wait.

    ``reports``: the answer says how the effect stands, whatever came of it. ``trouble`` goes before
    the reason when it has failed.
    """

    effect_id: str
    done: Mapping[str, object]
    at_once: Mapping[str, object] = field(default_factory=dict)
    looks: Sequence[float] = LOOK_SECONDS
    reports: bool = False
    trouble: str = ""


def leave_to(
    context: CommandContext, kind: str, payload: Mapping[str, object], agent_group_id: str | None
) -> str:
    """Records the effect in the command's transaction; its id. Once per kind and command."""
    effect_id = f"{kind}/{context.cause}"
    text = dump(dict(payload))
    effects.record(
        context.conn,
        NewEffect(
            effect_id=effect_id,
            kind=kind,
            requested_by=context.actor,
            payload=text,
            payload_hash=payload_hash(text),
            created_at=context.now,
            agent_group_id=agent_group_id,
        ),
    )
    context.ring(DELIVERY)
    return effect_id


def once_done(context: CommandContext, awaited: Awaited) -> object:
    """The command's answer: at once for agents and dry runs, else when the effect has ended."""
    at_once = dict(awaited.at_once or awaited.done)
    if context.agent is not None or context.dry_run:
        return at_once
    return Later(wait_for_effect(context.paths, awaited), at_once)


def wait_for_effect(paths: HostPaths, awaited: Awaited) -> Callable[[Services, Finish], None]:
    def begin(services: Services, finish: Finish) -> None:
        _Wait(paths, awaited, services, finish).look(0)

    return begin


class _Wait:
    """One effect; opens the database for each look, since nobody owns a connection meanwhile."""

    def __init__(
        self, paths: HostPaths, awaited: Awaited, services: Services, finish: Finish
    ) -> None:
        self._paths = paths
        self._awaited = awaited
        self._services = services
        self._finish = finish

    def look(self, number: int) -> None:
        try:
            effect = self._read()
        except StateError as error:
            self._finish(CommandError(str(error)))
            return
        if effect is None or effect.state is EffectState.DONE:
            self._finish(self._done(effect))
        elif effect.state is EffectState.FAILED:
            reason = effect.last_error or effect.result or "it failed"
            self._finish(CommandError(self._awaited.trouble + reason))
        elif number == len(self._awaited.looks):
            so_far = f"; so far: {effect.last_error}" if effect.last_error else ""
            state = EffectState.PENDING.value
            self._finish({**self._awaited.done, "state": state, "note": PENDING_NOTE + so_far})
        else:
            seconds = self._awaited.looks[number]
            self._services.call_later(seconds, lambda: self.look(number + 1))

    def _done(self, effect: Effect | None) -> dict[str, object]:
        if not self._awaited.reports:
            return dict(self._awaited.done)
        result = effect.result if effect is not None else None
        return {**self._awaited.done, "state": EffectState.DONE.value, "result": result}

    def _read(self) -> Effect | None:
        with closing(open_read_only(self._paths.central_db)) as conn:
            return effects.get(conn, self._awaited.effect_id)
