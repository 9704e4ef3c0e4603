"""The payload of effects that an agent's row asks for: the row itself, wrapped.

``delivery.intake`` writes it, the handlers of ``action:<name>`` and ``agent_message`` read it. The
row's taint, chain and hop stand beside its content, so that nothing the agent wrote inside can
change them (H-130). Pure.
"""

from dataclasses import dataclass

from contract.address import NOWHERE, Address
from contract.content import MAX_OUTBOUND_BYTES
from contract.errors import BadContent
from contract.jsontext import dump, parse_object
from contract.outbound.row import OutboundRow

_MAX_BYTES = 8 * MAX_OUTBOUND_BYTES
"""Every byte of the content may be escaped in the wrapper."""


@dataclass(frozen=True, slots=True)
class AgentRequest:
    """A row of ``messages_out`` as its effect carries it. ``content`` is the row's own JSON text;
    ``seq`` 0 means unknown."""

    id: str
    content: str
    kind: str = "system"
    seq: int = 0
    address: Address = NOWHERE
    in_reply_to: str | None = None
    taint: str | None = None
    chain_id: str | None = None
    hop: int = 0


def dump_request(row: OutboundRow, taint: str | None = None) -> str:
    """``taint`` is what the host knows of the turn; without it the row's own word counts.

    Content over the limit is left out: no handler would read it either.
    """
    return dump(
        {
            "id": row.id,
            "seq": row.seq,
            "kind": row.kind,
            "content": row.content if len(row.content) <= MAX_OUTBOUND_BYTES else "",
            "channel_type": row.address.channel_type,
            "platform_id": row.address.platform_id,
            "thread_id": row.address.thread_id,
            "in_reply_to": row.in_reply_to,
            "taint": row.taint if taint is None else taint,
            "chain_id": row.chain_id,
            "hop": row.hop,
        }
    )


def parse_request(text: str) -> AgentRequest:
    """Raises BadContent; only a payload that ``dump_request`` did not write does that."""
    value = parse_object(text, max_bytes=_MAX_BYTES)
    return AgentRequest(
        id=_required(value, "id"),
        content=_required(value, "content"),
        kind=_text(value, "kind") or "system",
        seq=_number(value, "seq"),
        address=Address(
            _text(value, "channel_type"), _text(value, "platform_id"), _text(value, "thread_id")
        ),
        in_reply_to=_text(value, "in_reply_to"),
        taint=_text(value, "taint"),
        chain_id=_text(value, "chain_id"),
        hop=_number(value, "hop"),
    )


def _required(value: dict[str, object], key: str) -> str:
    found = _text(value, key)
    if found is None:
        raise BadContent(f"a request without {key}")
    return found


def _text(value: dict[str, object], key: str) -> str | None:
    found = value.get(key)
    return found if isinstance(found, str) else None


def _number(value: dict[str, object], key: str) -> int:
    found = value.get(key)
    return found if isinstance(found, int) and not isinstance(found, bool) else 0
