"""Tells an agent that its request was not allowed; handler of the effects runner (H-225, H-227).

Registered in ``process.handlers`` under ``requests.REJECTED`` and ``requests.EXPIRED``. An approved
request needs none: its own action says what became of it.
"""

from contract.errors import BadContent
from contract.ids import derived_id
from contract.jsontext import parse_object
from nanoclaw.db import approvals, sessions
from nanoclaw.db.approvals import Approval
from nanoclaw.db.effects import Effect
from nanoclaw.effects.base import Done, EffectContext, Failed, HandlerResult
from nanoclaw.sessions.note import AgentNote, write_note

NOTE_PREFIX = "appr-note"
_MAX_PAYLOAD_BYTES = 64 * 1024


def tell_agent(context: EffectContext, effect: Effect) -> HandlerResult:
    """The handler."""
    try:
        payload = parse_object(effect.payload, max_bytes=_MAX_PAYLOAD_BYTES)
    except BadContent as error:
        return Failed(str(error))
    approval = approvals.get(context.conn, effect.approval_id or "")
    if approval is None:
        return Done("the request is gone")
    session = sessions.get(context.conn, approval.session_id) if approval.session_id else None
    if session is None:
        return Done("nobody to tell")
    note = AgentNote(
        derived_id(NOTE_PREFIX, effect.created_at, effect.effect_id),
        refusal_text(approval, str(payload.get("reason", ""))),
    )
    write_note(context.conn, context.paths, session, note, context.now)
    return Done("the agent was told")


def refusal_text(approval: Approval, reason: str) -> str:
    return (
        f"Your request was not approved ({approval.title.rstrip('?.! ')}): {reason}. "
        "Nothing was done. "
        "Do not ask for the same again unless somebody asks you to."
    )
