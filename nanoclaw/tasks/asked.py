"""What an agent has asked for about a task, as its handlers share it: who, what, and how to answer.

Used by ``schedule`` and ``change``. The session that the row was found in is the only authority
(H-130). Errors are told to the agent in a note whose id is made from the request's, so that a
repeated request says them once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import tzinfo
from typing import Generic, TypeVar

from contract.content import parse_outbound
from contract.errors import BadContent
from contract.ids import derived_id
from contract.inbound.row import MessageKind
from contract.shape import Shape
from nanoclaw.approvals.requests import NewRequest, request
from nanoclaw.bell import DELIVERY, ring
from nanoclaw.db import agent_groups, container_configs, sessions
from nanoclaw.db.connection import transaction
from nanoclaw.db.effects import Effect
from nanoclaw.effects.base import Done, EffectContext, Failed, Handler, HandlerResult
from nanoclaw.effects.request import AgentRequest, parse_request
from nanoclaw.model import Session
from nanoclaw.policy.taint import Act, describe, needs_approval
from nanoclaw.sessions.note import AgentNote, write_note
from nanoclaw.tasks.keeper import TaskKeeper
from nanoclaw.tasks.zones import find_zone, zone_of

APPROVED = "approved:"
WAITS = (
    "This turn contains content from outside ({taint}), so {what} waits until a person has allowed "
    "it. You will be told; do not ask again."
)

Action = TypeVar("Action", bound=Shape)
Action_co = TypeVar("Action_co", bound=Shape, covariant=True)


@dataclass(frozen=True, slots=True)
class Asked(Generic[Action_co]):
    """A request that could be read, of a session that exists."""

    context: EffectContext
    effect: Effect
    session: Session
    request: AgentRequest
    action: Action_co

    @property
    def keeper(self) -> TaskKeeper:
        return TaskKeeper(self.context.conn, self.context.config)

    @property
    def approved(self) -> bool:
        return self.effect.kind.startswith(APPROVED)

    def zone(self, name: str | None) -> tzinfo | None:
        """The named zone, or the installation's where none is named."""
        default = self.context.config.timezone
        return find_zone(name) if name else zone_of(None, default)

    def tell(self, text: str, *, wakes: bool = True) -> None:
        """Raises SessionFileBusy: the whole step is then tried again."""
        note_id = derived_id("sys", self.effect.created_at, f"{self.effect.effect_id}/answer")
        note = AgentNote(note_id, text, wakes=wakes)
        write_note(self.context.conn, self.context.paths, self.session, note, self.context.now)

    def refuse(self, text: str) -> Failed:
        self.tell(text)
        return Failed(text)

    def waits_for_person(self) -> bool:
        """Whether the turn's content makes a person's word necessary (design: taint)."""
        if self.approved:
            return False
        config = container_configs.get(self.context.conn, self.session.agent_group_id)
        guarded = config is None or config.taint_guard
        return needs_approval(Act.SCHEDULE, self.request.taint, guarded=guarded)

    def ask_person(self, title: str, question: str) -> Done:
        """What is shown is what runs: the effect that is recorded on approval has this payload."""
        context, effect = self.context, self.effect
        name = effect.kind.rpartition(":")[2]
        new = NewRequest(
            request_id=effect.effect_id,
            action=APPROVED + name,
            payload=effect.payload,
            title=title,
            question=question,
            session=self.session,
            agent_group_id=self.session.agent_group_id,
            requested_by=effect.requested_by,
        )
        with transaction(context.conn):
            approval_id = request(context.conn, new, context.now)
        ring(context.paths, DELIVERY)
        what = name.replace("_", " ")
        self.tell(WAITS.format(taint=describe(self.request.taint), what=what), wakes=False)
        return Done(f"waits for {approval_id}")

    def agent_name(self) -> str:
        group = agent_groups.get(self.context.conn, self.session.agent_group_id)
        return group.name if group is not None else self.session.agent_group_id


def handler(kind: type[Action], carry_out: Callable[[Asked[Action]], HandlerResult]) -> Handler:
    """A handler that reads the request first; one that cannot be read is told and ends there."""

    def handle(context: EffectContext, effect: Effect) -> HandlerResult:
        session = sessions.get(context.conn, effect.session_id or "")
        if session is None:
            return Failed("its session is gone")
        try:
            asked_by = parse_request(effect.payload)
        except BadContent as error:
            return Failed(f"no request of an agent: {error}")
        try:
            action = parse_outbound(MessageKind.SYSTEM, asked_by.content)
        except BadContent as error:
            broken = Asked(context, effect, session, asked_by, Shape())
            return broken.refuse(f"{effect.kind.rpartition(':')[2]} was not understood: {error}")
        if not isinstance(action, kind):
            return Failed("the request is of another kind than its effect")
        return carry_out(Asked(context, effect, session, asked_by, action))

    return handle
