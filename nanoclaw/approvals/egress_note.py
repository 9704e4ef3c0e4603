"""Tells a conversation what was decided about a host that it wanted; handler of the effects runner.

Registered in ``process.handlers`` under ``egress.TOLD``. Good news wakes the agent, which may go on
with what it could not do; a refusal is read with the next message.
"""

from contract.errors import BadContent
from contract.ids import derived_id
from contract.jsontext import parse_object
from nanoclaw.approvals import egress
from nanoclaw.db import sessions
from nanoclaw.db.effects import Effect
from nanoclaw.effects.base import Done, EffectContext, Failed, HandlerResult
from nanoclaw.sessions.note import AgentNote, write_note

NOTE_PREFIX = "egress-note"
_MAX_PAYLOAD_BYTES = 16 * 1024


def tell_agent(context: EffectContext, effect: Effect) -> HandlerResult:
    """The handler."""
    try:
        payload = parse_object(effect.payload, max_bytes=_MAX_PAYLOAD_BYTES)
    except BadContent as error:
        return Failed(str(error))
    session = sessions.get(context.conn, effect.session_id) if effect.session_id else None
    if session is None:
        return Done("nobody to tell")
    decision = str(payload.get("decision", ""))
    note = AgentNote(
        derived_id(NOTE_PREFIX, effect.created_at, effect.effect_id),
        answer_text(str(payload.get("host", "")), payload.get("port"), decision),
        wakes=decision != egress.NEVER,
    )
    write_note(context.conn, context.paths, session, note, context.now)
    return Done("the agent was told")


def answer_text(host: str, port: object, decision: str) -> str:
    if decision == egress.NEVER:
        return f"{host} stays closed to you: somebody decided so. Do not try it again."
    how_long = (
        " for now: while this container runs, an hour at most" if (decision == egress.ONCE) else ""
    )
    return (
        f"{host} (port {port}) is now allowed{how_long}. You wanted to reach it earlier; "
        "if that is still of use, go on with it."
    )
