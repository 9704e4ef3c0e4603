"""Has a person asked whether an agent's command may be carried out (N-37, N-38, N-41).

Called by ``dispatch`` when everything about the command is in order but the permission. What is
stored is the normal map of flags; exactly that is shown, without secrets, and exactly that runs
(``agent_requests``). The same request again, while one waits, asks nobody twice.
"""

from dataclasses import dataclass

from contract.errors import BadContent
from contract.jsontext import dump, parse_object
from contract.killpoint import reached
from nanoclaw.admin.context import CommandContext
from nanoclaw.admin.frames import ErrorCode
from nanoclaw.admin.masking import command_line, masked
from nanoclaw.admin.problems import CommandError
from nanoclaw.admin.registry import Command
from nanoclaw.agents.create import read_before
from nanoclaw.approvals import cards, requests
from nanoclaw.approvals.requests import NewRequest
from nanoclaw.bell import DELIVERY, ring
from nanoclaw.db import agent_groups, approvals, sessions
from nanoclaw.db.approvals import Approval, ApprovalStatus
from nanoclaw.db.connection import transaction
from nanoclaw.model import Session

ACTION = "cli_command"
"""Of the approval, and kind of the effect that carries it out."""
MAX_PAYLOAD_BYTES = 1024 * 1024
MAX_CARD_VALUE = 4000


class ApprovalPendingError(CommandError):
    """Not an error, but not done either: somebody is asked."""

    code = ErrorCode.APPROVAL_PENDING


@dataclass(frozen=True, slots=True)
class Wish:
    """What the agent of ``session`` wants."""

    command: Command
    args: dict[str, str | bool]
    request_id: str
    session: Session

    @property
    def payload(self) -> str:
        frame = {"id": self.request_id, "command": self.command.name, "args": self.args}
        return dump({"frame": frame})


def asking_session(context: CommandContext) -> Session:
    """The session of the agent that asks. Raises CommandError when it is gone."""
    agent = context.agent
    session = sessions.get(context.conn, agent.session_id) if agent is not None else None
    if session is None:
        raise CommandError("Session not found: the one that asked is gone")
    return session


def ask_person(context: CommandContext, wish: Wish) -> None:
    """Always raises ApprovalPendingError, which is the answer."""
    conn = context.conn
    with transaction(conn):
        known = _waiting(context, wish)
        if known is None:
            requests.request(
                conn,
                NewRequest(
                    request_id=f"ncl/{context.cause}",
                    action=ACTION,
                    payload=wish.payload,
                    title=f"Run ncl {wish.command.words}?",
                    question=_card(context, wish),
                    session=wish.session,
                    agent_group_id=wish.session.agent_group_id,
                    requested_by=context.actor,
                ),
                context.now,
            )
    reached("ncl.asked")
    ring(context.paths, DELIVERY)
    raise ApprovalPendingError(
        f"an administrator is asked to allow `ncl {wish.command.words}`; you will be told in this "
        "conversation what came of it. Do not wait for it and do not ask again"
    )


def _waiting(context: CommandContext, wish: Wish) -> Approval | None:
    """The same command of the same session that somebody is asked about already."""
    frame = _frame(wish.payload)
    for approval in approvals.of_action(context.conn, ACTION, ApprovalStatus.PENDING):
        if approval.session_id == wish.session.id and _frame(approval.payload) == frame:
            return approval
    return None


def _frame(payload: str) -> tuple[object, object]:
    try:
        frame = parse_object(payload, max_bytes=MAX_PAYLOAD_BYTES).get("frame")
    except BadContent:
        return (None, None)
    return (frame.get("command"), frame.get("args")) if isinstance(frame, dict) else (None, None)


def _card(context: CommandContext, wish: Wish) -> str:
    """The whole line once, and each flag on a line of its own, so that none can pose as two."""
    group = agent_groups.get(context.conn, wish.session.agent_group_id)
    name = group.name if group is not None else wish.session.agent_group_id
    lines = [
        f"{cards.shown(name)} wants to run this command of the administration:",
        cards.code(command_line(wish.command.words, wish.args), MAX_CARD_VALUE),
        wish.command.operation.help,
        *read_before(context.taint),
    ]
    for key, value in masked(wish.args).items():
        flag = "--" + key.replace("_", "-")
        shown = "" if value is True else f" {cards.code(str(value), MAX_CARD_VALUE)}"
        lines.append(f"{flag}{shown}")
    return cards.body(lines)
