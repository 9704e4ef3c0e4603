"""Brings a group's containers down after a change that they see at their start only.

A step at the end of self-modification. It is over when no container of the group is older than the
change: the request to the sweep is repeated until then, because whoever took it may die with it.
"""

from nanoclaw.effects.base import Again, Done, EffectContext, HandlerResult, UnderWay
from nanoclaw.events import Ok
from nanoclaw.link import Answer
from nanoclaw.sessions.restart import Restart, prepare_restart

ANSWER_SECONDS = 10.0
LOOK_AGAIN_SECONDS = 1.0


def begin_restart(
    context: EffectContext, effect_id: str, restart: Restart, done: Done
) -> HandlerResult:
    """``done`` when nothing is left to stop. Raises SessionFileBusy: the whole step again."""
    frame = prepare_restart(context.conn, context.paths, restart, context.now)
    if not frame.session_ids:
        return done

    def on_answer(answer: Answer) -> None:
        if isinstance(answer, Ok):
            reason = f"{len(frame.session_ids)} containers are being stopped"
            context.complete(effect_id, Again(reason, LOOK_AGAIN_SECONDS))
        else:
            context.complete(effect_id, Again(f"the sweep does not answer: {answer}"))

    context.requests.to_sweep(frame, ANSWER_SECONDS, on_answer)
    return UnderWay()
