"""``approvals``: what agents have asked for, and the answer of the host's own user (N-42).

The answer goes the way of a pressed button, so that everything that follows is the same: exactly
one decision counts, the effect is recorded with it, cards are taken back everywhere.
"""

from collections.abc import Callable

from nanoclaw.admin.arguments import Arguments
from nanoclaw.admin.context import CommandContext
from nanoclaw.admin.problems import CommandError, NotFoundError
from nanoclaw.admin.registry import Access, ColumnSpec, Kind, Operation, ResourceSpec
from nanoclaw.admin.resources.generic import (
    Table,
    find_row,
    get_operation,
    list_operation,
    target_argument,
)
from nanoclaw.approvals import answers, requests
from nanoclaw.approvals.clicks import Click
from nanoclaw.bell import DELIVERY, ROUTER
from nanoclaw.db import approvals
from nanoclaw.db.approvals import ApprovalStatus
from nanoclaw.events import ActionOutcome

STATUSES = tuple(status.value for status in ApprovalStatus)

COLUMNS = (
    ColumnSpec("approval_id", "made by us", generated=True),
    ColumnSpec("session_id", "the session that asked", nullable=True),
    ColumnSpec("request_id", "what it calls the request"),
    ColumnSpec("action", "what is asked for"),
    ColumnSpec("payload", "what would run", Kind.JSON),
    ColumnSpec("created_at", "since when", generated=True),
    ColumnSpec("agent_group_id", "the agent", nullable=True),
    ColumnSpec("channel_type", "where its card is", nullable=True),
    ColumnSpec("platform_id", "in which chat", nullable=True),
    ColumnSpec("platform_message_id", "as which message", nullable=True),
    ColumnSpec("expires_at", "until when", nullable=True),
    ColumnSpec("status", "how it stands", choices=STATUSES),
    ColumnSpec("title", "what the card says"),
    ColumnSpec("options_json", "its buttons", Kind.JSON),
)
TABLE = Table("approval", "pending_approvals", "approval_id", COLUMNS)


def _decision(value: str) -> Callable[[CommandContext, Arguments], object]:
    def run(context: CommandContext, arguments: Arguments) -> object:
        approval_id = arguments.text("id")
        if approvals.get(context.conn, approval_id) is None:
            raise NotFoundError(f"approval not found: {approval_id}")
        click = Click(approval_id, value, requests.HOST, "", "")
        result = answers.answer(context.conn, click, context.now)
        if result.outcome is not ActionOutcome.ACCEPTED:
            raise CommandError(_refusal(result.outcome, result.title))
        context.ring(DELIVERY)
        context.ring(ROUTER)
        return find_row(context, TABLE, approval_id)

    return run


def _refusal(outcome: ActionOutcome, title: str) -> str:
    if outcome is ActionOutcome.ALREADY_ANSWERED:
        return f"somebody has decided already: {title}; see `ncl approvals get`"
    if outcome is ActionOutcome.EXPIRED:
        return f"it is too late: {title}; the agent has to ask again"
    return f"it cannot be decided ({outcome}): {title}"


RESOURCE = ResourceSpec(
    name="approval",
    plural="approvals",
    id_column="approval_id",
    description="what agents have asked a person to allow",
    columns=COLUMNS,
    operations=(
        list_operation(TABLE),
        get_operation(TABLE),
        Operation("approve", Access.APPROVAL, "allow it", _decision(requests.APPROVE.value),
                  (target_argument("approval"),), mutating=True, host_only=True,
                  examples=("ncl approvals list --status pending", "ncl approvals approve appr-1")),
        Operation("reject", Access.APPROVAL, "refuse it", _decision(requests.REJECT.value),
                  (target_argument("approval"),), mutating=True, host_only=True),
    ),
)  # fmt: skip
