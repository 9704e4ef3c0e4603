"""Stops containers for ``groups restart``, ``sessions restart`` and ``containers stop`` (N-87).

The command only records what is to be done; the delivery process writes the notes for the fresh
containers and asks the sweep until none of the old ones is left, also after a crash (N-88, N-91).
A new image is built by an effect of its own, which also stops the containers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from contract.errors import BadContent
from contract.ids import derived_id
from contract.jsontext import parse_object
from nanoclaw.admin.context import CommandContext
from nanoclaw.admin.effect_wait import Awaited, leave_to, once_done
from nanoclaw.admin.problems import CommandError
from nanoclaw.agents.install import BuildRequest, request_build
from nanoclaw.bell import DELIVERY
from nanoclaw.containers.packages import stored_packages
from nanoclaw.db import container_configs, effects, sessions
from nanoclaw.db.effects import Effect, EffectState
from nanoclaw.effects.base import Again, Done, EffectContext, Failed, HandlerResult, UnderWay
from nanoclaw.events import Ok, StopContainers
from nanoclaw.link import Answer
from nanoclaw.model import Session
from nanoclaw.sessions.note import AgentNote, write_note
from nanoclaw.sessions.restart import Restart, prepare_restart

STOP = "ncl_stop_containers"
TELL = "ncl_tell_rebuilt"
ANSWER_SECONDS = 10.0
LOOK_AGAIN_SECONDS = 1.0
STOP_LOOKS = (0.02, 0.05, 0.1, 0.2, 0.4) + (0.5,) * 50
"""About half a minute; the sweep gives a container ten seconds to end by itself."""
BUILD_LOOKS = (0.2,) * 5 + (1.0,) * 1800
"""Longer than any client waits."""
REASON = "restarted by ncl"
MAX_PAYLOAD_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Wanted:
    """``session_id``: only this one of the group. ``message`` is for the fresh containers."""

    agent_group_id: str
    session_id: str | None = None
    message: str | None = None
    reason: str = REASON


def restart(context: CommandContext, wanted: Wanted) -> object:
    """Of what is running now; sessions without a container come back by themselves."""
    answer = {"restarted": len(_running(context, wanted)), "rebuilt": False}
    if not answer["restarted"] and not (wanted.session_id and wanted.message):
        return answer
    return once_done(context, Awaited(stop_later(context, wanted), answer, looks=STOP_LOOKS))


def stop_later(context: CommandContext, wanted: Wanted) -> str:
    """The id of the effect."""
    payload = {
        "sessionId": wanted.session_id,
        "message": wanted.message,
        "reason": wanted.reason,
    }
    return leave_to(context, STOP, payload, wanted.agent_group_id)


def carry_out(context: EffectContext, effect: Effect) -> HandlerResult:
    """The handler of STOP: over when none is left that is older than the command."""
    payload = _payload(effect)
    session_id = _text(payload, "sessionId")
    order = Restart(
        agent_group_id=effect.agent_group_id or "",
        cause=effect.effect_id,
        reason=_text(payload, "reason") or REASON,
        asked_at=effect.created_at,
        changed_at=effect.created_at,
        message=_text(payload, "message"),
        only_for=session_id,
    )
    frame = _only(prepare_restart(context.conn, context.paths, order, context.now), session_id)
    if not frame.session_ids:
        return Done("nothing is left to stop")

    def on_answer(answer: Answer) -> None:
        if isinstance(answer, Ok):
            reason = f"{len(frame.session_ids)} containers are being stopped"
            context.complete(effect.effect_id, Again(reason, LOOK_AGAIN_SECONDS))
        else:
            context.complete(effect.effect_id, Again(f"the sweep does not answer: {answer}"))

    context.requests.to_sweep(frame, ANSWER_SECONDS, on_answer)
    return UnderWay()


# --- with a new image -----------------------------------------------------------------------------


def rebuild(context: CommandContext, wanted: Wanted) -> object:
    """Has an image built with the group's packages; its containers then begin anew.

    A person waits for the end of it. An agent does not: it is told by whoever builds.
    """
    config = container_configs.get(context.conn, wanted.agent_group_id)
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
    request_build(context.conn, build, context.actor, (context.cause, context.now))
    context.ring(DELIVERY)
    last = f"build/{context.cause}"
    if wanted.message is not None:
        last = _tell_later(context, wanted, last)
    running = _running(context, replace(wanted, session_id=None))
    done: dict[str, object] = {"restarted": len(running), "rebuilt": len(build.packages) > 0}
    at_once = done
    if agent is not None:
        at_once = {"restarted": 0, "rebuilt": False, "note": "the image is being built"}
    trouble = "the image could not be built: "
    return once_done(
        context, Awaited(last, done, at_once=at_once, looks=BUILD_LOOKS, trouble=trouble)
    )


def _tell_later(context: CommandContext, wanted: Wanted, build_id: str) -> str:
    """The message to those who are stopped for the new image; it also brings them back."""
    told = [session.id for session in _running(context, wanted)]
    payload = {"build": build_id, "sessions": told, "message": wanted.message}
    return leave_to(context, TELL, payload, wanted.agent_group_id)


def tell(context: EffectContext, effect: Effect) -> HandlerResult:
    """The handler of TELL: waits for the build."""
    payload = _payload(effect)
    build = effects.get(context.conn, _text(payload, "build") or "")
    if build is None:
        return Failed("the build was forgotten; try again")
    if build.state is EffectState.FAILED:
        return Failed(build.last_error or "it failed")
    if build.state is not EffectState.DONE:
        return Again("the image is being built", LOOK_AGAIN_SECONDS)
    told = payload.get("sessions")
    for session_id in told if isinstance(told, list) else []:
        session = sessions.get(context.conn, str(session_id))
        if session is not None and session.quarantined_at is None:
            note_id = derived_id("restart", effect.created_at, f"{effect.effect_id}/{session.id}")
            note = AgentNote(note_id, _text(payload, "message") or "")
            write_note(context.conn, context.paths, session, note, context.now)
    return Done("told")


# --- parts ----------------------------------------------------------------------------------------


def _payload(effect: Effect) -> Mapping[str, object]:
    """Raises BadContent; only a payload that this module did not write does that."""
    if not effect.agent_group_id:
        raise BadContent("a restart without its agent group")
    return parse_object(effect.payload, max_bytes=MAX_PAYLOAD_BYTES)


def _text(payload: Mapping[str, object], key: str) -> str | None:
    value = payload.get(key)
    return value if isinstance(value, str) else None


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
