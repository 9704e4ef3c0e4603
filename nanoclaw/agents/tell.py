"""Tells the agent that asked for something how it went.

A thin layer over ``sessions.note``: the id of the note is made from the effect, so that a repeated
step says it once, and refusals of the same kind are said once in a while, so that an agent that
keeps trying does not wake itself with them for ever.
"""

from datetime import timedelta

from contract.clock import to_text
from contract.ids import derived_id
from nanoclaw.db import sessions
from nanoclaw.db.effects import Effect
from nanoclaw.effects.base import EffectContext
from nanoclaw.model import Session
from nanoclaw.sessions.note import AgentNote, write_note

ONCE_IN = timedelta(minutes=10)


def session_of(context: EffectContext, effect: Effect) -> Session | None:
    """The session that asked; None when it is gone."""
    return sessions.get(context.conn, effect.session_id) if effect.session_id else None


def tell(context: EffectContext, effect: Effect, session: Session, text: str) -> None:
    """Raises SessionFileBusy; the caller's step is tried again as a whole."""
    note_id = derived_id("sys", effect.created_at, f"{effect.effect_id}/told")
    write_note(context.conn, context.paths, session, AgentNote(note_id, text), context.now)


def tell_sometimes(
    context: EffectContext, effect: Effect, session: Session, text: str, occasion: str
) -> None:
    """The same occasion twice in ten minutes is told once."""
    seconds = int(ONCE_IN.total_seconds())
    span = int(effect.created_at.timestamp()) // seconds
    began = effect.created_at - timedelta(seconds=effect.created_at.timestamp() - span * seconds)
    note_id = derived_id("sys", began, f"{occasion}/{to_text(began)}")
    write_note(context.conn, context.paths, session, AgentNote(note_id, text), context.now)
