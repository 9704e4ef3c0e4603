"""Administrative commands of agents: those they ask for, and those a person has then approved.

Handlers of ``action:cli_request`` (H-129, H-130) and of ``cli_command``. The session in which the
row was found is the caller, when it asks and again when it is carried out (N-41). A request is
answered by a system row that wakes nobody; whoever asked waits half a minute, so an old one is
neither carried out nor answered (W-35). What a person had to allow is answered by a note.
"""

import json
import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol, runtime_checkable

from contract.actions import CliRequest
from contract.clock import utc_now
from contract.content import parse_outbound
from contract.errors import BadContent, SessionFileBusy
from contract.ids import derived_id
from contract.inbound.lookup import RESPONSE_PREFIX
from contract.inbound.row import MessageKind, NewInbound
from contract.inbound.writer import open_inbound
from contract.jsontext import dump, parse_object
from contract.killpoint import reached
from nanoclaw.admin.asking import MAX_PAYLOAD_BYTES
from nanoclaw.admin.caller import AgentCaller
from nanoclaw.admin.context import Approved, PatternProblem
from nanoclaw.admin.dispatch import Call, Dispatcher, Surroundings
from nanoclaw.admin.frames import (
    ErrorCode,
    Failure,
    Request,
    Response,
    Success,
    parse_positionals,
    parse_response,
    response_frame,
)
from nanoclaw.admin.problems import CommandError
from nanoclaw.admin.registry import Registry
from nanoclaw.db import approvals, container_configs, effects, sessions
from nanoclaw.db.effects import Effect
from nanoclaw.effects.base import (
    Again,
    Done,
    EffectContext,
    Failed,
    Handler,
    HandlerResult,
    Outcome,
    Requests,
    UnderWay,
)
from nanoclaw.effects.request import parse_request
from nanoclaw.events import Frame
from nanoclaw.link import Answer
from nanoclaw.model import CliScope, Session
from nanoclaw.sessions.folder import SessionFolder
from nanoclaw.sessions.note import MAX_NOTE_CHARACTERS, AgentNote, write_note

ANSWER_WITHIN = timedelta(minutes=5)
KEPT_FOR = timedelta(hours=1)
"""Fetched answers; the next answer in the same session takes older ones away (N-96)."""
MAX_ID = 128
MAX_ANSWER_BYTES = 256 * 1024
NOTE_PREFIX = "appr-note"

log = logging.getLogger(__name__)

RegistryOf = Callable[[], Registry]
"""Called with the first request: the commands are many, and most processes need none."""

Deliver = Callable[[EffectContext, Response], None]
"""Brings the answer to the agent. Raises SessionFileBusy."""


def agent_requests(registry_of: RegistryOf, pattern_problem: PatternProblem) -> Handler:
    """The handler of ``action:cli_request``."""

    def handle(context: EffectContext, effect: Effect) -> HandlerResult:
        session = sessions.get(context.conn, effect.session_id or "")
        if session is None:
            return Failed("its session is gone")
        action = _parse(effect)
        if isinstance(action, Failed):
            return action
        if context.now - effect.created_at > ANSWER_WITHIN:
            return Done("too late: nobody waits for it any more")

        def deliver(later: EffectContext, response: Response) -> None:
            _write(later, session, action.request_id, response)

        carried = _Carried(context, effect, pattern_problem, deliver)
        request = _request(action)
        if isinstance(request, Failure):
            return carried.end(context, request)
        call = _call(context, effect, session, request)
        taint = parse_request(effect.payload).taint
        return carried.out(registry_of(), replace(call, taint=taint))

    return handle


def approved_commands(registry_of: RegistryOf, pattern_problem: PatternProblem) -> Handler:
    """The handler of ``cli_command``."""

    def handle(context: EffectContext, effect: Effect) -> HandlerResult:
        session = sessions.get(context.conn, effect.session_id or "")
        if session is None:
            return Failed("its session is gone")
        request = _stored_request(effect.payload)

        def deliver(later: EffectContext, response: Response) -> None:
            note_id = derived_id(NOTE_PREFIX, effect.created_at, effect.effect_id)
            note = AgentNote(note_id, _note(request, response))
            write_note(later.conn, later.paths, session, note, later.now)

        call = replace(
            _call(context, effect, session, request), approved=_approved(context.conn, effect)
        )
        return _Carried(context, effect, pattern_problem, deliver).out(registry_of(), call)

    return handle


@dataclass(frozen=True, slots=True)
class _Carried:
    """One effect on its way: its answer comes at once or later, and is delivered once."""

    context: EffectContext
    effect: Effect
    pattern_problem: PatternProblem
    deliver: Deliver

    def out(self, registry: Registry, call: Call) -> HandlerResult:
        kept = _kept(self.effect)
        if kept is not None:  # carried out before a crash; only the answer is missing
            return self.end(self.context, kept)
        around = Surroundings(
            self.context.config,
            lambda: self.context.conn,
            _Services(self.context.requests),
            self.pattern_problem,
        )
        answers: list[Response] = []
        returned = False

        def on_answer(response: Response) -> None:
            if returned:
                self._end_later(response)
            else:
                answers.append(response)

        Dispatcher(registry, around).handle(call, on_answer)
        returned = True
        return self.end(self.context, answers[0]) if answers else UnderWay()

    def end(self, context: EffectContext, response: Response) -> Outcome:
        """Raises SessionFileBusy; the command is then repeated with its answer."""
        self.deliver(context, response)
        reached("admin.answered")
        code = "ok" if isinstance(response, Success) else response.code
        return Done(f"answered: {code}")

    def _end_later(self, response: Response) -> None:
        later = replace(self.context, now=utc_now())
        try:
            outcome = self.end(later, response)
        except (SessionFileBusy, OSError, sqlite3.OperationalError) as error:
            outcome = Again(str(error))
        self.context.complete(self.effect.effect_id, outcome)


@runtime_checkable
class Timers(Protocol):
    """What the connections of the running delivery process can do besides asking."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> object: ...


@dataclass(frozen=True, slots=True)
class _Services:
    """What a command reaches from the delivery process."""

    requests: Requests

    def to_sweep(self, frame: Frame, seconds: float, on_answer: Callable[[Answer], None]) -> None:
        self.requests.to_sweep(frame, seconds, on_answer)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> object:
        if not isinstance(self.requests, Timers):
            raise CommandError("this command needs the running host")
        return self.requests.call_later(seconds, callback)


# --- what was asked -------------------------------------------------------------------------------


def _parse(effect: Effect) -> CliRequest | Failed:
    """H-129: what has no id or no command cannot be answered."""
    try:
        content = parse_request(effect.payload).content
        action = parse_outbound(MessageKind.SYSTEM, content)
    except BadContent as error:
        return Failed(f"ignored: {error}")
    if not isinstance(action, CliRequest) or not 0 < len(action.request_id) <= MAX_ID:
        return Failed("ignored: no request id of at most 128 characters")
    return action


def _request(action: CliRequest) -> Request | Failure:
    if "args" in action.wrong_keys():
        text = "bad frame: args must be an object"
        return Failure(action.request_id, ErrorCode.TRANSPORT_ERROR, text)
    args = {key: value for key, value in action.args.items() if isinstance(value, str | bool)}
    words = parse_positionals(action.extra.get("positionals"))
    return Request(action.request_id, action.command, args, words)


def _stored_request(payload: str) -> Request:
    """Raises BadContent; only a payload that ``asking`` did not write does that."""
    frame = parse_object(payload, max_bytes=MAX_PAYLOAD_BYTES).get("frame")
    if not isinstance(frame, dict) or not isinstance(frame.get("args"), dict):
        raise BadContent("an approved command without its frame")
    args = {key: item for key, item in frame["args"].items() if isinstance(item, str | bool)}
    return Request(str(frame.get("id", "")), str(frame.get("command", "")), args)


def _call(context: EffectContext, effect: Effect, session: Session, request: Request) -> Call:
    def keep(conn: sqlite3.Connection, response: Response) -> None:
        effects.keep_result(conn, effect.effect_id, dump(response_frame(response)))

    return Call(
        request=request,
        caller=_caller(context, session),
        now=context.now,
        cause=effect.effect_id,
        keep=keep,
    )


def _caller(context: EffectContext, session: Session) -> AgentCaller:
    """As things are now; nothing in the request may widen this."""
    config = container_configs.get(context.conn, session.agent_group_id)
    return AgentCaller(
        session_id=session.id,
        agent_group_id=session.agent_group_id,
        messaging_group_id=session.messaging_group_id or "",
        scope=CliScope.GROUP if config is None else config.cli_scope,
    )


def _approved(conn: sqlite3.Connection, effect: Effect) -> Approved:
    approval = approvals.get(conn, effect.approval_id or "")
    by = approval.decided_by if approval is not None else None
    return Approved(effect.approval_id or "", by or "")


def _kept(effect: Effect) -> Response | None:
    """The answer of an attempt that had got as far as its commit."""
    return parse_response(effect.result.encode()) if effect.result else None


# --- the answer -----------------------------------------------------------------------------------


def _write(context: EffectContext, session: Session, request_id: str, response: Response) -> None:
    folder = SessionFolder.of(context.paths, session.agent_group_id, session.id)
    row = NewInbound(
        id=RESPONSE_PREFIX + request_id,
        kind=MessageKind.SYSTEM,
        timestamp=context.now,
        content=_content(request_id, response),
        trigger=False,
    )
    with open_inbound(folder.inbound_db) as writer:
        writer.insert_message(row)
        writer.forget_responses(context.now - KEPT_FOR)


def _content(request_id: str, response: Response) -> str:
    try:
        content = _dumped(request_id, response)
    except BadContent as error:
        return _dumped(request_id, Failure(request_id, ErrorCode.HANDLER_ERROR, str(error)))
    if len(content.encode()) > MAX_ANSWER_BYTES:
        text = f"the answer is over {MAX_ANSWER_BYTES} bytes; ask for less, for example by --limit"
        return _dumped(request_id, Failure(request_id, ErrorCode.HANDLER_ERROR, text))
    return content


def _dumped(request_id: str, response: Response) -> str:
    frame = response_frame(response)
    return dump({"type": "cli_response", "requestId": request_id, "frame": frame})


def _note(request: Request, response: Response) -> str:
    """N-39."""
    if isinstance(response, Failure):
        return f"`ncl {request.command}` was approved but failed: {response.message}"
    data = response.data
    shown = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, indent=2)
    text = f"`ncl {request.command}` was approved and carried out:\n{shown}"
    if len(text) > MAX_NOTE_CHARACTERS:
        text = text[: MAX_NOTE_CHARACTERS - 50] + "\n… (cut; ask for it again to see all)"
    return text
