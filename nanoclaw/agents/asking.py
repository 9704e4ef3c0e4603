"""Has people decide about what an agent asks for, on a card.

Used by the handlers of this package whose wishes need somebody's permission. Ring DELIVERY behind
it; repeating it changes nothing.
"""

from dataclasses import dataclass

from nanoclaw.approvals import requests
from nanoclaw.approvals.requests import NewRequest
from nanoclaw.db.connection import transaction
from nanoclaw.db.effects import Effect
from nanoclaw.effects.base import EffectContext
from nanoclaw.model import Session


@dataclass(frozen=True, slots=True)
class Asked:
    """``action`` is carried out with ``payload`` once ``card`` was allowed."""

    action: str
    payload: str
    title: str
    card: str


def ask_people(context: EffectContext, effect: Effect, session: Session, wish: Asked) -> None:
    """For the effect of an agent's own request."""
    with transaction(context.conn):
        requests.request(
            context.conn,
            NewRequest(
                request_id=effect.effect_id,
                action=wish.action,
                payload=wish.payload,
                title=wish.title,
                question=wish.card,
                session=session,
                agent_group_id=session.agent_group_id,
                requested_by=effect.requested_by,
            ),
            context.now,
        )
