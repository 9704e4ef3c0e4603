"""Handler of ``refresh_destinations``: running agents learn whom they may write to now.

Recorded by ``sessions.destinations.request_refresh`` in the transaction that changed the
destinations; carried out here, because session files are never written inside one.
"""

from contract.errors import BadContent
from contract.jsontext import parse_object
from nanoclaw.db.effects import Effect
from nanoclaw.effects.base import Done, EffectContext, HandlerResult
from nanoclaw.sessions.destinations import refresh

MAX_PAYLOAD_BYTES = 10_000


def carry_out(context: EffectContext, effect: Effect) -> HandlerResult:
    """Raises SessionFileBusy: the whole step again."""
    agent_group_id = parse_object(effect.payload, max_bytes=MAX_PAYLOAD_BYTES).get("agentGroupId")
    if not isinstance(agent_group_id, str):
        raise BadContent("the effect names no agent group")
    return Done(f"{refresh(context.conn, context.paths, agent_group_id)} sessions")
