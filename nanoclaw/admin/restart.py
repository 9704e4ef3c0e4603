"""Restarts containers for ``groups restart`` and ``sessions restart`` (N-87 to N-91).

The notes for the fresh containers are written and the sweep is asked after the command has
committed; the answer is how many containers are being stopped. A new image is built by an effect,
which also stops the containers; whoever waits for the answer holds nobody up.
"""

import logging
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from contract.errors import SessionFileError
from contract.ids import derived_id
from nanoclaw.admin.context import CommandContext, Finish, Later, Services
from nanoclaw.admin.problems import CommandError
from nanoclaw.agents.install import BuildRequest, request_build
from nanoclaw.bell import DELIVERY
from nanoclaw.containers.packages import stored_packages
from nanoclaw.db import container_configs, effects, sessions
from nanoclaw.db.effects import EffectState
from nanoclaw.events import Ok, StopContainers
from nanoclaw.link import Answer
from nanoclaw.model import Session
from nanoclaw.sessions.note import AgentNote, write_note
from nanoclaw.sessions.restart import Restart, prepare_restart

ANSWER_SECONDS = 10.0
LOOK_SECONDS = 0.2
REASON = "restarted by ncl"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """``session_id``: only this one of the group. ``message`` is for the fresh containers."""

    agent_group_id: str
    session_id: str | None = None
    message: str | None = None


def restart(context: CommandContext, wanted: Wanted) -> Later:
    """Of what is running now; sessions without a container come back by themselves."""
    count = len(_running(context, wanted))
    conn, paths, now = context.conn, context.paths, context.now
    order = Restart(
        agent_group_id=wanted.agent_group_id,
        cause=context.cause,
        reason=REASON,
        asked_at=now,
        changed_at=now,
        message=wanted.message,
        only_for=wanted.session_id,
    )

    def begin(services: Services, finish: Finish) -> None:
        frame = _only(prepare_restart(conn, paths, order, now), wanted.session_id)
        if not frame.session_ids:
            finish({"restarted": 0, "rebuilt": False})
            return

        def on_answer(answer: Answer) -> None:
            if isinstance(answer, Ok):
                finish({"restarted": len(frame.session_ids), "rebuilt": False})
            else:
                finish(CommandError(f"the sweep does not answer ({answer}); try again"))

        services.to_sweep(frame, ANSWER_SECONDS, on_answer)

    return Later(begin, {"restarted": count, "rebuilt": False})


def rebuild(context: CommandContext, wanted: Wanted) -> object:
    """Has an image built with the group's packages; its containers then begin anew.

    A person waits for the end of it. An agent does not: it is told by whoever builds.
    """
    conn = context.conn
    config = container_configs.get(conn, wanted.agent_group_id)
    if config is None:
        raise CommandError(f"No container config for group: {wanted.agent_group_id}")
    agent = context.agent
    build = BuildRequest(
        agent_group_id=wanted.agent_group_id,
        packages=stored_packages(config),
        exact=True,
        session_id=agent.session_id if agent is not None else None,
        approval_id=context.approved.approval_id if context.approved is not None else None,
    )
    request_build(conn, build, context.actor, (context.cause, context.now))
    context.ring(DELIVERY)
    running = _running(context, replace(wanted, session_id=None))
    if agent is not None:
        return {"restarted": 0, "rebuilt": False, "note": "the image is being built"}
    result = {"restarted": len(running), "rebuilt": len(build.packages) > 0}
    waiting = _Waiting(conn, f"build/{context.cause}", result)
    told = _teller(context, running, wanted.message)

    def begin(services: Services, finish: Finish) -> None:
        waiting.look(services, finish, told)

    return Later(begin, result)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """For the end of a build. Without packages there is none: the image of all is used again."""

    conn: sqlite3.Connection
    effect_id: str
    result: Mapping[str, object]

    def look(self, services: Services, finish: Finish, told: Callable[[], None]) -> None:
        effect = effects.get(self.conn, self.effect_id)
        if effect is None:
            finish(CommandError("the build was forgotten; try again"))
        elif effect.state is EffectState.DONE:
            told()
            finish(self.result)
        elif effect.state is EffectState.FAILED:
            finish(CommandError(f"the image could not be built: {effect.last_error}"))
        else:
            services.call_later(LOOK_SECONDS, lambda: self.look(services, finish, told))


def _teller(
    context: CommandContext, running: list[Session], message: str | None
) -> Callable[[], None]:
    """Says the message to those who were stopped for the new image; it also brings them back."""

    def tell() -> None:
        for session in running if message is not None else ():
            note_id = derived_id("restart", context.now, f"{context.cause}/{session.id}")
            note = AgentNote(note_id, message or "")
            try:
                write_note(context.conn, context.paths, session, note, context.now)
            except SessionFileError as error:
                log.warning("not told", extra={"session": session.id, "reason": str(error)})

    return tell


def _running(context: CommandContext, wanted: Wanted) -> list[Session]:
    return [
        session
        for session in sessions.active_of_group(context.conn, wanted.agent_group_id)
        if (session.is_running or session.lease_owner) and wanted.session_id in (None, session.id)
    ]


def _only(frame: StopContainers, session_id: str | None) -> StopContainers:
    """The order concerns a whole group; one session's part of it."""
    if session_id is None:
        return frame
    kept = [
        (item, lease)
        for item, lease in zip(frame.session_ids, frame.leases, strict=True)
        if item == session_id
    ]
    return replace(
        frame,
        session_ids=tuple(item for item, _ in kept),
        leases=tuple(lease for _, lease in kept),
    )
