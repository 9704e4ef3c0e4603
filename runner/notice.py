"""Tells the chat why the agent cannot start at all, before the process leaves with 78 (R-3).

Called by ``program`` when there is no loop any more. Everything may be broken at that
point, so it tries once and gives up silently; the same text is not repeated within ten minutes,
because every new message may start another container that fails alike.
"""

import logging
from datetime import timedelta

from contract.address import Address
from contract.clock import parse_text, to_text, utc_now
from contract.content import ChatOut
from contract.content import dump as dump_content
from contract.errors import ContractError
from contract.ids import new_id
from contract.inbound import reader
from contract.inbound.row import MessageKind
from contract.inbound.select import PendingQuery
from contract.layout import RunnerPaths
from contract.outbound.row import NewOutbound
from contract.outbound.writer import open_outbound
from runner.log import fields

_log = logging.getLogger(__name__)

REPEAT_AFTER = timedelta(minutes=10)
_STATE_KEY = "config_notice"


def write_notice(paths: RunnerPaths, text: str) -> bool:
    """True when a row was written."""
    try:
        address, in_reply_to = _target(paths)
        if address.is_empty:
            return False
        return _write(paths, text, address, in_reply_to)
    except (ContractError, OSError) as error:
        _log.warning("the chat could not be told", extra=fields(reason=error))
        return False


def _target(paths: RunnerPaths) -> tuple[Address, str | None]:
    """The session's own chat, else the chat of whoever waits for an answer."""
    routing = reader.read_session_routing(paths.inbound_db)
    query = PendingQuery(now=utc_now(), limit=1, first_poll=False)
    waiting = reader.read_pending(paths.inbound_db, query).rows
    if routing.is_empty:
        return (waiting[-1].address, waiting[-1].id) if waiting else (routing, None)
    same = [row.id for row in waiting if row.address == routing]
    return routing, same[-1] if same else None


def _write(paths: RunnerPaths, text: str, address: Address, in_reply_to: str | None) -> bool:
    now = utc_now()
    above = reader.read_max_seq(paths.inbound_db)
    with open_outbound(paths.outbound_db, busy_ms=1000) as out:
        said_at, _, said = (out.get_state(_STATE_KEY) or "").partition(" ")
        moment = parse_text(said_at)
        if said == text and moment is not None and now - moment < REPEAT_AFTER:
            return False
        out.set_state(_STATE_KEY, f"{to_text(now)} {text}", now)
        row = NewOutbound(
            id=new_id("msg"),
            kind=MessageKind.CHAT,
            timestamp=now,
            content=dump_content(ChatOut(text=text)),
            address=address,
            in_reply_to=in_reply_to,
        )
        out.write_message(row, above)
    return True
