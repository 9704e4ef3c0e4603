"""A session folder with a desk and its tools on it, without a runner or a model."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from helpers.runner_process import RunnerSession

from contract.address import NOWHERE, Address, Destination, DestinationType
from contract.clock import utc_now
from contract.inbound.row import DeliveredMark, DeliveredStatus, InboundRow, NewInbound
from contract.inbound.writer import open_inbound
from contract.jsontext import dump, parse_object
from contract.layout import RunnerPaths
from contract.outbound.row import OutboundRow
from contract.outbound.writer import open_outbound
from runner.desk.access import OwnStore
from runner.desk.batch import StoredBatch
from runner.desk.desk import Desk
from runner.lease import Lease
from runner.store import CURRENT_BATCH
from runner.toolbox.base import Tool, ToolCall, ToolResult
from runner.tools.nanoclaw.toolset import nanoclaw_tools

ZONE = "Europe/Berlin"
FAMILY = Destination("family", "Family", DestinationType.CHANNEL, "telegram", "77")
OPS = Destination("ops", "Ops", DestinationType.CHANNEL, "slack", "C1")
PEER = Destination("helper", "Helper", DestinationType.AGENT, agent_group_id="ag-2")


@dataclass(slots=True)
class DeskSession:
    """``call`` runs one tool; the other methods are the host's and the loop's side."""

    root: Path
    session: RunnerSession = field(init=False)
    desk: Desk = field(init=False)
    tools: dict[str, Tool] = field(init=False)
    calls: int = 0

    def __post_init__(self) -> None:
        self.session = RunnerSession(self.root)
        with open_outbound(self.paths.outbound_db):
            pass
        self.restart()

    @property
    def paths(self) -> RunnerPaths:
        return self.session.paths

    def restart(self) -> None:
        """A new process: nothing of the memory is left."""
        store = OwnStore(self.paths, Lease(self.paths.session_json, self.session.lease))
        self.desk = Desk(self.paths, store, StoredBatch(self.paths, store))
        self.tools = {tool.spec.name: tool for tool in nanoclaw_tools(self.desk, ZONE)}

    def call(self, tool: str, call_id: str | None = None, /, **arguments: object) -> ToolResult:
        return asyncio.run(self.run(tool, call_id, **arguments))

    async def run(
        self, tool: str, call_id: str | None = None, /, **arguments: object
    ) -> ToolResult:
        self.calls += 1
        return await self.tools[tool].run(arguments, ToolCall(call_id or f"toolu_{self.calls}"))

    def receive(self, text: str, address: Address, **fields: object) -> InboundRow:
        """A message of the host; it is not part of the turn until ``begin``."""
        message_id = self.session.send(text, address=address, **fields)  # type: ignore[arg-type]
        row = self.session.inbound_row(message_id)
        assert row is not None
        return row

    def begin(self, *rows: InboundRow) -> None:
        """These rows are being answered; the last one is what answers refer to."""
        routing = rows[-1]
        state = {
            "in_reply_to": routing.id,
            "channel_type": routing.address.channel_type,
            "platform_id": routing.address.platform_id,
            "thread_id": routing.address.thread_id,
            "ids": [row.id for row in rows],
        }
        with open_outbound(self.paths.outbound_db) as out:
            out.claim([row.id for row in rows], self.session.lease, utc_now())
            out.set_state(CURRENT_BATCH, dump(state), utc_now())

    def insert(self, new: NewInbound) -> None:
        with open_inbound(self.paths.inbound_db, busy_ms=2000) as inbound:
            inbound.insert_message(new)

    def answer_question(self, question_id: str, option: str, user: str = "telegram:1") -> None:
        content = {
            "type": "question_response",
            "questionId": question_id,
            "selectedOption": option,
            "userId": user,
        }
        self.insert(
            NewInbound(id=f"qr-{question_id}", kind="system", timestamp=utc_now(),
                       content=dump(content))
        )  # fmt: skip

    def answer_request(self, request_id: str, frame: dict[str, object]) -> None:
        content = {"type": "cli_response", "requestId": request_id, "frame": frame}
        self.insert(
            NewInbound(id=f"cli-resp-{request_id}", kind="system", timestamp=utc_now(),
                       content=dump(content), trigger=False)
        )  # fmt: skip

    def add_task(
        self,
        task_id: str,
        *,
        due_in: timedelta = timedelta(hours=1),
        content: object = None,
        recurrence: str | None = None,
        series_id: str | None = None,
        address: Address = NOWHERE,
    ) -> None:
        due: datetime = utc_now() + due_in
        self.insert(
            NewInbound(
                id=task_id,
                kind="task",
                timestamp=utc_now(),
                content=dump({"prompt": "water the plants"} if content is None else content),
                process_after=due,
                recurrence=recurrence,
                series_id=series_id,
                address=address,
            )
        )

    def deliver(self, row: OutboundRow, platform_id: str | None = "p-1", *, failed: bool = False
                ) -> None:  # fmt: skip
        status = DeliveredStatus.FAILED if failed else DeliveredStatus.DELIVERED
        with open_inbound(self.paths.inbound_db, busy_ms=2000) as inbound:
            inbound.mark_delivered([DeliveredMark(row.id, platform_id, status, utc_now())])

    def permit(self, *destinations: Destination) -> None:
        self.session.permit(*destinations)

    @property
    def rows(self) -> Sequence[OutboundRow]:
        return self.session.messages()

    @property
    def last(self) -> OutboundRow:
        return self.rows[-1]

    def content(self, row: OutboundRow | None = None) -> dict[str, object]:
        return parse_object((row or self.last).content, max_bytes=2_000_000)

    def state(self, key: str) -> str | None:
        with open_outbound(self.paths.outbound_db) as out:
            return out.get_state(key)
