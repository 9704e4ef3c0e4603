"""``ncl egress``: which hosts agents may reach, what is waiting for an answer, and why.

The whole list of an agent is its mode and ``egress_allow`` (``groups config``), the rules here, and
services. An agent may look at what concerns it; to change anything it needs a person.
"""

from urllib.parse import SplitResult, urlsplit

from contract.ids import derived_id
from nanoclaw.admin.arguments import Arguments
from nanoclaw.admin.context import CommandContext
from nanoclaw.admin.problems import CommandError, InvalidArgsError, NotFoundError
from nanoclaw.admin.registry import Access, ArgumentSpec, ColumnSpec, Kind, Operation, ResourceSpec
from nanoclaw.admin.resources import checks
from nanoclaw.admin.resources.generic import Table, get_operation, list_operation, target_argument
from nanoclaw.admin.shown import LIMIT, limit_of, moment
from nanoclaw.approvals import egress
from nanoclaw.approvals.clicks import Click
from nanoclaw.approvals.entitlement import HOST
from nanoclaw.bell import DELIVERY
from nanoclaw.db import egress_asks, egress_rules
from nanoclaw.db.egress_rules import EgressEffect, EgressRule
from nanoclaw.events import ActionOutcome
from nanoclaw.model import EgressMode
from nanoclaw.policy.egress.decide import Allow, Decision, Inspect, Refuse, Wanted, decide
from nanoclaw.policy.egress.facts import Asking, EgressFacts, read_facts
from nanoclaw.policy.egress.hosts import EgressRuleError, normal_host, shown
from nanoclaw.policy.egress.rule import Rule, check_allowing, check_denying, parse_rule

MAX_RULES = 1000
"""Of one agent, and of the whole installation."""
MAX_NOTE = 500
ANSWERS = tuple(item.value for item in egress.OPTIONS)
PORTS = {"http": 80, "https": 443}

COLUMNS = (
    ColumnSpec("rule_id", "its id", generated=True),
    ColumnSpec("effect", "whether it allows or denies", choices=tuple(EgressEffect)),
    ColumnSpec("rule", "methods, host, ports, path"),
    ColumnSpec("agent_group_id", "whose; empty: of every agent", nullable=True),
    ColumnSpec("session_id", "allowed once: in which conversation", nullable=True),
    ColumnSpec("expires_at", "allowed once: until when", generated=True, nullable=True),
    ColumnSpec("note", "why", generated=True),
    ColumnSpec("created_by", "by whom", generated=True),
    ColumnSpec("created_at", "when", generated=True),
)
TABLE = Table("egress rule", "egress_rules", "rule_id", COLUMNS, scope_field="agent_group_id")

RULE = ArgumentSpec(
    "rule", "like 'GET,HEAD api.example.com:443/v1' or '*.example.com'", required=True,
    positional=True,
)  # fmt: skip
GROUP = ArgumentSpec("group", "for this agent")
EVERYWHERE = ArgumentSpec("everywhere", "for every agent", Kind.FLAG)
NOTE = ArgumentSpec("note", "why, for the record")
URL = ArgumentSpec("url", "like https://api.example.com/v1", required=True, positional=True)


def _allow(context: CommandContext, arguments: Arguments) -> object:
    rule = _read(arguments)
    try:
        check_allowing(rule)
    except EgressRuleError as error:
        raise InvalidArgsError(str(error)) from error
    return _add(context, arguments, rule, EgressEffect.ALLOW)


def _deny(context: CommandContext, arguments: Arguments) -> object:
    rule = _read(arguments)
    try:
        check_denying(rule)
    except EgressRuleError as error:
        raise InvalidArgsError(str(error)) from error
    return _add(context, arguments, rule, EgressEffect.DENY)


def _add(context: CommandContext, arguments: Arguments, rule: Rule, effect: EgressEffect) -> object:
    group_id = _whose(context, arguments)
    if egress_rules.count_of(context.conn, group_id) >= MAX_RULES:
        raise CommandError(f"there are {MAX_RULES} rules already; take some away first")
    new = EgressRule(
        rule_id=derived_id("er", context.now, context.cause),
        effect=effect,
        text=rule.text,
        host=rule.host,
        subdomains=rule.subdomains,
        created_at=context.now,
        created_by=context.approved.by if context.approved is not None else context.actor,
        agent_group_id=group_id,
        note=arguments.text(NOTE.name)[:MAX_NOTE],
    )
    egress_rules.add(context.conn, new)
    if egress.settle_covered(context.conn, new, rule, context.now):
        context.ring(DELIVERY)
    return {
        "rule_id": new.rule_id, "effect": effect.value, "rule": rule.text,
        "agent_group_id": group_id,
    }  # fmt: skip


def _remove(context: CommandContext, arguments: Arguments) -> object:
    rule_id = arguments.text("id")
    found = egress_rules.get(context.conn, rule_id)
    if found is None or context.only_group not in (None, found.agent_group_id):
        raise NotFoundError(f"egress rule not found: {rule_id}; see `ncl egress list`")
    egress_rules.remove(context.conn, rule_id)
    return {"removed": rule_id, "effect": found.effect.value, "rule": found.text}


def _questions(context: CommandContext, arguments: Arguments) -> object:
    group_id = context.only_group or arguments.optional(GROUP.name)
    return [
        {
            "ask_id": ask.ask_id,
            "agent_group_id": ask.agent_group_id,
            "host": ask.host,
            "port": ask.port,
            "session_id": ask.session_id,
            "created_at": moment(ask.created_at),
            "expires_at": moment(ask.expires_at),
        }
        for ask in egress_asks.list_open(context.conn, group_id, limit_of(arguments))
    ]


def _answer(context: CommandContext, arguments: Arguments) -> object:
    """As a pressed button, so that all that follows is the same."""
    click = Click(arguments.text("id"), arguments.text("option"), HOST, "", "")
    result = egress.answer(context.conn, click, context.now)
    if result is None or result.outcome is not ActionOutcome.ACCEPTED:
        raise NotFoundError(f"no open question: {click.card_id}; see `ncl egress questions`")
    context.ring(DELIVERY)
    return {"answered": click.card_id, "option": result.chosen_label}


def _test(context: CommandContext, arguments: Arguments) -> object:
    """The connection first; where that is looked into, the request in it."""
    group_id = checks.group(context.conn, arguments.text(GROUP.name)).id
    url = _url(arguments.text(URL.name))
    host, port = _place(url)
    tls = url.scheme == "https"
    facts = read_facts(context.conn, Asking(group_id), (host, port, tls), context.now)
    method = arguments.text("method", "GET").upper()
    path = url.path or "/"
    inside = Wanted(host, port, method, path)
    decision = decide(facts.mode, facts.rules, Wanted(host, port) if tls else inside)
    inspected = isinstance(decision, Inspect)
    if inspected:
        decision = decide(facts.mode, facts.rules, inside)
    return {
        "agent_group_id": group_id,
        "mode": facts.mode.value,
        "host": host,
        "port": port,
        "looked_into": inspected or not tls,
        **_explained(facts, decision),
    }


def _explained(facts: EgressFacts, decision: Decision) -> dict[str, object]:
    match decision:
        case Allow(rule, _, service) | Inspect(rule, _, service):
            found: dict[str, object] = {
                "decision": "allow",
                "rule": rule,
                "why": "the rule says so",
            }
            if facts.mode is EgressMode.OPEN and rule == "mode open":
                found["why"] = "this agent may reach every public host"
            return found if service is None else found | {"service": service}
        case Refuse(rule, why):
            return {"decision": "deny", "rule": rule, "why": why}
        case _:
            why = "nobody has decided about it; an owner would be asked"
            return {"decision": "ask", "rule": None, "why": why}


def _read(arguments: Arguments) -> Rule:
    try:
        return parse_rule(arguments.text(RULE.name))
    except EgressRuleError as error:
        raise InvalidArgsError(str(error)) from error


def _whose(context: CommandContext, arguments: Arguments) -> str | None:
    """An agent that is bound to its group has ``group`` filled in."""
    group_id = arguments.optional(GROUP.name)
    if arguments.flag(EVERYWHERE.name) == (group_id is not None):
        raise InvalidArgsError("give either --group <agent group> or --everywhere")
    return checks.group(context.conn, group_id).id if group_id is not None else None


def _url(text: str) -> SplitResult:
    try:
        url = urlsplit(text if "://" in text else f"https://{text}")
        port = url.port
    except ValueError as error:
        raise InvalidArgsError(f"{shown(text)} is no address: {error}") from error
    if url.scheme not in PORTS or not url.hostname or port == 0:
        raise InvalidArgsError(f"{shown(text)} is no address like https://api.example.com/v1")
    return url


def _place(url: SplitResult) -> tuple[str, int]:
    try:
        return normal_host(url.hostname or ""), url.port or PORTS[url.scheme]
    except EgressRuleError as error:
        raise InvalidArgsError(str(error)) from error


RESOURCE = ResourceSpec(
    name="egress rule",
    plural="egress",
    id_column="rule_id",
    description="which hosts agents may reach",
    columns=COLUMNS,
    operations=(
        list_operation(TABLE),
        get_operation(TABLE, hides_foreign=True),
        Operation(
            "allow", Access.APPROVAL, "let an agent out to a host", _allow,
            (RULE, GROUP, EVERYWHERE, NOTE), mutating=True,
            examples=("ncl egress allow pypi.org --everywhere",
                      "ncl egress allow 'GET api.example.com/v1' --group ag-1",
                      "ncl egress allow 'nas.lan:8080 local' --group ag-1"),
        ),
        Operation(
            "deny", Access.APPROVAL, "close a host; goes before everything that allows it", _deny,
            (RULE, GROUP, EVERYWHERE, NOTE), mutating=True,
            examples=("ncl egress deny '*.example.com' --everywhere",),
        ),
        Operation(
            "remove", Access.APPROVAL, "take a rule away", _remove,
            (target_argument("egress rule"),), mutating=True,
        ),
        Operation(
            "questions", Access.OPEN, "hosts that an owner was asked about and has not answered",
            _questions, (GROUP, LIMIT),
        ),
        Operation(
            "answer", Access.APPROVAL, "answer one of them, as on its card", _answer,
            (target_argument("question"),
             ArgumentSpec("option", "for how long", required=True, choices=ANSWERS)),
            mutating=True, host_only=True,
            examples=("ncl egress answer eg-1 --option always",),
        ),
        Operation(
            "test", Access.OPEN, "what would be decided for an address, and why", _test,
            (URL, ArgumentSpec("group", "which agent", required=True),
             ArgumentSpec("method", "of the request", default="GET")),
            examples=("ncl egress test https://api.example.com/v1 --group ag-1",),
        ),
    ),
    scope_field="agent_group_id",
    for_groups=True,
)  # fmt: skip
