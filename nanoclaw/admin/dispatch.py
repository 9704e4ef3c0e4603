"""From a request to its answer: the same for every way a command comes in.

Called by ``server`` for the host's own user and by ``agent_requests`` for agents, with parsed
requests and a caller that the request cannot name. The order of checks is that of N-43. A command
that raises answers with an error and harms nobody else; the trace goes to the log only (N-17).
"""

import dataclasses
import logging
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from contract.clock import to_text
from contract.errors import ContractError, SessionFileBusy
from nanoclaw.admin import lookup, validate
from nanoclaw.admin.asking import Wish, ask_person, asking_session
from nanoclaw.admin.caller import AgentCaller, Caller
from nanoclaw.admin.context import Approved, CommandContext, Later, PatternProblem, Services
from nanoclaw.admin.decide import (
    DISABLED,
    Allowed,
    Forbidden,
    InvalidArgs,
    decide_scope,
    may_run,
    normal_args,
    visible,
)
from nanoclaw.admin.execute import Step, constraint_problem, execute
from nanoclaw.admin.frames import ErrorCode, Failure, Request, Response, Success
from nanoclaw.admin.help import asks_for_help, help_for
from nanoclaw.admin.problems import CommandError, InvalidArgsError, NotAllowedError
from nanoclaw.admin.registry import Access, Command, Registry
from nanoclaw.config import HostConfig
from nanoclaw.errors import NanoclawError
from nanoclaw.model import CliScope

MAX_WAITING = 32
"""Answers that come later, at one time."""
DRY_RUN = "dry_run"

log = logging.getLogger(__name__)

OnAnswer = Callable[[Response], None]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What commands reach. ``connect`` gives the connection of this process."""

    config: HostConfig
    connect: Callable[[], sqlite3.Connection]
    services: Services
    pattern_problem: PatternProblem


@dataclass(frozen=True, slots=True)
class Call:
    """A request with what it cannot say itself. ``cause``: see ``CommandContext``.

    ``keep`` gets the answer inside the command's transaction, so that whoever repeats the call
    after a crash knows that it was carried out.
    """

    request: Request
    caller: Caller
    now: datetime
    cause: str
    approved: Approved | None = None
    taint: str | None = None
    keep: Callable[[sqlite3.Connection, Response], None] | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A request that has passed the checks. ``args`` are normal and those of the command."""

    command: Command
    args: dict[str, str | bool]
    dry_run: bool


class Dispatcher:
    """One per process."""

    def __init__(self, registry: Registry, surroundings: Surroundings) -> None:
        self.registry = registry
        self._around = surroundings
        self._waiting = 0

    def handle(self, call: Call, answer: OnAnswer) -> None:
        """Calls ``answer`` once, perhaps later.

        Raises SessionFileBusy and sqlite3.OperationalError only to those who repeat a call.
        """
        began = time.monotonic()

        def respond(response: Response) -> None:
            _log(call, response, began)
            answer(response)

        try:
            self._handle(call, respond)
        except CommandError as problem:
            respond(Failure(call.request.id, problem.code, str(problem)))
        except sqlite3.IntegrityError as error:
            respond(Failure(call.request.id, *constraint_problem(error)))
        except (SessionFileBusy, sqlite3.OperationalError) as error:
            if call.keep is not None:
                raise
            text = f"{error}; nothing was lost, try again"
            respond(Failure(call.request.id, ErrorCode.HANDLER_ERROR, text))
        except (NanoclawError, ContractError) as error:
            respond(Failure(call.request.id, ErrorCode.HANDLER_ERROR, str(error)))
        except Exception as error:
            log.exception("admin command failed", extra={"reason": call.request.command[:100]})
            message = f"{type(error).__name__}: {error}"
            respond(Failure(call.request.id, ErrorCode.HANDLER_ERROR, message))

    def _handle(self, call: Call, answer: OnAnswer) -> None:
        plan = self._plan(call)
        if isinstance(plan, str):
            answer(Success(call.request.id, plan))
            return
        must_ask = _must_ask(call, plan) and not plan.dry_run
        context = CommandContext(
            conn=self._around.connect(),
            config=self._around.config,
            pattern_problem=self._around.pattern_problem,
            caller=call.caller,
            now=call.now,
            cause=call.cause,
            dry_run=plan.dry_run or must_ask,
            approved=call.approved,
            taint=call.taint,
        )
        session = asking_session(context) if must_ask else None
        arguments = validate.read_arguments(plan.command, plan.args)

        def keep(data: object) -> None:
            if call.keep is not None:
                call.keep(context.conn, _response(call, plan, data))

        result = execute(context, Step(plan.command, plan.args, arguments), keep)
        if session is not None:  # what cannot be done is never asked for (N-41)
            ask_person(context, Wish(plan.command, plan.args, call.request.id, session))
        if isinstance(result, Later):
            self._begin(call, plan, result, answer)
        else:
            answer(_response(call, plan, result))

    def _plan(self, call: Call) -> Plan | str:
        """Checks all but the arguments' own sense. A text is the answer: help."""
        caller, request = call.caller, call.request
        if isinstance(caller, AgentCaller) and caller.scope is CliScope.DISABLED:
            raise NotAllowedError(DISABLED)
        normal = normal_args(request.args)
        if isinstance(normal, InvalidArgs):
            raise InvalidArgsError(normal.reason)
        args = dict(normal)
        if asks_for_help(args):
            return help_for(self.registry, request, caller)
        found = lookup.find(self.registry, request, lambda item: may_run(caller, item.about))
        command = found.command
        args = lookup.with_target(found, args)
        dry_run = command.operation.mutating and _take_dry_run(args)
        decision = decide_scope(caller, command.about, args)
        if isinstance(decision, Forbidden):
            raise NotAllowedError(decision.reason)
        return Plan(command, _of_use(command, decision), dry_run)

    def _begin(self, call: Call, plan: Plan, later: Later, answer: OnAnswer) -> None:
        """The command is committed; its answer depends on others."""
        if self._waiting >= MAX_WAITING:
            raise CommandError(f"{MAX_WAITING} slow commands are under way; try again later")
        self._waiting += 1
        finished = False

        def finish(data: object) -> None:
            nonlocal finished
            if finished:
                return
            finished = True
            self._waiting -= 1
            answer(_response(call, plan, data))

        try:
            later.begin(self._around.services, finish)
        except BaseException:
            self._waiting -= 1
            finished = True
            raise


def _of_use(command: Command, allowed: Allowed) -> dict[str, str | bool]:
    """Without what the scope has filled in for other commands (N-57)."""
    names = {spec.name for spec in command.operation.arguments}
    return {
        key: value
        for key, value in allowed.args.items()
        if key not in allowed.filled or key in names
    }


def _must_ask(call: Call, plan: Plan) -> bool:
    needs_one = plan.command.operation.access is Access.APPROVAL
    return isinstance(call.caller, AgentCaller) and needs_one and call.approved is None


def _take_dry_run(args: dict[str, str | bool]) -> bool:
    given = args.pop(DRY_RUN, False)
    if given in (True, "true", "yes", "1"):
        return True
    if given in (False, "false", "no", "0"):
        return False
    raise InvalidArgsError("--dry-run is given without a value")


def _response(call: Call, plan: Plan, data: object) -> Response:
    request_id = call.request.id
    if isinstance(data, CommandError):
        return Failure(request_id, data.code, str(data))
    operation, resource = plan.command.operation, plan.command.resource
    shown = _plain(data)
    if operation.generic:
        field = resource.scope_field if resource is not None else None
        shown = visible(call.caller, shown, field)
    if isinstance(shown, Forbidden):
        return Failure(request_id, ErrorCode.FORBIDDEN, shown.reason)
    return Success(request_id, shown)


def _plain(value: object) -> object:
    """As JSON can say it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return to_text(value) if isinstance(value, datetime) else value


def _log(call: Call, response: Response, began: float) -> None:
    """N-26 and N-98: never the values."""
    code = response.code if isinstance(response, Failure) else "ok"
    milliseconds = round((time.monotonic() - began) * 1000)
    fields: dict[str, object] = {
        "ms": milliseconds,
        "reason": f"{call.request.command[:100]} {code}",
    }
    level = logging.DEBUG
    if isinstance(call.caller, AgentCaller):
        level = logging.INFO
        fields["session"] = call.caller.session_id
        fields["reason"] = f"{call.request.id[:100]} {fields['reason']}"
    log.log(level, "admin command", extra=fields)
