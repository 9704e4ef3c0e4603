"""Decides what of an answer is sent to whom, with the addresses as they are right now.

Called by the query for every text of the provider. Reads the destinations afresh (R-132), lets
``decide_reply`` decide, and leaves a note for the agent about blocks that found no receiver.
"""

import logging
from dataclasses import dataclass

from contract.address import NOWHERE
from runner.address_book import AddressFacts
from runner.decide import routing_row
from runner.incoming import Incoming
from runner.log import fields
from runner.reply import (
    Next,
    ReplyFacts,
    ReplyPlan,
    decide_reply,
    dropped_text,
    nudge_text,
    parse_reply,
)
from runner.store import Store
from runner.turn.notes import PendingNotes

_log = logging.getLogger(__name__)

LOGGED_TEXT = 500


@dataclass(frozen=True, slots=True)
class Spoken:
    """A text of the provider, and what has happened in its turn; see ``ReplyFacts``."""

    text: str
    finished: bool = True
    commentary: bool = False
    delivered: bool = False
    nudged: bool = False
    bare_ok: bool = False


@dataclass(frozen=True, slots=True)
class Dispatched:
    """``nudge`` is what the agent is told when the plan says so."""

    plan: ReplyPlan
    nudge: str = ""


class Dispatcher:
    def __init__(self, store: Store, notes: PendingNotes) -> None:
        self._store = store
        self._notes = notes

    async def dispatch(self, spoken: Spoken, items: tuple[Incoming, ...]) -> Dispatched:
        """``items`` are the rows that the text answers."""
        reply = parse_reply(spoken.text, finished=spoken.finished)
        routing = routing_row(items)
        addresses = AddressFacts(
            origin=routing.address if routing is not None else NOWHERE,
            in_reply_to=routing.id if routing is not None else None,
            consumed=tuple(item.row for item in items),
        )
        if reply.blocks or not spoken.bare_ok:
            addresses = await self._store.address_facts(reply, addresses)
        facts = ReplyFacts(
            addresses=addresses,
            routing=routing,
            delivered=spoken.delivered,
            from_people=any(item.is_from_people for item in items),
            nudged=spoken.nudged,
            bare_ok=spoken.bare_ok,
            commentary=spoken.commentary,
        )
        plan = decide_reply(reply, facts)
        destinations = addresses.destinations
        if plan.next is Next.NUDGE:
            return Dispatched(plan, nudge_text(plan.dropped, destinations))
        if plan.dropped:
            self._notes.add(dropped_text(plan.dropped, destinations))
        _log_unsaid(plan)
        return Dispatched(plan)


def _log_unsaid(plan: ReplyPlan) -> None:
    if plan.next is Next.UNDELIVERABLE:
        _log.error("answer reaches nobody", extra=fields(reason=plan.unsaid[:LOGGED_TEXT]))
    elif plan.dropped or plan.unsaid:
        _log.info(
            "text not delivered",
            extra=fields(
                reason=" ".join(plan.dropped) or plan.unsaid[:LOGGED_TEXT],
                count=len(plan.unsaid),
            ),
        )
